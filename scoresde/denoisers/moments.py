"""Moments of the data: the mean, and the standard deviation along each direction of a basis. No model is needed.

A Gaussian with these moments has a probability flow in closed form. With `frame`, a solver integrates only the model's
difference from this flow.
"""

from __future__ import annotations

import functools
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from solvers import check

from ..storage.files import write_whole

F64 = torch.float64
LEADING = 64  # number of principal directions of points; the others share one standard deviation
SAMPLES = 4096  # largest number of samples of a data set from which a run computes its moments


class Basis(ABC):
    """Abstract: a basis. u = to(x) are the coordinates of x, and back(u) is x again."""

    @abstractmethod
    def to(self, x: Tensor) -> Tensor:
        """The coordinates of x (B, ...)."""

    @abstractmethod
    def back(self, u: Tensor) -> Tensor:
        """The x (B, ...) with coordinates u."""

    @abstractmethod
    def on(self, x: Tensor) -> Basis:
        """The same basis, prepared for states of the shape, dtype and device of x (B, ...)."""


@dataclass(frozen=True)
class Axes(Basis):
    """The basis in which the coordinates are the elements of a sample."""

    def to(self, x: Tensor) -> Tensor:
        return x

    def back(self, u: Tensor) -> Tensor:
        return u

    def on(self, x: Tensor) -> Basis:
        return self


@dataclass(frozen=True)
class Cosines(Basis):
    """The orthonormal discrete cosine transform over every axis of a sample, also the channels. It is close to the
    principal directions of images.

    Ahmed, Natarajan & Rao 1974, IEEE Transactions on Computers C-23."""

    def to(self, x: Tensor) -> Tensor:
        return self.on(x).to(x)

    def back(self, u: Tensor) -> Tensor:
        return self.on(u).back(u)

    def on(self, x: Tensor) -> Basis:
        return _Turned(tuple(_cosines(n).to(x.device, x.dtype) for n in x.shape[1:]))


@functools.lru_cache(maxsize=64)
def _cosines(n: int) -> Tensor:
    """The matrix of the transform, (n, n) float64: row k is the k-th cosine."""
    k = torch.arange(n, dtype=F64, device="cpu")[:, None]
    middle = torch.arange(n, dtype=F64, device="cpu") + 0.5
    rows = (math.pi / n * middle * k).cos() * math.sqrt(2 / n)
    rows[0] = math.sqrt(1 / n)
    return rows


@dataclass(frozen=True, eq=False)
class _Turned(Basis):
    """One orthogonal matrix for each axis of a sample."""

    rows: tuple[Tensor, ...]

    def to(self, x: Tensor) -> Tensor:
        for axis, rows in enumerate(self.rows, 1):
            x = (x.transpose(axis, -1) @ rows.T).transpose(axis, -1)
        return x

    def back(self, u: Tensor) -> Tensor:
        for axis, rows in enumerate(self.rows, 1):
            u = (u.transpose(axis, -1) @ rows).transpose(axis, -1)
        return u

    def on(self, x: Tensor) -> Basis:
        return self


@dataclass(frozen=True, eq=False, repr=False)
class Directions(Basis):
    """Orthonormal rows (k, d) for points (B, d). The part of a point orthogonal to the rows is appended: there are
    k + d coordinates."""

    rows: Tensor

    def __post_init__(self) -> None:
        rows = check.floating("rows", self.rows)
        if rows.dim() != 2 or len(rows) > rows.shape[1]:
            raise ValueError(f"`rows` must be directions (k, d), at most d of them, got shape {tuple(rows.shape)}")

        worst = (rows @ rows.T - torch.eye(len(rows), device="cpu").to(rows)).abs().max().item()
        if not worst < 1e-4:
            raise ValueError(
                f"`rows` must be orthonormal, got inner products {worst:.2g} away from it; take Q of torch.linalg.qr"
            )

    def to(self, x: Tensor) -> Tensor:
        along = x @ self.rows.T
        return torch.cat([along, x - along @ self.rows], 1)

    def back(self, u: Tensor) -> Tensor:
        k = len(self.rows)
        return u[:, :k] @ self.rows + u[:, k:]

    def on(self, x: Tensor) -> Basis:
        return Directions(self.rows.to(x.device, x.dtype))

    def __repr__(self) -> str:
        return f"Directions({len(self.rows)} of {self.rows.shape[1]})"


@dataclass(frozen=True, eq=False, repr=False)
class Moments:
    """The first two moments of data.

    Args:
        mean: mean of a sample, (...), or one number for all elements.
        std: standard deviations along the coordinates of `basis`, or one number for all. In the unit of the data, at
            least 0.
        basis: the directions; a tensor of orthonormal rows (k, d) means `Directions`. None: the elements of a sample.
        scale: root mean square of the standard deviations of the elements of a sample; None: that of `std`. Both are
            equal if the basis has as many coordinates as a sample has elements.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    mean: Tensor
    std: Tensor
    basis: Basis
    scale: float

    def __init__(
        self,
        mean: Tensor | float = 0.0,
        std: Tensor | Sequence[float] | float = 1.0,
        basis: Basis | Tensor | None = None,
        scale: float | None = None,
    ):
        centre = _numbers("mean", mean)
        spread = _numbers("std", std)
        if not bool((spread >= 0).all()) or not bool((spread > 0).any()):
            raise ValueError(
                f"`std` must be at least 0, and somewhere above it, got {check.values(spread.flatten())[:5]}"
            )

        unit = spread.square().mean().sqrt().item() if scale is None else scale

        if isinstance(basis, Tensor):
            basis = Directions(basis.detach().to("cpu", F64))

        if isinstance(basis, Directions) and spread.shape == (basis.rows.shape[1],) == (len(basis.rows),):
            spread = torch.cat([spread, torch.zeros_like(spread)])  # a complete basis leaves no orthogonal part

        if isinstance(basis, Directions) and spread.dim() and len(spread) != sum(basis.rows.shape):
            raise ValueError(
                f"`std` must hold one number for each of the {sum(basis.rows.shape)} coordinates of {basis!r},"
                f" got {len(spread)}"
            )

        for name, value in (("mean", centre), ("std", spread), ("basis", Axes() if basis is None else basis)):
            object.__setattr__(self, name, value)

        object.__setattr__(self, "scale", check.number("scale", unit, above=0.0))

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """The moments of samples (N, ...), N >= 2. The basis is cosines for images and series, principal directions for
        points (N, d)."""
        x = check.state("x", x).detach().to("cpu", F64)
        if x.dim() < 2 or len(x) < 2:
            raise ValueError(f"`x` must hold two samples or more, (N, ...), got shape {tuple(x.shape)}")

        mean = x.mean(0)
        apart = x - mean
        scale = apart.square().mean().sqrt().item()
        if not scale > 0:
            raise ValueError(f"`x` must hold samples that differ, got {len(x)} that are one")
        if x.dim() > 2:
            return cls(mean, Cosines().to(apart).square().mean(0).sqrt(), Cosines(), scale)

        return cls.gaussian(mean, apart.T @ apart / len(x))

    @classmethod
    def gaussian(cls, mean: Tensor, covariance: Tensor) -> Moments:
        """The moments of points (d,) with a given covariance (d, d), along its leading principal directions.

        Args:
            mean: (d,).
            covariance: (d, d).
        """
        values, vectors = torch.linalg.eigh(covariance.to("cpu", F64))
        variances = values.flip(0).clamp(min=0)
        d = len(values)
        count = min(LEADING, d)
        left = variances[count:].mean() if count < d else variances[-1]
        std = torch.cat([variances[:count], left.expand(d)]).sqrt()

        return cls(mean, std, Directions(vectors.T.flip(0)[:count].contiguous()), variances.mean().sqrt().item())

    @property
    def isotropic(self) -> Moments:
        """The same mean, with `scale` in every direction: useful if a condition determines most of a sample."""
        return Moments(self.mean, self.scale)

    def sample_shape(self, state: Tensor) -> torch.Size:
        """The shape of a sample: that of the mean, or that of the batch's samples if the mean is a number.

        Raises ValueError naming `moments` if the batch's samples have another number of elements."""
        shape = self.mean.shape if self.mean.dim() else state.shape[1:]
        if shape.numel() != state.shape[1:].numel():
            raise ValueError(
                f"`moments` must be of samples like the state, of shape {tuple(state.shape[1:])}, got {tuple(shape)}"
            )
        return shape

    def save(self, path: Path | str) -> None:
        """Write the moments to a .safetensors file, in one piece; `load` reads it."""
        from safetensors.torch import save

        write_whole(path, save(self.tensors()))

    @classmethod
    def load(cls, path: Path | str) -> Moments:
        """Read moments that `save` wrote. Raises OSError, or ValueError naming the file."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(Path(path).read_bytes())
            basis = Directions(tensors["rows"]) if "rows" in tensors else Cosines() if "cosines" in tensors else Axes()
            return cls(tensors["mean"], tensors["std"], basis, tensors["scale"].item())
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not hold moments: {error}") from error

    def tensors(self) -> dict[str, Tensor]:
        """All numbers, as tensors by name."""
        rows = {"rows": self.basis.rows} if isinstance(self.basis, Directions) else {}
        cosines = {"cosines": torch.ones(1, dtype=F64, device="cpu")} if isinstance(self.basis, Cosines) else {}

        return {
            "mean": self.mean,
            "std": self.std,
            "scale": torch.tensor(self.scale, dtype=F64, device="cpu"),
            **rows,
            **cosines,
        }

    @property
    def digest(self) -> str:
        """A hash of all numbers, as eight hexadecimal digits."""
        found = hashlib.sha256(repr(self.basis).encode())
        for value in self.tensors().values():
            found.update(value.contiguous().numpy().tobytes())
        return found.hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Moments({self.digest}, {self.basis!r}, scale={self.scale:.4g})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moments) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(self.digest)


def _numbers(name: str, value: Tensor | Sequence[float] | float) -> Tensor:
    """The value as a finite float64 tensor on the CPU."""
    given = check.floating(name, value).detach() if isinstance(value, Tensor) else value
    numbers = torch.as_tensor(given, dtype=F64, device="cpu")
    if not bool(numbers.isfinite().all()):
        raise ValueError(f"`{name}` must be finite, got NaN or Inf")
    return numbers

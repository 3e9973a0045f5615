"""Operators of measurements, y = A(x0) + std eta: a linear map with its adjoint, or any differentiable function.

forward and adjoint keep the batch: (B, ...) -> (B, ...). `solve` applies (r A A' + s I)^-1, of which each operator
knows the cheapest way.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from solvers import check

_DENSE = 4096  # rows up to which A A' is held


class Operator(ABC):
    """Abstract operator of a measurement.

    linear  whether forward is a linear map, of which adjoint is the transpose
    """

    linear: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A x, of samples (B, ...)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A' y, of measurements (B, ...)."""

    @abstractmethod
    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        """(r A A' + s I)^-1 y.

        Args:
            y: measurements, (B, ...).
            r: 0-d, or one per sample, (B,).
            s: at least 0.
        """

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)


class Mask(Operator):
    """The entries of a sample where the mask is True, as a vector (B, m): A A' = I.

    Args:
        mask: of the shape of one sample, bool, or 0 and 1.

    Raises:
        TypeError, ValueError: naming `mask`.
    """

    def __init__(self, mask: Tensor):
        if not isinstance(mask, Tensor):
            raise TypeError(f"`mask` must be a tensor, got {type(mask).__name__}")
        if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError("`mask` must hold 0 and 1, or be bool, got other values")
        if not bool(mask.bool().any()):
            raise ValueError("`mask` must keep at least one entry, got none")

        self.mask = mask.bool()

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.mask.shape:
            raise ValueError(
                f"`mask` must have the shape of one sample, {tuple(x.shape[1:])}, got {tuple(self.mask.shape)}"
            )
        return x[:, self.mask.to(x.device)]

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(len(y), *self.mask.shape)
        x[:, self.mask.to(y.device)] = y
        return x

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        return y / (_wide(r, y) + s)


class Matrix(Operator):
    """A x for samples taken as vectors, (B, ...) -> (B, m).

    Args:
        a: A, (m, d).
        shape: of one sample, which the adjoint returns; None: (d,).
    """

    def __init__(self, a: Tensor, shape: tuple[int, ...] | None = None):
        self.a = _finite("a", a)
        if a.dim() != 2:
            raise ValueError(f"`a` must have shape (m, d), got {tuple(a.shape)}")

        self.shape = (a.shape[1],) if shape is None else check.shape("shape", shape)
        if math.prod(self.shape) != a.shape[1]:
            raise ValueError(f"`shape` must hold {a.shape[1]} numbers, as `a` has columns, got {self.shape}")

        values, basis = torch.linalg.eigh(a.double() @ a.double().T)
        self.values = values.clamp(min=0.0)
        self.basis = basis

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        if flat.shape[1] != self.a.shape[1]:
            raise ValueError(
                f"`a` must have as many columns as a sample has numbers, {flat.shape[1]}, got {tuple(self.a.shape)}"
            )
        return flat @ self.a.to(x).T

    def adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.a.to(y)).reshape(len(y), *self.shape)

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        basis = self.basis.to(y)
        return ((y @ basis) / (_wide(r, y) * self.values.to(y) + s)) @ basis.T


class Blur(Operator):
    """A circular convolution over the last dimensions, by FFT: its singular values are |FFT of the kernel|.

    Args:
        kernel: (k,) for series, (k, k) for images; its middle is the origin.
    """

    def __init__(self, kernel: Tensor):
        self.kernel = _finite("kernel", kernel)
        if kernel.dim() not in (1, 2, 3):
            raise ValueError(f"`kernel` must have 1 to 3 dimensions, got shape {tuple(kernel.shape)}")

    def spectrum(self, shape: tuple[int, ...]) -> Tensor:
        """Of the map on samples whose last dimensions are these, complex."""
        if any(k > n for k, n in zip(self.kernel.shape, shape, strict=True)):
            raise ValueError(f"`kernel` must fit into a sample of size {shape}, got {tuple(self.kernel.shape)}")

        padded = self.kernel.new_zeros(shape)
        padded[tuple(slice(0, k) for k in self.kernel.shape)] = self.kernel
        middle = tuple(-(k // 2) for k in self.kernel.shape)
        return torch.fft.fftn(padded.roll(middle, tuple(range(len(shape)))))

    def forward(self, x: Tensor) -> Tensor:
        return self._by_spectrum(x, lambda spectrum: spectrum)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._by_spectrum(y, torch.conj)

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        return self._by_spectrum(y, lambda spectrum: 1 / (_wide(r, y) * spectrum.abs().square() + s))

    def _by_spectrum(self, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        shape = tuple(x.shape[-self.kernel.dim() :])
        dims = tuple(range(-len(shape), 0))
        spectrum = self.spectrum(shape).to(x.device)
        turned = torch.fft.fftn(x.to(spectrum.real.dtype), dim=dims) * change(spectrum)
        return torch.fft.ifftn(turned, dim=dims).real.to(x)


class Downsample(Operator):
    """Means over blocks of the last two dimensions: A A' = I/factor^2.

    Args:
        factor: pixels a side of a block.
    """

    def __init__(self, factor: int):
        self.factor = check.integer("factor", factor, least=1)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 3 or any(n % self.factor for n in x.shape[-2:]):
            raise ValueError(f"`factor` must divide the sides of an image, got {self.factor} for {tuple(x.shape[1:])}")
        return F.avg_pool2d(x, self.factor)

    def adjoint(self, y: Tensor) -> Tensor:
        wide = y.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)
        return wide / self.factor**2

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        return y / (_wide(r, y) / self.factor**2 + s)


class Grey(Operator):
    """The mean of the channels, (B, C, ...) -> (B, 1, ...): A A' = I/C.

    Args:
        channels: C.
    """

    def __init__(self, channels: int = 3):
        self.channels = check.integer("channels", channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[1] != self.channels:
            raise ValueError(f"`channels` must be those of a sample, got {self.channels} for {tuple(x.shape[1:])}")
        return x.mean(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        return y.expand(-1, self.channels, *y.shape[2:]) / self.channels

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        return y / (_wide(r, y) / self.channels + s)


class Compose(Operator):
    """Linear operators one after another, the first applied first.

    Args:
        operators: at least one.
    """

    def __init__(self, *operators: Operator):
        if not operators or not all(isinstance(operator, Operator) and operator.linear for operator in operators):
            raise TypeError(f"`operators` must be linear operators, at least one, got {operators!r}")
        self.operators = operators

    def forward(self, x: Tensor) -> Tensor:
        for operator in self.operators:
            x = operator.forward(x)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        for operator in reversed(self.operators):
            y = operator.adjoint(y)
        return y

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        shape = y.shape[1:]
        m = shape.numel()
        if m > _DENSE:
            raise ValueError(f"`operators` must make at most {_DENSE} numbers together, got {m}")

        eye = torch.eye(m, dtype=torch.float64, device=y.device).reshape(m, *shape)
        gram = self.forward(self.adjoint(eye)).reshape(m, m)
        values, basis = torch.linalg.eigh((gram + gram.T) / 2)
        flat = y.reshape(len(y), m)
        turned = (flat @ basis.to(y)) / (_wide(r, flat) * values.clamp(min=0.0).to(y) + s)
        return (turned @ basis.to(y).T).reshape(y.shape)


class Function(Operator):
    """Any differentiable map of samples: its derivative is taken by autograd where it is needed.

    Args:
        f: (B, ...) -> (B, ...), sample by sample.
    """

    linear: ClassVar[bool] = False

    def __init__(self, f: Callable[[Tensor], Tensor]):
        check.takes("f", f, 1, "(B, ...) -> (B, ...)")
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)

    def adjoint(self, y: Tensor) -> Tensor:
        raise ValueError("`operator` must be linear to have an adjoint, got a Function; take dps, or tmpd")

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        raise ValueError("`operator` must be linear here, got a Function; take dps, or tmpd")


def _finite(name: str, x: Tensor) -> Tensor:
    """A floating tensor of finite numbers; or raise TypeError or ValueError naming it."""
    if not bool(check.floating(name, x).isfinite().all()):
        raise ValueError(f"`{name}` must be finite, got NaN or Inf values")
    return x


def _wide(r: Tensor | Any, y: Tensor) -> Any:
    """A factor ready to multiply a batch of measurements."""
    return r.reshape(-1, *[1] * (y.dim() - 1)).to(y) if isinstance(r, Tensor) and r.dim() else r

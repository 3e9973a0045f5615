"""Operators of measurements, y = A(x0) + std eta: a linear map with its adjoint, or any differentiable function.

`forward` and `adjoint` map batches to batches: (B, ...) -> (B, ...). Operators of images are in `image_operators`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from solvers import check

_DENSE = 4096  # most rows of A A' as a matrix
_NOTHING = 1e-12  # times the largest eigenvalue of A A': a direction with a smaller one counts as not measured


class Operator(ABC):
    """Abstract measurement operator A. To write a linear operator of your own, derive it from `DenseOperator`.

    linear  whether `forward` is a linear map; `adjoint` is then its transpose
    """

    linear: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply A to samples, (B, ...) -> (B, ...)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transpose A' to measurements, (B, ...) -> (B, ...)."""

    @abstractmethod
    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        """Solve a linear system: (r A A' + s I)^-1 y.

        Args:
            y: measurements, (B, ...).
            r: factor of A A', 0-d or one per sample, (B,).
            s: factor of the identity, at least 0.
        """

    @abstractmethod
    def spectral(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        """f(A'A) x: each right singular direction of A is multiplied by f of its squared singular value.

        Args:
            x: samples, (B, ...).
            f: elementwise function of a tensor of squared singular values; finite at 0.
        """

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)


class DenseOperator(Operator, ABC):
    """Abstract: a linear operator whose singular values are computed from the matrix A A', of up to 4096 rows.

    A subclass has to define only `forward` and `adjoint`.
    """

    _grams: tuple[torch.Size, Tensor, Tensor] | None = None  # shape of the last y, eigenvalues and eigenvectors for it

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        values, basis = self._gram(y)
        flat = y.flatten(1)
        turned = (flat @ basis) / (wide(r, flat) * values + s)
        return (turned @ basis.T).reshape(y.shape)

    def spectral(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        y = self.forward(x)
        values, basis = self._gram(y)
        at_zero = f(values.new_zeros(()))
        seen = values > _NOTHING * values.max()
        change = torch.where(seen, (f(values) - at_zero) / torch.where(seen, values, 1.0), 0.0)
        turned = ((y.flatten(1) @ basis) * change) @ basis.T

        return x * at_zero.to(x) + self.adjoint(turned.reshape(y.shape))

    def _gram(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues and eigenvectors of A A', with the dtype and device of y."""
        shape = y.shape[1:]
        m = shape.numel()
        if m > _DENSE:
            raise ValueError(
                f"`operator` must make at most {_DENSE} numbers of a sample where its spectrum is not known, got {m}"
            )

        kept = self._grams
        if kept is None or kept[0] != shape:
            eye = torch.eye(m, dtype=torch.float64, device=y.device).reshape(m, *shape)
            gram = self.forward(self.adjoint(eye)).reshape(m, m)
            values, basis = torch.linalg.eigh((gram + gram.T) / 2)
            kept = self._grams = shape, values.clamp(min=0.0), basis

        return kept[1].to(y), kept[2].to(y)


class Matrix(DenseOperator):
    """The operator of a given matrix A: samples are flattened and multiplied by it, (B, ...) -> (B, m).

    Args:
        a: A, (m, d).
        shape: shape of one sample, as the adjoint returns it; None: (d,).
    """

    def __init__(self, a: Tensor, shape: tuple[int, ...] | None = None):
        self.a = finite("a", a)
        if a.dim() != 2:
            raise ValueError(f"`a` must have shape (m, d), got {tuple(a.shape)}")

        self.shape = (a.shape[1],) if shape is None else check.shape("shape", shape)
        if math.prod(self.shape) != a.shape[1]:
            raise ValueError(f"`shape` must hold {a.shape[1]} numbers, as `a` has columns, got {self.shape}")

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        if flat.shape[1] != self.a.shape[1]:
            raise ValueError(
                f"`a` must have as many columns as a sample has numbers, {flat.shape[1]}, got {tuple(self.a.shape)}"
            )
        return flat @ self.a.to(x).T

    def adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.a.to(y)).reshape(len(y), *self.shape)


class Compose(DenseOperator):
    """The composition of linear operators; the first one is applied first.

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


class Function(Operator):
    """The operator of any differentiable function of samples, which need not be linear. Autograd gives its derivative.

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
        raise ValueError("`operator` must be linear to have an adjoint, got a Function; take dps, tmpd or daps")

    def solve(self, y: Tensor, r: Tensor, s: float) -> Tensor:
        raise ValueError("`operator` must be linear here, got a Function; take dps, tmpd or daps")

    def spectral(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        raise ValueError("`operator` must be linear here, got a Function; take dps, tmpd or daps")


def finite(name: str, x: Tensor) -> Tensor:
    """Check that a tensor is floating and finite, and return it.

    Args:
        name: name of the argument, for the error.
        x: the tensor to check.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    if not bool(check.floating(name, x).isfinite().all()):
        raise ValueError(f"`{name}` must be finite, got NaN or Inf values")
    return x


def wide(r: Tensor | Any, y: Tensor) -> Any:
    """A factor, reshaped so that it multiplies a batch of measurements.

    Args:
        r: the factor, a number or one per sample, (B,).
        y: measurements, (B, ...).
    """
    return r.reshape(-1, *[1] * (y.dim() - 1)).to(y) if isinstance(r, Tensor) and r.dim() else r

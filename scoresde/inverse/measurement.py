"""A noisy measurement of one sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from .operators import Operator

_CLOSE = 1e-4  # relative tolerance of the check of the adjoint
SEEN = 1e-10  # a direction with a smaller squared singular value of A counts as not measured


class Measurement:
    """A measurement y = A(x0) + std eta, with eta of independent standard normals.

    Args:
        operator: A.
        y: the measured values, shaped like the result of `operator` for one sample, without a batch dimension.
        std: standard deviation of the noise, at least 0.
        shape: shape of one sample, used by `matrix`; None: (d,).

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(
        self,
        operator: Operator,
        y: Tensor,
        std: float,
        shape: tuple[int, ...] | None = None,
    ):
        if not isinstance(operator, Operator):
            raise TypeError(f"`operator` must be an inverse.Operator, got {type(operator).__name__}")

        y = check.floating("y", y)
        if not bool(y.isfinite().all()):
            raise ValueError("`y` must be finite, got NaN or Inf values")

        self.operator = operator
        self.y = y
        self.std = check.number("std", std, least=0.0)
        self.shape = None if shape is None else check.shape("shape", shape)

    def matrix(self, d: int, shape: tuple[int, ...] | None = None) -> Tensor:
        """A as a matrix, (m, d) float64.

        Args:
            d: number of elements of a sample.
            shape: shape of one sample; None: the measurement's own, or (d,).

        Raises:
            ValueError: if the operator is not linear.
        """
        if not self.operator.linear:
            raise ValueError("`measurement` must have a linear operator, got a Function")

        eye = torch.eye(d, dtype=torch.float64, device=self.y.device)
        samples = eye.reshape(d, *(shape or self.shape or (d,)))
        return self.operator.forward(samples).reshape(d, -1).T

    def residual(self, x0: Tensor) -> Tensor:
        """The residual y - A(x0) of each sample of a batch, (B, ...).

        Raises:
            ValueError: naming `y`, if it does not have the shape of the operator's result.
        """
        made = self._shaped(self.operator.forward(x0))
        return self.y.to(made) - made

    def _shaped(self, made: Tensor) -> Tensor:
        """The operator's result, checked to have the shape of y."""
        if made.shape[1:] != self.y.shape:
            raise ValueError(
                f"`y` must have the shape that the operator makes of one sample, {tuple(made.shape[1:])}, got"
                f" {tuple(self.y.shape)}; it has no batch"
            )
        return made

    def pseudo_inverse(self) -> Tensor:
        """A^+ y, (1, ...): the least-squares solution of A x = y with the smallest norm."""
        y = self.y[None]
        return self.operator.spectral(
            self.operator.adjoint(y), lambda c: torch.where(c > SEEN, 1 / c.clamp(min=SEEN), 0.0)
        )

    def imposed(self, x0: Tensor) -> Tensor:
        """x0 with its measured part replaced by the measurement, x0 + A^+ (y - A x0). The rest is unchanged.

        If std is 0, an exact posterior sample is not changed by it. With a `Mask` the measured entries are those of y,
        bit for bit.

        Args:
            x0: samples, (B, ...).

        Raises:
            ValueError: if the operator is not linear, or y does not have the shape of its result.
        """
        check_linear(self)
        self._shaped(self.operator.forward(x0))
        return self.operator.spectral(x0, lambda c: (c <= SEEN).to(c)) + self.pseudo_inverse().to(x0)

    def log_prob(self, x0: Tensor) -> Tensor:
        """The log likelihood log N(y; A(x0), std^2) up to a constant, (B,); std must be above 0."""
        return -0.5 * self.residual(x0).flatten(1).square().sum(1) / self.std**2

    def check_fits(self, x: Tensor) -> None:
        """Check that y has the shape of the operator's result for such samples, and that <A u, v> = <u, A'v> for
        random u and v.

        Args:
            x: states, (B, ...); only their shape, dtype and device are used.

        Raises:
            ValueError: naming `y` or `operator`.
        """

        u = SeededNoise(0).normal(PRIOR, range(1), (1, *x.shape[1:]), x.dtype, x.device)[0]
        made = self._shaped(self.operator.forward(u))
        if not self.operator.linear:
            return

        v = SeededNoise(1).normal(PRIOR, range(1), tuple(made.shape), x.dtype, x.device)[0]
        left: Any = (made * v).sum().item()
        right: Any = (u * self.operator.adjoint(v)).sum().item()

        if abs(left - right) > _CLOSE * float(made.norm() * v.norm()):
            raise ValueError(
                f"`operator` must have an adjoint with <A x, y> = <x, A'y>, got {left:.6g} and {right:.6g} on random"
                " x and y"
            )


def is_measurement(measurement: Any) -> Measurement:
    """Check that the value is a Measurement, and return it; else raise TypeError naming it."""
    if not isinstance(measurement, Measurement):
        raise TypeError(f"`measurement` must be an inverse.Measurement, got {type(measurement).__name__}")
    return measurement


def check_linear(measurement: Any) -> Measurement:
    """Check that the value is a Measurement with a linear operator, and return it; raises TypeError or ValueError."""
    if not is_measurement(measurement).operator.linear:
        raise ValueError("`measurement` must have a linear operator, got a Function")
    return measurement

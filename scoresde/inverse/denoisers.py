"""Denoisers for a given measurement: they predict E[x0 | x, y] by an approximation of p(y | x).

    x0 <- x0 + (sigma^2/alpha) J' A' u,    J = d x0/d x.

The method's approximation of p(y | x) determines u. Each call costs one vector-Jacobian product; `tmpd` needs more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..guidance.base import Guided, gradient_weight
from ..processes.coefficients import as_time, like
from .measurement import Measurement, is_measurement

Product = Callable[[Tensor], Tensor]


class Led(NamedTuple):
    """The predictions with and without the measurement.

    prediction  prediction of the posterior, which uses the measurement
    plain       prediction of the prior
    fit         the method's approximation of log p(y | x), up to a constant that depends on the level, (B,)
    """

    prediction: Prediction
    plain: Prediction
    fit: Tensor


class Measured(Guided, ABC):
    """Abstract: a denoiser for a given measurement. The measurement's shape is checked on the first batch."""

    def __init__(self, denoiser: BaseDenoiser, measurement: Measurement):
        super().__init__(denoiser)
        self.measurement = is_measurement(measurement)
        self.moments = (
            None if denoiser.moments is None else denoiser.moments.isotropic
        )  # the posterior has other moments
        self._checked = False

    def _check_once(self, x: Tensor) -> None:
        if not self._checked:
            self.measurement.check_fits(x)
            self._checked = True


class MeasuredDenoiser(Measured, ABC):
    """Abstract: a denoiser that is shifted by the gradient of an approximate log p(y | x).

    products  vector-Jacobian products per call
    """

    products: int = 1

    @abstractmethod
    def _weigh(
        self,
        residual: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        product: Product,
    ) -> Tensor:
        """u for a residual y - A(x0); `product` applies A C A', C = (sigma^2/alpha) J' the covariance of x0 given x."""

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        return self.led(x, alpha, sigma, cond).prediction

    def led(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Led:
        """The predictions with and without the measurement, and how well the state fits the measurement.

        Args:
            x: states, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
            cond: condition of each sample, or None (`denoisers.conditions`).
        """

        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        operator = self.measurement.operator

        self._check_once(x)

        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            plain = self.denoiser(leaf, alpha, sigma, cond)
            x0 = plain.x0
            made = operator.forward(x0)
            spread = like(gradient_weight(alpha, sigma), x)

            def back(u: Tensor) -> Tensor:
                """C A' u."""
                (gradient,) = torch.autograd.grad(made, leaf, u, retain_graph=True)
                return gradient * spread

            def product(u: Tensor) -> Tensor:
                through = back(u)
                if operator.linear:
                    return operator.forward(through)
                return cast(Tensor, torch.autograd.functional.jvp(operator.forward, x0.detach(), through)[1])

            residual = self.measurement.residual(x0.detach())
            u = self._weigh(residual, alpha, sigma, product)
            delta = back(u)

        plain = replace(plain, x=x, out=plain.out.detach())
        fit = -0.5 * (residual * u).flatten(1).sum(1)

        return Led(plain.shifted(delta), plain, fit)


class DPS(MeasuredDenoiser):
    """Diffusion posterior sampling: p(y | x) is approximated by N(y; A x0, std^2), with a normalised gradient.

        u = scale sqrt(m) r/(std |r|),    r = y - A x0 with m elements.

    If |r| = std sqrt(m), as for pure measurement noise, u is scale r/std^2. If |r| is large, u stays bounded. Chung et
    al. 2023, arXiv:2209.14687; the paper's scale is per step of its sampler. `dps` makes this denoiser and documents
    the arguments.
    """

    def __init__(self, denoiser: BaseDenoiser, measurement: Measurement, scale: float = 1.0):
        super().__init__(denoiser, measurement)
        self.scale = check.number("scale", scale, least=0.0)
        if self.measurement.std == 0.0:
            raise ValueError("`measurement` must have a std above 0 for dps, which divides by it; take pigdm")

    def _weigh(
        self,
        residual: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        product: Product,
    ) -> Tensor:
        flat = residual.flatten(1)
        norm = flat.norm(dim=1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)
        return (flat * (self.scale * flat.shape[1] ** 0.5 / self.measurement.std) / norm).reshape(residual.shape)


class PiGDM(MeasuredDenoiser):
    """Pseudo-inverse guidance: p(y | x) is approximated by N(y; A x0, r^2 A A' + std^2 I).

    r^2 = c^2 sigma^2/(alpha^2 c^2 + sigma^2) is the variance of x0 given x for Gaussian data of standard deviation c.
    The paper has c = 1. Song et al. 2023, ICLR, "Pseudoinverse-guided diffusion models for inverse problems". `pigdm`
    makes this denoiser and documents the arguments.
    """

    def __init__(self, denoiser: BaseDenoiser, measurement: Measurement, data_std: float | None = None):
        super().__init__(denoiser, measurement)
        self.data_std = scale_of_data(denoiser, data_std)

    def _weigh(
        self,
        residual: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        product: Product,
    ) -> Tensor:
        variance = self.data_std**2
        r = variance * sigma**2 / (alpha**2 * variance + sigma**2)
        return self.measurement.operator.solve(residual, r.reshape(-1) if r.dim() else r, self.measurement.std**2)


class TMPD(MeasuredDenoiser):
    """Moment matching: p(y | x) is approximated by N(y; A x0, A C A' + std^2 I), C = (sigma^2/alpha) d x0/d x.

    C is the covariance of x0 given x, so the result is exact for Gaussian data. The linear system is solved by
    conjugate gradients, with one vector-Jacobian product per iteration. Boys et al. 2023, arXiv:2310.06721; Rozet et
    al. 2024, arXiv:2405.13712. `tmpd` makes this denoiser and documents the arguments.
    """

    def __init__(self, denoiser: BaseDenoiser, measurement: Measurement, iterations: int = 5):
        super().__init__(denoiser, measurement)
        self.iterations = check.integer("iterations", iterations)
        self.products = 1 + self.iterations

    def _weigh(
        self,
        residual: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        product: Product,
    ) -> Tensor:
        noise = self.measurement.std**2
        return conjugate_gradients(lambda u: product(u) + noise * u, residual, self.iterations)


def dps(denoiser: BaseDenoiser, measurement: Measurement, scale: float = 1.0) -> DPS:
    """A denoiser of the posterior by diffusion posterior sampling; see `DPS`.

    Args:
        denoiser: the prior.
        measurement: with std above 0; any operator.
        scale: factor of u, at least 0.
    """
    return DPS(denoiser, measurement, scale)


def pigdm(denoiser: BaseDenoiser, measurement: Measurement, data_std: float | None = None) -> PiGDM:
    """A denoiser of the posterior by pseudo-inverse guidance; see `PiGDM`.

    Args:
        denoiser: the prior.
        measurement: with a linear operator.
        data_std: standard deviation c of the data; None: from the denoiser's moments, else 1.
    """
    return PiGDM(denoiser, measurement, data_std)


def tmpd(denoiser: BaseDenoiser, measurement: Measurement, iterations: int = 5) -> TMPD:
    """A denoiser of the posterior by moment matching; see `TMPD`.

    Args:
        denoiser: the prior.
        measurement: any operator; one that is not linear is linearised at x0.
        iterations: iterations of conjugate gradients. With as many as y has elements the solution is exact.
    """
    return TMPD(denoiser, measurement, iterations)


def scale_of_data(denoiser: BaseDenoiser, data_std: float | None) -> float:
    """The standard deviation of the data: the given one, or that of the denoiser's moments, or 1.

    Args:
        denoiser: the prior; its moments are used if no standard deviation is given.
        data_std: above 0, or None.
    """
    if data_std is not None:
        return check.number("data_std", data_std, above=0.0)
    return float(denoiser.moments.scale) if denoiser.moments is not None else 1.0


def conjugate_gradients(product: Product, b: Tensor, iterations: int) -> Tensor:
    """Solve product(u) = b for u by conjugate gradients, separately for each sample of a batch.

    Args:
        product: a symmetric positive linear map of each sample, (B, ...) -> (B, ...).
        b: the right-hand side, (B, ...).
        iterations: number of iterations; a sample that is already solved does not change any more.
    """

    def inner(a: Tensor, c: Tensor) -> Tensor:
        return (a * c).flatten(1).sum(1).reshape(-1, *[1] * (a.dim() - 1))

    u = torch.zeros_like(b)
    rest = b
    direction = b
    size = inner(rest, rest)
    enough = size * torch.finfo(b.dtype).eps ** 2

    for _ in range(iterations):
        made = product(direction)
        curvature = inner(direction, made)
        step = torch.where((curvature > 0) & (size > enough), size / curvature, 0.0)
        u = u + step * direction
        rest = rest - step * made
        after = inner(rest, rest)
        direction = rest + torch.where(size > enough, after / size, 0.0) * direction
        size = after

    return u

"""Denoisers for a given measurement: E[x0 | x, y] by an approximation of p(y | x).

    x0 <- x0 + (sigma^2/alpha) J' A' u,    J = d x0/d x,

where u says what the method takes p(y | x) for. Each costs one vector-Jacobian product a call, `tmpd` more.
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
    """The prediction for a measurement, beside that of the prior.

    prediction  that knows the measurement
    plain       that of the prior
    fit         log p(y | x) as the method has it, up to a constant of the level, (B,)
    """

    prediction: Prediction
    plain: Prediction
    fit: Tensor


class Measured(Guided, ABC):
    """Abstract: a denoiser for a given measurement, whose shape is checked on the first batch."""

    def __init__(self, denoiser: BaseDenoiser, measurement: Measurement):
        super().__init__(denoiser)
        self.measurement = is_measurement(measurement)
        self.moments = (
            None if denoiser.moments is None else denoiser.moments.isotropic
        )  # of what the measurement leaves
        self._checked = False

    def _check_once(self, x: Tensor) -> None:
        if not self._checked:
            self.measurement.check_fits(x)
            self._checked = True


class MeasuredDenoiser(Measured, ABC):
    """A denoiser led by a measurement.

    products  vector-Jacobian products a call
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
        """u of a residual y - A(x0); `product` applies A C A', C = (sigma^2/alpha) J' the posterior covariance."""

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
        """The prediction that knows the measurement, and how well the state fits it.

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
    """Diffusion posterior sampling: p(y | x) is taken for N(y; A x0, std^2), its step normalised.

        u = scale sqrt(m) r/(std |r|),    r = y - A x0 of m numbers,

    which is scale r/std^2 where the residual has the norm that noise gives it, and stays bounded where it is large.
    Chung et al. 2023, arXiv:2209.14687, whose scale is per step of its sampler. `dps` makes it.
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
    """Pseudo-inverse guidance: p(y | x) is taken for N(y; A x0, r^2 A A' + std^2 I), r^2 = sigma^2/(alpha^2 + sigma^2).

    With data of standard deviation c, r^2 = c^2 sigma^2/(alpha^2 c^2 + sigma^2). Song et al. 2023, ICLR,
    "Pseudoinverse-guided diffusion models for inverse problems". `pigdm` makes it.
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
    """Moment matching: p(y | x) is taken for N(y; A x0, A C A' + std^2 I), C = (sigma^2/alpha) d x0/d x.

    C is the covariance of x0 given x, so that Gaussian data are exact. The system is solved by conjugate gradients, one
    vector-Jacobian product an iteration. Boys et al. 2023, arXiv:2310.06721; Rozet et al. 2024, arXiv:2405.13712.
    `tmpd` makes it.
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
    """The denoiser led by diffusion posterior sampling; see `DPS`.

    Args:
        denoiser: the prior.
        measurement: with std above 0; any operator.
        scale: zeta, at least 0.
    """
    return DPS(denoiser, measurement, scale)


def pigdm(denoiser: BaseDenoiser, measurement: Measurement, data_std: float | None = None) -> PiGDM:
    """The denoiser led by pseudo-inverse guidance; see `PiGDM`.

    Args:
        denoiser: the prior.
        measurement: with a linear operator.
        data_std: standard deviation of the data; None: what the denoiser knows of its data, else 1.
    """
    return PiGDM(denoiser, measurement, data_std)


def tmpd(denoiser: BaseDenoiser, measurement: Measurement, iterations: int = 5) -> TMPD:
    """The denoiser led by moment matching; see `TMPD`.

    Args:
        denoiser: the prior.
        measurement: any operator; one that is not linear is linearised at x0.
        iterations: of conjugate gradients; as many as y has numbers are exact.
    """
    return TMPD(denoiser, measurement, iterations)


def scale_of_data(denoiser: BaseDenoiser, data_std: float | None) -> float:
    """The standard deviation of the data.

    Args:
        denoiser: the prior; its moments are taken where nothing is given.
        data_std: above 0; None: as the denoiser knows it, or 1.
    """
    if data_std is not None:
        return check.number("data_std", data_std, above=0.0)
    return float(denoiser.moments.scale) if denoiser.moments is not None else 1.0


def conjugate_gradients(product: Product, b: Tensor, iterations: int) -> Tensor:
    """u with product(u) = b, sample by sample, product being symmetric and positive.

    Args:
        product: of a batch, (B, ...) -> (B, ...).
        b: the right-hand side, (B, ...).
        iterations: how many; a sample that is solved stays as it is.
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

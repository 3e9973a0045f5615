"""The denoiser of Gaussian data in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..processes.base import Process
from ..processes.coefficients import as_time, like
from .denoiser import BaseDenoiser
from .moments import Moments
from .prediction import Prediction

BROADCAST = 4096  # up to this number of components x dimensions, no sum is a matrix product
_ROUNDING = 1e-12  # rounding error of an eigenvalue, relative to the largest


def answer(
    x: Tensor,
    x0: Tensor,
    eps: Tensor,
    alpha: Tensor,
    sigma: Tensor,
) -> Prediction:
    """A prediction from x0 and eps. It is stored as v, from which both are computed without cancellation.

    Args:
        x: the state, (B, ...).
        x0: the expected clean sample, like x.
        eps: the expected noise, like x.
        alpha: signal coefficient, 0-d or (B,).
        sigma: noise coefficient, 0-d or (B,).
    """
    r = (alpha**2 + sigma**2).sqrt()  # torch.hypot gives other bits for other batch sizes
    v = (eps * like(alpha / r, x) - x0 * like(sigma / r, x)).reshape(x.shape)
    return Prediction.of_v(x, v, alpha, sigma)


def flattened(x: Tensor, d: int) -> Tensor:
    """Samples as rows of d numbers.

    Args:
        x: samples, (B, ...), floating.
        d: numbers per sample.

    Returns:
        The same numbers, (B, d).

    Raises:
        TypeError, ValueError: naming `x` if it is not floating or does not have d numbers per sample.
    """
    flat = check.floating("x", x).reshape(len(x), -1)
    if flat.shape[1] != d:
        raise ValueError(f"`x` must hold {d} numbers per sample, got shape {tuple(x.shape)}")
    return flat


def principal(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., d) and eigenvectors (..., d, d) of covariances. A value below 0 by rounding is set to 0."""
    values, basis = torch.linalg.eigh(covariances)
    floor = -_ROUNDING * values[..., -1:].abs()
    return torch.where(values >= floor, values.clamp(min=0.0), values), basis


class Gaussian(BaseDenoiser):
    """The denoiser of Gaussian data N(mean, cov), in closed form.

    Args:
        mean: (d,).
        cov: covariance: a number, (d,) for a diagonal, or (d, d).
        process: the process that is returned as its training process, or None.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(self, mean: Tensor, cov: Tensor | float, process: Process | None = None):
        super().__init__()
        self.process = process
        mean = check.floating("mean", mean).to(torch.float64)
        if mean.dim() != 1:
            raise ValueError(f"`mean` must have shape (d,), got {tuple(mean.shape)}")

        cov = torch.as_tensor(cov, dtype=torch.float64, device=mean.device)
        if cov.dim() == 2:
            values, basis = principal(cov)
        else:
            values = cov.expand(len(mean)).clone()
            basis = torch.eye(len(mean), dtype=torch.float64, device=mean.device)

        if bool((values < 0).any()):
            raise ValueError(f"`cov` must be positive semi-definite, got the eigenvalue {float(values.min()):.3g}")

        self.diagonal = cov.dim() < 2
        self.mean: Tensor
        self.values: Tensor
        self.basis: Tensor

        for name, value in (("mean", mean), ("values", values), ("basis", basis)):
            self.register_buffer(name, value)

    @property
    def moments(self) -> Moments:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The mean and covariance of the data."""
        return Moments.gaussian(self.mean, self.basis * self.values @ self.basis.T)

    def _turn(self, x: Tensor, basis: Tensor) -> Tensor:
        if self.diagonal:
            return x
        basis = basis.to(x.dtype)
        return (x.unsqueeze(-1) * basis).sum(-2) if len(basis) ** 2 <= BROADCAST else x @ basis

    def _solve(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(x - alpha m) in the eigenbasis, and the variances there."""
        flat = flattened(x, len(self.mean))
        a = like(alpha, flat)
        s = like(sigma, flat)
        return self._turn(flat - self.mean.to(x.dtype) * a, self.basis), self.values.to(x.dtype) * a**2 + s**2

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        y, variance = self._solve(x, alpha, sigma)
        u = y / variance
        x0 = self.mean.to(x.dtype) + self._turn(u * self.values.to(x.dtype) * like(alpha, u), self.basis.T)
        eps = self._turn(u * like(sigma, u), self.basis.T)
        return answer(x, x0.reshape(x.shape), eps.reshape(x.shape), alpha, sigma)

    def log_prob(self, x: Tensor, alpha: Any = 1.0, sigma: Any = 0.0) -> Tensor:
        """The log density of alpha x0 + sigma eps at x, in nats, (B,).

        Args:
            x: states or samples, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        y, variance = self._solve(x, as_time(alpha, "alpha"), as_time(sigma, "sigma"))
        return (-0.5 * (y**2 / variance + variance.log() + math.log(2 * math.pi))).sum(-1)

    def law(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of the data, on the CPU."""
        return self.mean.cpu(), (self.basis * self.values @ self.basis.T).cpu()

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw samples of the data, (n, d) float64.

        Args:
            n: number of samples.
            seed: sample i is a function of (seed, i).
        """
        z = SeededNoise(seed).normal(PRIOR, range(1), (n, len(self.mean)), torch.float64, self.mean.device)[0]
        return self.mean + self._turn(z * self.values.sqrt(), self.basis.T)


class MomentsGaussian(BaseDenoiser):
    """The denoiser of a Gaussian with given moments, in any basis:

        x0 = m + B diag(alpha l/(alpha^2 l + sigma^2)) B' (x - alpha m).

    Args:
        moments: mean m, and variances l along the columns of B.
        state: a batch of the shape, dtype and device of the states; its numbers are not used.
    """

    def __init__(self, moments: Moments, state: Tensor):
        super().__init__()
        self.process: Process | None = None
        self.shape = moments.sample_shape(state)
        self.basis = moments.basis.on(state.reshape(len(state), *self.shape))
        self.mean = moments.mean.to(state.device, state.dtype)
        self.variance = moments.std.to(state.device, state.dtype).square()

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        apart = x.reshape(len(x), *self.shape)
        u = self.basis.to(apart - self.mean * like(alpha, apart))
        u = u / (self.variance * like(alpha, u) ** 2 + like(sigma, u) ** 2)
        x0 = self.basis.back(u * self.variance * like(alpha, u)) + self.mean
        eps = self.basis.back(u * like(sigma, u))
        return answer(x, x0.reshape(x.shape), eps.reshape(x.shape), alpha, sigma)

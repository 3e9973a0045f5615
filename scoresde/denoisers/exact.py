"""Closed-form denoisers: the truth for tests and benchmarks.

For data N(m, C): D = m + alpha C (alpha^2 C + sigma^2 I)^{-1} (x - alpha m), eps = sigma (alpha^2 C + sigma^2 I)^{-1}
(x - alpha m). A mixture weighs its components' answers by posterior responsibilities, in log space. Sums over
components and dimensions go by broadcasting, not by matrix products, while they are small: each sample's answer is
then bit-equal in any batch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..processes.base import Process
from ..processes.coefficients import as_time, like
from .denoiser import BaseDenoiser, V
from .moments import Moments
from .prediction import Prediction

_BROADCAST = 4096  # components x dimensions up to which nothing is a matrix product
_MOST_DIRECTIONS = 1024  # whose covariance is looked at
_CHUNK = 1 << 24  # numbers held at once beyond that


def _answer(
    x: Tensor,
    x0: Tensor,
    eps: Tensor,
    alpha: Tensor,
    sigma: Tensor,
) -> Prediction:
    """A prediction from both answers, held as v, which loses neither."""
    r = (alpha**2 + sigma**2).sqrt()  # hypot is not bit-equal across batch sizes
    v = (eps * like(alpha / r, x) - x0 * like(sigma / r, x)).reshape(x.shape)
    table = V()
    return Prediction(
        x,
        v,
        alpha,
        sigma,
        table.to_x0(alpha, sigma),
        table.to_eps(alpha, sigma),
    )


def _flat(x: Tensor, d: int) -> Tensor:
    flat = check.floating("x", x).reshape(len(x), -1)
    if flat.shape[1] != d:
        raise ValueError(f"`x` must hold {d} numbers per sample, got shape {tuple(x.shape)}")
    return flat


class Gaussian(BaseDenoiser):
    """Data N(mean, cov): mean (d,), cov a number, (d,) or (d, d)."""

    def __init__(self, mean: Tensor, cov: Tensor | float, process: Process | None = None):
        super().__init__()
        self.process = process
        mean = check.floating("mean", mean).to(torch.float64)
        if mean.dim() != 1:
            raise ValueError(f"`mean` must have shape (d,), got {tuple(mean.shape)}")

        cov = torch.as_tensor(cov, dtype=torch.float64, device=mean.device)
        if cov.dim() == 2:
            values, basis = torch.linalg.eigh(cov)
        else:
            values = cov.expand(len(mean)).clone()
            basis = torch.eye(len(mean), dtype=torch.float64, device=mean.device)

        if bool((values < 0).any()):
            raise ValueError(f"`cov` must be positive semi-definite, got eigenvalues {values.tolist()}")

        self.diagonal = cov.dim() < 2
        self.mean: Tensor
        self.values: Tensor
        self.basis: Tensor

        for name, value in (("mean", mean), ("values", values), ("basis", basis)):
            self.register_buffer(name, value)

    @property
    def moments(self) -> Moments:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Its mean and covariance."""
        return Moments.gaussian(self.mean, self.basis * self.values @ self.basis.T)

    def _turn(self, x: Tensor, basis: Tensor) -> Tensor:
        if self.diagonal:
            return x
        basis = basis.to(x.dtype)
        return (x.unsqueeze(-1) * basis).sum(-2) if len(basis) ** 2 <= _BROADCAST else x @ basis

    def _solve(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(x - alpha m) in the eigenbasis, and the variances there."""
        flat = _flat(x, len(self.mean))
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
        return _answer(x, x0.reshape(x.shape), eps.reshape(x.shape), alpha, sigma)

    def log_prob(self, x: Tensor, alpha: Any = 1.0, sigma: Any = 0.0) -> Tensor:
        """log density of alpha x0 + sigma eps in nats, (B,).

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
        """n draws of the data, (n, d) float64."""
        z = SeededNoise(seed).normal(PRIOR, range(1), (n, len(self.mean)), torch.float64, self.mean.device)[0]
        return self.mean + self._turn(z * self.values.sqrt(), self.basis.T)


class GaussianMixture(BaseDenoiser):
    """Data sum_k w_k N(m_k, diag v_k): means (K, d); variances a number, (K,) or (K, d); weights (K,), equal by
    default."""

    def __init__(
        self,
        means: Tensor,
        variances: Tensor | float,
        weights: Tensor | None = None,
        process: Process | None = None,
    ):
        super().__init__()
        self.process = process
        means = check.floating("means", means).to(torch.float64)
        if means.dim() != 2:
            raise ValueError(f"`means` must have shape (K, d), got {tuple(means.shape)}")

        count = len(means)
        spread = torch.as_tensor(variances, dtype=torch.float64, device=means.device)
        if (
            spread.dim() > 2
            or (spread.dim() > 0 and spread.shape[0] != count)
            or (spread.dim() == 2 and spread.shape[1] not in (1, means.shape[1]))
        ):
            raise ValueError(
                f"`variances` must be a number, ({count},) or {tuple(means.shape)}, got shape {tuple(spread.shape)}"
            )
        if not bool((spread >= 0).all()):
            raise ValueError("`variances` must be non-negative")

        if weights is None:
            weights = torch.full((count,), 1.0 / count, dtype=torch.float64, device=means.device)

        weights = check.floating("weights", weights).to(torch.float64)
        if weights.shape != (count,) or not bool((weights > 0).all()):
            raise ValueError(f"`weights` must be {count} positive numbers, got {weights.tolist()}")

        self.shared = spread.dim() == 0
        spread = spread.reshape(-1, 1) if spread.dim() < 2 else spread  # (1, 1), (K, 1) or (K, d)
        self.means: Tensor
        self.variances: Tensor
        self.log_weights: Tensor

        for name, value in (("means", means), ("variances", spread), ("log_weights", (weights / weights.sum()).log())):
            self.register_buffer(name, value)

    @property
    def moments(self) -> Moments:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Mean and covariance of the mixture; beyond 1024 dimensions one standard deviation for all directions."""
        weights = self.log_weights.exp()
        mean = weights @ self.means
        apart = self.means - mean
        within = (weights[:, None] * self.variances).sum(0).expand(len(mean))

        if len(mean) > _MOST_DIRECTIONS:
            return Moments(mean, (weights @ apart.square() + within).mean().sqrt())

        return Moments.gaussian(mean, (apart.T * weights) @ apart + torch.diag(within))

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        flat = _flat(x, self.means.shape[1])

        if self.shared and self.means.numel() > _BROADCAST:
            x0, eps = self._shared(flat, like(alpha, flat), like(sigma, flat))
        else:
            rows = max(1, _CHUNK // self.means.numel())
            parts = [self._posterior(part, a, s) for part, a, s in _chunks(flat, alpha, sigma, rows)]
            x0, eps = (torch.cat([part[i] for part in parts]) if len(parts) > 1 else parts[0][i] for i in (0, 1))

        return _answer(x, x0.reshape(x.shape), eps.reshape(x.shape), alpha, sigma)

    def _logits(self, x: Tensor, a: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log w_k N(x; a m_k, a^2 v_k + s^2) (B, K), the differences (B, K, d) and the variances."""
        difference = x.unsqueeze(1) - self.means.to(x.dtype) * _wide(a)
        variance = self.variances.to(x.dtype) * _wide(a) ** 2 + _wide(s) ** 2
        log_det = variance.log().sum(-1) * (1 if variance.shape[-1] == x.shape[1] else x.shape[1])
        logits = self.log_weights.to(x.dtype) - 0.5 * ((difference**2 / variance).sum(-1) + log_det)
        return logits, difference, variance

    def _posterior(self, x: Tensor, a: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        logits, difference, variance = self._logits(x, a, s)
        chance = logits.softmax(-1).unsqueeze(-1)
        u = difference / variance
        x0 = (chance * (self.means.to(x.dtype) + u * self.variances.to(x.dtype) * _wide(a))).sum(1)
        return x0, (chance * u).sum(1) * s

    def _shared(self, x: Tensor, a: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """One variance for all components: two matrix products, no (B, K, d) array."""
        means = self.means.to(x.dtype)
        v = self.variances.to(x.dtype).reshape(())
        variance = v * a**2 + s**2
        logits = self.log_weights.to(x.dtype) + a * (x @ means.T - 0.5 * a * (means**2).sum(1)) / variance
        mean = logits.softmax(-1) @ means
        u = (x - mean * a) / variance

        return mean + u * v * a, u * s

    def log_prob(self, x: Tensor, alpha: Any = 1.0, sigma: Any = 0.0) -> Tensor:
        """log density of alpha x0 + sigma eps in nats, (B,).

        Args:
            x: states or samples, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        flat = _flat(x, self.means.shape[1])
        rows = max(1, _CHUNK // self.means.numel())
        parts = [
            self._logits(part, a, s)[0].logsumexp(-1)
            for part, a, s in _chunks(flat, as_time(alpha, "alpha"), as_time(sigma, "sigma"), rows)
        ]

        return torch.cat(parts) - 0.5 * flat.shape[1] * math.log(2 * math.pi)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n draws of the data, (n, d) float64."""
        source = SeededNoise(seed)
        device = self.means.device
        u = source.uniform(PRIOR, range(1, 2), (n, 1), device=device).flatten().contiguous()
        which = torch.searchsorted(self.log_weights.exp().cumsum(0), u).clamp(max=len(self.means) - 1)
        z = source.normal(PRIOR, range(1), (n, self.means.shape[1]), torch.float64, device)[0]
        return self.means[which] + z * self.variances.expand(len(self.means), -1)[which].sqrt()


def Empirical(data: Tensor, std: float, process: Process | None = None) -> GaussianMixture:
    """The ideal denoiser of a data set (N, ...): equal components of standard deviation `std` at every point."""
    std = check.number("std", std, above=0.0)
    return GaussianMixture(check.state("data", data).reshape(len(data), -1), std**2, process=process)


def _wide(c: Tensor) -> Tensor:
    """(B, 1) -> (B, 1, 1), against (B, K, d)."""
    return c.unsqueeze(-1) if c.dim() else c


def _chunks(
    x: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    rows: int,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    a = like(alpha, x)
    s = like(sigma, x)
    pick = [slice(i, i + rows) for i in range(0, len(x), rows)]
    return [(x[p], a[p] if a.dim() else a, s[p] if s.dim() else s) for p in pick]

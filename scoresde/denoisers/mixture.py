"""The denoiser of a mixture of Gaussians in closed form."""

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
from .gaussian import BROADCAST, answer, flattened, principal
from .moments import Moments
from .prediction import Prediction

_MOST_DIRECTIONS = 1024  # up to this dimension, `moments` uses the full covariance
_CHUNK = 1 << 24  # largest number of elements of a (B, K, d) array; larger batches are split
_ASYMMETRY = 1e-9  # largest asymmetry of a covariance, relative to its largest entry


class GaussianMixture(BaseDenoiser):
    """The denoiser of a mixture of Gaussians, sum_k w_k N(m_k, V_k), in closed form.

    Args:
        means: m_k, (K, d).
        variances: V_k: a number, (K,), (K, d) for diagonals, (K, d, d) for covariances, or (1, d, d) for a shared one.
        weights: w_k, (K,) positive; equal by default. They are divided by their sum.
        process: the process that is returned as its training process, or None.

    Raises:
        TypeError, ValueError: naming the argument.
    """

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
        given = torch.as_tensor(variances, dtype=torch.float64, device=means.device)
        _check_variances(given, means)
        spread, basis = principal(given) if given.dim() == 3 else (given, None)
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
        self.basis: Tensor | None
        self.register_buffer("means", means)
        self.register_buffer("variances", spread)
        self.register_buffer("log_weights", (weights / weights.sum()).log())
        self.register_buffer("basis", basis)

    def covariances(self) -> Tensor:
        """The covariances V_k, (K, d, d) float64; (1, d, d) if all components share one."""
        if self.basis is not None:
            return (self.basis * self.variances.unsqueeze(-2)) @ self.basis.mT
        return torch.diag_embed(self.variances.expand(-1, self.means.shape[1]))

    @property
    def moments(self) -> Moments:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Mean and covariance of the mixture. In more than 1024 dimensions all directions get one standard
        deviation."""
        weights = self.log_weights.exp()
        mean = weights @ self.means
        apart = self.means - mean

        if len(mean) > _MOST_DIRECTIONS:
            variances = self.variances.mean(-1).expand(len(weights))  # a rotation does not change their sum
            return Moments(mean, (weights @ (apart.square().mean(1) + variances)).sqrt())

        if self.basis is None:
            within = torch.diag((weights[:, None] * self.variances).sum(0).expand(len(mean)))
        else:
            within = torch.einsum("k,kij->ij", weights, self.covariances().expand(len(weights), -1, -1))

        return Moments.gaussian(mean, (apart.T * weights) @ apart + within)

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        return self.weighted(x, alpha, sigma, self.log_weights)

    def weighted(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        log_weights: Tensor,
    ) -> Prediction:
        """The prediction for other weights of the components, which may differ from sample to sample.

        Args:
            x: states, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
            log_weights: (K,) or (B, K), up to a constant per row; -inf leaves a component out.
        """

        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        flat = flattened(x, self.means.shape[1])

        if self.shared and self.means.numel() > BROADCAST:
            x0, eps = self._shared(flat, like(alpha, flat), like(sigma, flat), log_weights)
        else:
            parts = [self._posterior(*part) for part in self._chunks(flat, alpha, sigma, log_weights)]
            x0, eps = (torch.cat([part[i] for part in parts]) if len(parts) > 1 else parts[0][i] for i in (0, 1))

        return answer(x, x0.reshape(x.shape), eps.reshape(x.shape), alpha, sigma)

    def _turn(self, x: Tensor, back: bool = False) -> Tensor:
        """Coordinates in the eigenbases of the components, (B, K, d) -> (B, K, d), or back from them."""
        if self.basis is None:
            return x

        basis = (self.basis.mT if back else self.basis).to(x.dtype)

        if self.means.numel() * x.shape[-1] <= BROADCAST:
            return (x.unsqueeze(-1) * basis).sum(-2)
        return (x.unsqueeze(-2) @ basis).squeeze(-2)

    def _logits(self, x: Tensor, a: Tensor, s: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log w_k N(x; a m_k, a^2 V_k + s^2) (B, K), the differences (B, K, d) and the variances, in eigenbases."""
        difference = self._turn(x.unsqueeze(1) - self.means.to(x.dtype) * _wide(a))
        variance = self.variances.to(x.dtype) * _wide(a) ** 2 + _wide(s) ** 2
        log_det = variance.log().sum(-1) * (1 if variance.shape[-1] == x.shape[1] else x.shape[1])
        logits = log_weights.to(x.dtype) - 0.5 * ((difference**2 / variance).sum(-1) + log_det)
        return logits, difference, variance

    def _posterior(self, x: Tensor, a: Tensor, s: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
        logits, difference, variance = self._logits(x, a, s, log_weights)
        chance = logits.softmax(-1).unsqueeze(-1)
        u = difference / variance
        toward = self._turn(u * self.variances.to(x.dtype) * _wide(a), back=True)
        x0 = (chance * (self.means.to(x.dtype) + toward)).sum(1)
        return x0, (chance * self._turn(u, back=True)).sum(1) * s

    def _shared(self, x: Tensor, a: Tensor, s: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
        """One variance for all components: two matrix products, no (B, K, d) array."""
        means = self.means.to(x.dtype)
        v = self.variances.to(x.dtype).reshape(())
        variance = v * a**2 + s**2
        logits = log_weights.to(x.dtype) + a * (x @ means.T - 0.5 * a * (means**2).sum(1)) / variance
        mean = logits.softmax(-1) @ means
        u = (x - mean * a) / variance

        return mean + u * v * a, u * s

    def log_prob(self, x: Tensor, alpha: Any = 1.0, sigma: Any = 0.0) -> Tensor:
        """The log density of alpha x0 + sigma eps at x, in nats, (B,).

        Args:
            x: states or samples, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        flat = flattened(x, self.means.shape[1])
        chunks = self._chunks(flat, as_time(alpha, "alpha"), as_time(sigma, "sigma"), self.log_weights)
        parts = [self._logits(*chunk)[0].logsumexp(-1) for chunk in chunks]

        return torch.cat(parts) - 0.5 * flat.shape[1] * math.log(2 * math.pi)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw samples of the data, (n, d) float64.

        Args:
            n: number of samples.
            seed: sample i is a function of (seed, i).
        """
        source = SeededNoise(seed)
        device = self.means.device
        u = source.uniform(PRIOR, range(1, 2), (n, 1), device=device).flatten().contiguous()
        which = torch.searchsorted(self.log_weights.exp().cumsum(0), u).clamp(max=len(self.means) - 1)
        z = source.normal(PRIOR, range(1), (n, self.means.shape[1]), torch.float64, device)[0]
        z = z * self.variances.expand(len(self.means), -1)[which].sqrt()

        if self.basis is not None:
            bases = self.basis.expand(len(self.means), -1, -1)[which]
            z = (bases @ z.unsqueeze(-1)).squeeze(-1)

        return self.means[which] + z

    def _chunks(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        log_weights: Tensor,
    ) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """The batch in slices that are small enough for memory."""
        a = like(alpha, x)
        s = like(sigma, x)
        rows = max(1, _CHUNK // self.means.numel())
        pick = [slice(i, i + rows) for i in range(0, len(x), rows)]

        return [
            (
                x[p],
                a[p] if a.dim() else a,
                s[p] if s.dim() else s,
                log_weights[p] if log_weights.dim() > 1 else log_weights,
            )
            for p in pick
        ]


def Empirical(data: Tensor, std: float, process: Process | None = None) -> GaussianMixture:
    """The ideal denoiser of a data set: a mixture with an equal component at every point.

    Args:
        data: its points, (N, ...); the denoiser takes states of any shape with as many numbers per sample.
        std: standard deviation of a component, positive.
        process: the process that is returned as its training process, or None.
    """
    std = check.number("std", std, above=0.0)
    return GaussianMixture(check.state("data", data).reshape(len(data), -1), std**2, process=process)


def _check_variances(given: Tensor, means: Tensor) -> None:
    """Raise ValueError naming `variances` if they do not fit the means."""
    count, d = means.shape
    fits = {
        0: True,
        1: given.shape == (count,),
        2: given.dim() == 2 and len(given) == count and given.shape[1] in (1, d),
        3: given.dim() == 3 and len(given) in (1, count) and given.shape[1:] == (d, d),
    }

    if not fits.get(given.dim(), False):
        raise ValueError(
            f"`variances` must be a number, ({count},), {(count, d)} or {(count, d, d)}, got shape {tuple(given.shape)}"
        )
    if given.dim() == 3 and bool(((given - given.mT).abs() > _ASYMMETRY * given.abs().max()).any()):
        raise ValueError("`variances` must be symmetric, got a covariance that is not")


def _wide(c: Tensor) -> Tensor:
    """(B, 1) -> (B, 1, 1), against (B, K, d)."""
    return c.unsqueeze(-1) if c.dim() else c

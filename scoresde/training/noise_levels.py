"""Noise levels to train at: distributions of t as quantile functions, and uniforms spread evenly over a batch.

    t, weight = levels(stratified(u), process),        E_levels[weight * loss(t)]

`weight` is one except where the distribution is only a better way to draw another one (`Importance`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import check

from ..processes.base import Process


def stratified(u: Tensor) -> Tensor:
    """(i + u_i)/B: one uniform in each of B equal cells, u (B,) uniform in (0, 1).

    A batch's mean of a smooth function has variance O(B^-3), independent draws O(B^-1); the one draw shared by all
    cells of Kingma et al. 2021, arXiv:2107.00630, section I.1, has O(B^-2)."""
    return (torch.arange(len(u), dtype=u.dtype, device=u.device) + u) / len(u)


@dataclass(frozen=True)
class NoiseLevels(ABC):
    """Abstract distribution of noise levels: levels(u, process) -> (t, weight), both (B,), u (B,) uniform in (0, 1),
    float64.

    t is the quantile function at u, inside [t_min, t_max]: distributions on the whole line are truncated there."""

    @abstractmethod
    def __call__(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        """Times and weights."""


@dataclass(frozen=True)
class Uniform(NoiseLevels):
    """t uniform over the process' range."""

    def __call__(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        return process.t_min + (process.t_max - process.t_min) * u, torch.ones_like(u)


@dataclass(frozen=True)
class LogNormal(NoiseLevels):
    """log(sigma/alpha) ~ N(mean, std^2): the noise levels of EDM. Karras et al. 2022, arXiv:2206.00364, table 1."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        _check_normal(self.mean, self.std)

    def __call__(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        return _normal(
            u,
            process,
            self.mean,
            self.std,
            lambda t: -process.lam(t),
            lambda z: process.time(-z),
        ), torch.ones_like(u)


@dataclass(frozen=True)
class LogitNormal(NoiseLevels):
    """log(t/(1 - t)) ~ N(mean, std^2), for processes with t in [0, 1]; along RectifiedFlow the same as LogNormal.

    Esser et al. 2024, arXiv:2403.03206, section 3.1. Raises ValueError where t exceeds 1."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        _check_normal(self.mean, self.std)

    def __call__(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        if process.t_min < 0 or process.t_max > 1:
            raise ValueError(f"`process` must have t in [0, 1] for logit-normal levels, got {process!r}; use LogNormal")
        return _normal(
            u,
            process,
            self.mean,
            self.std,
            torch.logit,
            torch.sigmoid,
        ), torch.ones_like(u)


@dataclass(frozen=True)
class Importance(NoiseLevels):
    """t with density proportional to g^2/sigma^2 = 2 |lam'|, that is lam uniform; weighted so that means are those of
    `Uniform`.

    With `MaximumLikelihood` the weights cancel: weight * loss = |lam_max - lam_min| ||eps_hat - eps||^2, without the
    1/t of the plain estimate. Song, Durkan, Murray & Ermon 2021, arXiv:2101.09258, section 5.1. Raises ValueError
    where lam is infinite."""

    def __call__(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        noisy, clean = _ends(process, process.lam, process.t_noise, process.t_data)
        if not math.isfinite(noisy) or not math.isfinite(clean):
            raise ValueError(
                f"`process` must have finite log-SNR at both ends to be importance-sampled, got {process!r};"
                " move t_max inside"
            )

        t = process.time(clean + (noisy - clean) * u).clamp(process.t_min, process.t_max)
        rate = 0.5 * (process.diffusion(t) / process.sigma(t)) ** 2

        return t, abs(clean - noisy) / ((process.t_max - process.t_min) * rate)


def _check_normal(mean: float, std: float) -> None:
    check.number("mean", mean)
    check.number("std", std, above=0.0)


def _ends(process: Process, f: Callable[[Tensor], Tensor], *times: float) -> list[float]:
    return check.values(f(torch.tensor(times, dtype=torch.float64, device="cpu")))


def _normal(
    u: Tensor,
    process: Process,
    mean: float,
    std: float,
    forth: Callable[[Tensor], Tensor],
    back: Callable[[Tensor], Tensor],
) -> Tensor:
    """Quantiles of the t for which forth(t) ~ N(mean, std^2), truncated to the process' range."""
    first, last = (
        0.5 * math.erfc((mean - z) / (std * math.sqrt(2))) for z in _ends(process, forth, process.t_min, process.t_max)
    )
    z = mean + std * torch.special.ndtri(first + (last - first) * u)

    return back(z).clamp(process.t_min, process.t_max)

"""Distributions of the noise levels for training, as quantile functions of t, and stratified uniforms for a batch.

    t, weight = levels(stratified(u), process),        E_levels[weight * loss(t)]

`weight` is 1, except for importance sampling (`Importance`).
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
    """(i + u_i)/B: one uniform number in each of B equal cells, from u (B,) uniform in (0, 1).

    The mean of a smooth function over the batch then has variance O(B^-3). With independent draws it is O(B^-1). With
    one draw shared by all cells (Kingma et al. 2021, arXiv:2107.00630, section I.1) it is O(B^-2)."""
    return (torch.arange(len(u), dtype=u.dtype, device=u.device) + u) / len(u)


@dataclass(frozen=True)
class NoiseLevels(ABC):
    """Abstract distribution of noise levels: levels(u, process) -> (t, weight), both (B,), for u (B,) uniform in (0, 1)
    in float64.

    t is the quantile function at u. Distributions on the whole line are truncated to [t_min, t_max]."""

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
    """log(t/(1 - t)) ~ N(mean, std^2), for processes with t in [0, 1]. For RectifiedFlow it equals LogNormal.

    Esser et al. 2024, arXiv:2403.03206, section 3.1. Raises ValueError if t lies outside [0, 1]."""

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
    """Importance sampling: the density of t is proportional to g^2/sigma^2 = 2 |lam'|, so that lam is uniform. The
    weights make the expected loss equal to that of `Uniform`.

    With `MaximumLikelihood` the weights cancel: weight * loss = |lam_max - lam_min| ||eps_hat - eps||^2, without the
    factor 1/t that uniform t has. Song, Durkan, Murray & Ermon 2021, arXiv:2101.09258, section 5.1. Raises ValueError
    if lam is infinite at an end."""

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
    """Quantiles at u of the distribution of t in which forth(t) ~ N(mean, std^2), truncated to the process' range."""
    first, last = (
        0.5 * math.erfc((mean - z) / (std * math.sqrt(2))) for z in _ends(process, forth, process.t_min, process.t_max)
    )
    z = mean + std * torch.special.ndtri(first + (last - first) * u)

    return back(z).clamp(process.t_min, process.t_max)

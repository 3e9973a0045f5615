"""Forward processes in closed form: each turns data into noise as t grows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import check

from .base import Rates, TowardNoise, check_range
from .coefficients import as_time


def _log_one_minus_exp(x: Tensor) -> Tensor:
    """log(1 - e^x) for x < 0, accurate at both ends."""
    return torch.where(x > -math.log(2), torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


@dataclass(frozen=True)
class LinearBeta(TowardNoise):
    """Abstract: dx = -beta x/2 dt + ..., beta(t) = beta_min + t (beta_max - beta_min), so that log alpha = -B/2 with
    B(t) = int_0^t beta."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check.number("beta_min", self.beta_min, least=0.0)
        check.number("beta_max", self.beta_max, above=0.0)
        if self.beta_max < self.beta_min:
            raise ValueError(f"`beta_max` must be at least beta_min = {self.beta_min!r}, got {self.beta_max!r}")
        check_range(("t_min", self.t_min), ("t_max", self.t_max), above=0.0)

    def rate(self, t: Any) -> Tensor:
        """beta(t)."""
        return self.beta_min + as_time(t) * (self.beta_max - self.beta_min)

    def integral(self, t: Any) -> Tensor:
        """B(t)."""
        t = as_time(t)
        return t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def time_of_integral(self, b: Tensor) -> Tensor:
        """The positive root of B(t) = b, without cancellation."""
        return 2 * b / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * b))

    def log_alpha(self, t: Any) -> Tensor:
        return -0.5 * self.integral(t)

    def alpha_rate(self, t: Any) -> Tensor:
        return -0.5 * self.rate(t) * self.alpha(t)

    def constant_rates(self) -> Rates:
        return None, None


@dataclass(frozen=True)
class VPSDE(LinearBeta):
    """The variance-preserving SDE dx = -beta x/2 dt + sqrt(beta) dw, beta(t) = beta_min + t (beta_max - beta_min).

    log alpha = -B/2, sigma^2 = 1 - e^{-B}, B(t) = int_0^t beta. Song et al. 2021, arXiv:2011.13456, appendix C."""

    def log_sigma(self, t: Any) -> Tensor:
        return 0.5 * _log_one_minus_exp(-self.integral(t))

    def variance_rate(self, t: Any) -> Tensor:
        return self.rate(t) * self.alpha(t) ** 2

    def time(self, lam: Any) -> Tensor:
        return self.time_of_integral(torch.nn.functional.softplus(-2 * as_time(lam, "lam"), threshold=1e3))


@dataclass(frozen=True)
class SubVPSDE(LinearBeta):
    """The sub-VP SDE dx = -beta x/2 dt + sqrt(beta (1 - e^{-2B})) dw: alpha as in `VPSDE`, sigma = 1 - e^{-B}. Song et
    al. 2021, arXiv:2011.13456."""

    def log_sigma(self, t: Any) -> Tensor:
        return _log_one_minus_exp(-self.integral(t))

    def variance_rate(self, t: Any) -> Tensor:
        return 2 * self.rate(t) * self.alpha(t) ** 2 * self.sigma(t)

    def time(self, lam: Any) -> Tensor:
        # alpha/(1 - alpha^2) = e^lam = r, so alpha/r = 1 - alpha^2 = 2/(1 + sqrt(1 + 4 r^2)) =: q and B = -log(1 - q)
        lam = as_time(lam, "lam")
        root = (1 + 4 * torch.exp(2 * lam)).sqrt()
        q = 2 / (1 + root)
        return self.time_of_integral(torch.where(q < 0.5, -torch.log1p(-q), -2 * (q.log() + lam)))


@dataclass(frozen=True)
class VESDE(TowardNoise):
    """The variance-exploding SDE dx = sigma sqrt(2 log(sigma_max/sigma_min)) dw, sigma(t) = sigma_min
    (sigma_max/sigma_min)^t.

    Song et al. 2021, arXiv:2011.13456, appendix C."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_range(("sigma_min", self.sigma_min), ("sigma_max", self.sigma_max), above=0.0)
        check_range(("t_min", self.t_min), ("t_max", self.t_max), above=0.0)

    @property
    def _growth(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def log_alpha(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def log_sigma(self, t: Any) -> Tensor:
        return math.log(self.sigma_min) + self._growth * as_time(t)

    def alpha_rate(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def variance_rate(self, t: Any) -> Tensor:
        return 2 * self._growth * self.sigma(t) ** 2

    def time(self, lam: Any) -> Tensor:
        return (-as_time(lam, "lam") - math.log(self.sigma_min)) / self._growth

    def constant_rates(self) -> Rates:
        return 0.0, self._growth


@dataclass(frozen=True)
class CosineVP(TowardNoise):
    """The cosine process: alpha = cos u / cos u_0, u = (t + s)/(1 + s) pi/2, u_0 = u(0), sigma^2 = 1 - alpha^2. s = 0
    is the plain cosine.

    t_max is below 1, because the log-SNR tends to minus infinity at 1. Nichol & Dhariwal 2021, arXiv:2102.09672."""

    s: float = 0.008
    t_min: float = 1e-3
    t_max: float = 0.9946

    def __post_init__(self) -> None:
        check.number("s", self.s, least=0.0, below=1.0)
        check_range(("t_min", self.t_min), ("t_max", self.t_max), above=0.0, below=1.0)

    @property
    def _speed(self) -> float:
        return math.pi / (2 * (1 + self.s))

    @property
    def _start(self) -> float:
        return self.s * self._speed

    def _variance(self, t: Tensor) -> Tensor:
        # cos^2 u_0 - cos^2 u = sin(u - u_0) sin(u + u_0): no cancellation at small t
        moved = t * self._speed
        return moved.sin() * (moved + 2 * self._start).sin() / math.cos(self._start) ** 2

    def log_alpha(self, t: Any) -> Tensor:
        t = as_time(t)
        small = 0.5 * torch.log1p(-self._variance(t).clamp(max=0.75))
        return torch.where(t < 0.5, small, ((t + self.s) * self._speed).cos().log() - math.log(math.cos(self._start)))

    def log_sigma(self, t: Any) -> Tensor:
        return 0.5 * self._variance(as_time(t)).log()

    def alpha_rate(self, t: Any) -> Tensor:
        return -self._speed * ((as_time(t) + self.s) * self._speed).sin() / math.cos(self._start)

    def variance_rate(self, t: Any) -> Tensor:
        return -2 * self.alpha(t) * self.alpha_rate(t)

    def time(self, lam: Any) -> Tensor:
        # sin^2 u = sin^2 u_0 + sigma^2 cos^2 u_0 and cos u = alpha cos u_0; u - u_0 through the sine of the difference
        lam = as_time(lam, "lam")
        variance = torch.sigmoid(-2 * lam)
        alpha2 = torch.sigmoid(2 * lam)
        sin0 = math.sin(self._start)
        cos0 = math.cos(self._start)
        sin_u = (sin0**2 + variance * cos0**2).sqrt()
        alpha = alpha2.sqrt()
        gap = variance / (sin_u + alpha * sin0)  # sin u - alpha sin u_0 = sin(u - u_0) / cos u_0

        return torch.atan2(gap * cos0, alpha * cos0**2 + sin_u * sin0) / self._speed

    def constant_rates(self) -> Rates:
        return None, None


@dataclass(frozen=True)
class RectifiedFlow(TowardNoise):
    """The process of flow matching: alpha = 1 - t, sigma = t, straight paths from data to noise. Liu et al. 2023,
    arXiv:2209.03003; Lipman et al. 2023, arXiv:2210.02747.

    At t = 1 there is no signal: lam(1) = -inf. Use `UniformTime(RectifiedFlow())`; grids uniform in lam cannot start
    there."""

    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_range(("t_min", self.t_min), ("t_max", self.t_max), above=0.0, below=1.0 + 1e-12)

    def log_alpha(self, t: Any) -> Tensor:
        return torch.log1p(-as_time(t))

    def log_sigma(self, t: Any) -> Tensor:
        return as_time(t).log()

    def alpha_rate(self, t: Any) -> Tensor:
        return -torch.ones_like(as_time(t))

    def variance_rate(self, t: Any) -> Tensor:
        return 2 * as_time(t)

    def time(self, lam: Any) -> Tensor:
        return torch.sigmoid(-as_time(lam, "lam"))

    def constant_rates(self) -> Rates:
        return None, None

"""Time variables for samplers: processes whose time is a function of the noise level.

EDM runs in sigma, Variance in sigma^2, LogSNR and UnitNoise in lam (toward data), Angle in arctan(sigma/(sigma_data
alpha)). Any model can be integrated along any of them, because a denoiser is homogeneous.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import check

from .base import Rates, TowardData, TowardNoise, check_range
from .coefficients import as_time


@dataclass(frozen=True)
class EDM(TowardNoise):
    """alpha = 1, sigma = t: time is the noise level. Karras et al. 2022, arXiv:2206.00364."""

    t_min: float = 0.002
    t_max: float = 80.0

    def __post_init__(self) -> None:
        check_range(("t_min", self.t_min), ("t_max", self.t_max), above=0.0)

    def log_alpha(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def log_sigma(self, t: Any) -> Tensor:
        return as_time(t).log()

    def alpha_rate(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def variance_rate(self, t: Any) -> Tensor:
        return 2 * as_time(t)

    def time(self, lam: Any) -> Tensor:
        return torch.exp(-as_time(lam, "lam"))

    def constant_rates(self) -> Rates:
        return 0.0, None


@dataclass(frozen=True)
class Variance(TowardNoise):
    """alpha = 1, sigma = sqrt t: dx = dw, and time is the variance of the noise. Used by variance-exploding reverse
    diffusion."""

    t_min: float = 0.002**2
    t_max: float = 80.0**2

    def __post_init__(self) -> None:
        check_range(("t_min", self.t_min), ("t_max", self.t_max), above=0.0)

    def log_alpha(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def log_sigma(self, t: Any) -> Tensor:
        return 0.5 * as_time(t).log()

    def alpha_rate(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def variance_rate(self, t: Any) -> Tensor:
        return torch.ones_like(as_time(t))

    def time(self, lam: Any) -> Tensor:
        return torch.exp(-2 * as_time(lam, "lam"))

    def constant_rates(self) -> Rates:
        return 0.0, None


@dataclass(frozen=True)
class LogSNR(TowardData):
    """alpha = 1, sigma = e^{-t}: time is lam. Used by DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095). In the x0 split
    the equation has a constant linear part."""

    t_noise: float = -math.log(80.0)
    t_data: float = -math.log(0.002)

    def __post_init__(self) -> None:
        check_range(("t_noise", self.t_noise), ("t_data", self.t_data))

    def log_alpha(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def log_sigma(self, t: Any) -> Tensor:
        return -as_time(t)

    def alpha_rate(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def variance_rate(self, t: Any) -> Tensor:
        return -2 * self.sigma(t) ** 2

    def time(self, lam: Any) -> Tensor:
        return as_time(lam, "lam")

    def constant_rates(self) -> Rates:
        return 0.0, -1.0


@dataclass(frozen=True)
class UnitNoise(TowardData):
    """alpha = e^t, sigma = 1: time is lam. Used by DPM-Solver (Lu et al. 2022, arXiv:2206.00927). The diffusion is
    constant."""

    t_noise: float = -math.log(80.0)
    t_data: float = -math.log(0.002)

    def __post_init__(self) -> None:
        check_range(("t_noise", self.t_noise), ("t_data", self.t_data))

    def log_alpha(self, t: Any) -> Tensor:
        return as_time(t)

    def log_sigma(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def alpha_rate(self, t: Any) -> Tensor:
        return self.alpha(t)

    def variance_rate(self, t: Any) -> Tensor:
        return torch.zeros_like(as_time(t))

    def time(self, lam: Any) -> Tensor:
        return as_time(lam, "lam")

    def constant_rates(self) -> Rates:
        return 1.0, 0.0


@dataclass(frozen=True)
class Angle(TowardNoise):
    """alpha = cos t, sigma = sigma_data sin t: time is an angle. If the data have the standard deviation sigma_data, so
    have the states at every t.

    The angle of v-prediction (Salimans & Ho 2022, arXiv:2202.00512), scaled as in TrigFlow (Lu & Song 2024,
    arXiv:2410.11081)."""

    sigma_data: float = 0.5
    t_min: float = math.atan(0.002 / 0.5)  # EDM's range of noise levels, at the default sigma_data
    t_max: float = math.atan(80.0 / 0.5)

    def __post_init__(self) -> None:
        check.number("sigma_data", self.sigma_data, above=0.0)
        check_range(("t_min", self.t_min), ("t_max", self.t_max), above=0.0, below=math.pi / 2 + 1e-12)

    def log_alpha(self, t: Any) -> Tensor:
        return as_time(t).cos().log()

    def log_sigma(self, t: Any) -> Tensor:
        return math.log(self.sigma_data) + as_time(t).sin().log()

    def alpha_rate(self, t: Any) -> Tensor:
        return -as_time(t).sin()

    def variance_rate(self, t: Any) -> Tensor:
        return self.sigma_data**2 * (2 * as_time(t)).sin()

    def time(self, lam: Any) -> Tensor:
        return torch.atan(torch.exp(-as_time(lam, "lam")) / self.sigma_data)

    def constant_rates(self) -> Rates:
        return None, None

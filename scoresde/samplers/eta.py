"""The amount of noise of each step, for methods where it varies from step to step."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class DDIMNoise:
    """The eta of the equation for DDIM's eta_d, over a step h in lam: e^{-2 eta^2 h} = 1 - eta_d^2 (1 - e^{-2h})."""

    eta_d: float

    def __call__(self, lam0: float, lam1: float) -> float:
        h = lam1 - lam0
        return math.sqrt(-math.log1p(self.eta_d**2 * math.expm1(-2 * h)) / (2 * h))


@dataclass(frozen=True)
class ERNoise:
    """The eta of the equation for ER-SDE's noise, over a step h in lam: e^{-(1 + eta^2) h} = phi(sigma_1)/phi(sigma_0),
    phi = sigma (e^{sigma^power} + shift)."""

    power: float = 0.3
    shift: float = 10.0

    def log_phi(self, lam: float) -> float:
        """log phi at sigma = e^-lam."""
        return -lam + math.log(math.exp(math.exp(-self.power * lam)) + self.shift)

    def __call__(self, lam0: float, lam1: float) -> float:
        return math.sqrt((self.log_phi(lam0) - self.log_phi(lam1)) / (lam1 - lam0) - 1)

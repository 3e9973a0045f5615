"""Grids of noise levels: functions (n_levels, lam_first, lam_last) -> lam.

lam is half the log-SNR, rising from lam_first (noise) to lam_last (data): a float64 CPU tensor, strictly monotone, both ends
assigned exactly, independent of the process integrated along. A choice of grid is a frozen dataclass, so that its repr says
which it was; `uniform_time`, `quadratic`, `uniform_lambda` and `karras` are the usual choices, ready to call.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import check

from .process import Process
from .schedules import VPSDE


class Grid(ABC):
    """Abstract: a monotone clock u(lam) in which the levels are equally spaced."""

    @abstractmethod
    def clock(self, lam: Tensor) -> Tensor:
        """u(lam)."""

    @abstractmethod
    def level(self, u: Tensor) -> Tensor:
        """lam(u), its inverse."""

    def __call__(self, n_levels: int, lam_first: float, lam_last: float) -> Tensor:
        """n_levels values from lam_first to lam_last; one level is lam_first."""
        check.integer("n_levels", n_levels)
        for name, lam in (("lam_first", lam_first), ("lam_last", lam_last)):
            if lam != -math.inf:  # pure noise, where the clock must be finite
                check.number(name, lam)
        ends = torch.tensor([lam_first, lam_last], dtype=torch.float64)
        if n_levels == 1:
            return ends[:1]
        if ends[0] == ends[1]:
            raise ValueError(f"`lam_last` must differ from lam_first for {n_levels} levels, got both {lam_first!r}")
        first, last = self.clock(ends)
        if not bool(torch.isfinite(last - first)):
            raise ValueError(f"`lam_first` must be finite on {self!r}, got {lam_first!r}: pure noise needs a clock that reaches it, as RectifiedFlow's time")
        lam = self.level(first + (last - first) * torch.linspace(0, 1, n_levels, dtype=torch.float64))
        lam[0], lam[-1] = ends
        return lam


@dataclass(frozen=True)
class UniformTime(Grid):
    """Equal steps in t^(1/power) of `process`: power 1 uniform time, 2 the quadratic grid of DDIM (arXiv:2010.02502)."""

    process: Process = VPSDE()
    power: float = 1.0

    def __post_init__(self) -> None:
        check.number("power", self.power, above=0.0)

    def clock(self, lam: Tensor) -> Tensor:
        return self.process.time(lam) ** (1 / self.power)

    def level(self, u: Tensor) -> Tensor:
        return self.process.lam(u**self.power)


@dataclass(frozen=True)
class UniformLambda(Grid):
    """Equal steps in lam. Lu et al. 2022, arXiv:2206.00927."""

    def clock(self, lam: Tensor) -> Tensor:
        return lam

    def level(self, u: Tensor) -> Tensor:
        return u


@dataclass(frozen=True)
class Karras(Grid):
    """Equal steps in (sigma/alpha)^(1/rho). Karras et al. 2022, arXiv:2206.00364, eq. 5."""

    rho: float = 7.0

    def __post_init__(self) -> None:
        check.number("rho", self.rho, above=0.0)

    def clock(self, lam: Tensor) -> Tensor:
        return torch.exp(-lam / self.rho)

    def level(self, u: Tensor) -> Tensor:
        return -self.rho * u.log()


uniform_time = UniformTime()
quadratic = UniformTime(power=2.0)
uniform_lambda = UniformLambda()
karras = Karras()


@dataclass(frozen=True)
class Tolerance:
    """In a grid's place: steps chosen per sample to meet rtol, atol on the state of the process integrated along."""

    rtol: float = 1e-5
    atol: float = 1e-5
    max_evals: int = 10_000

    def __post_init__(self) -> None:
        check.number("rtol", self.rtol, above=0.0)
        check.number("atol", self.atol, above=0.0)
        check.integer("max_evals", self.max_evals)

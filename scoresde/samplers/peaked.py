"""A grid that is dense around one noise level, and becomes sparser at a different rate on each side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import check

from .grids import Grid

Levels = tuple[float, float, float]


@dataclass(frozen=True)
class Peaked(Grid):
    """Levels of the density 1/(e^{fall x} + e^{-rise x}), x = lam + log(unit) - centre.

    Most levels lie around sigma/alpha = unit e^{-centre}. The density falls as e^{-fall x} toward data and as e^{rise
    x} toward noise. The grid has equal steps in the integral of the density, I_z(rise/(rise + fall), fall/(rise +
    fall)) with z = 1/(1 + e^{-(rise + fall) x}) and I the regularised incomplete beta function, so that the first level
    may be pure noise.

    Args:
        centre: lam + log(unit) of the level at which the density bends.
        fall: rate toward data, above 0.
        rise: rate toward noise, above 0.
        unit: standard deviation of the data; noise levels are measured in this unit.
    """

    centre: float = 1.0
    fall: float = 0.6
    rise: float = 0.4
    unit: float = 1.0

    def __post_init__(self) -> None:
        check.number("centre", self.centre)
        for name in ("fall", "rise", "unit"):
            check.number(name, getattr(self, name), above=0.0)

    def clock(self, lam: Tensor) -> Tensor:
        from scipy.special import betainc

        z = torch.sigmoid((self.rise + self.fall) * (lam + math.log(self.unit) - self.centre))
        return torch.as_tensor(betainc(*self._shape, z.numpy()), dtype=torch.float64, device="cpu")

    def level(self, u: Tensor) -> Tensor:
        from scipy.special import betaincinv

        z = torch.as_tensor(betaincinv(*self._shape, u.numpy()), dtype=torch.float64, device="cpu")
        return z.logit() / (self.rise + self.fall) + self.centre - math.log(self.unit)

    @classmethod
    def blended(
        cls,
        few: Levels,
        many: Levels,
        calls: int,
        unit: float,
    ) -> Peaked:
        """The grid for a budget of calls: `few` up to 5 calls, `many` from 10 calls on, interpolated linearly in
        between.

        Args:
            few: (centre, fall, rise) for few calls.
            many: (centre, fall, rise) for many calls.
            calls: number of network calls.
            unit: standard deviation of the data.
        """
        weight = min(1.0, max(0.0, (calls - 5) / 5))
        centre, fall, rise = (a + (b - a) * weight for a, b in zip(few, many, strict=True))
        return cls(centre, fall, rise, unit)

    @property
    def _shape(self) -> tuple[float, float]:
        return self.rise / (self.rise + self.fall), self.fall / (self.rise + self.fall)

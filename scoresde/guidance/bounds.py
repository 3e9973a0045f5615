"""Denoisers that keep the predicted x0 within bounds."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from .base import Guided


class Clip(Guided):
    """A denoiser that clips the predicted x0 to [low, high], as DDPM does for images.

    Args:
        denoiser: the model.
        low: the smallest value of the data.
        high: the largest value of the data.

    Raises:
        ValueError: naming `high`, if it is not above `low`.
    """

    def __init__(self, denoiser: BaseDenoiser, low: float = -1.0, high: float = 1.0):
        super().__init__(denoiser)
        self.low = check.number("low", low)
        self.high = check.number("high", high, above=self.low)

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        plain = self.denoiser(x, alpha, sigma, cond)
        x0 = plain.x0
        return plain.shifted(x0.clamp(self.low, self.high) - x0)


class DynamicThreshold(Guided):
    """A denoiser that clips the predicted x0 to [-s, s] and divides it by s/limit, with s = max(limit, quantile of |x0|
    over the sample).

    Large guidance scales then do not saturate images. Saharia et al. 2022, arXiv:2205.11487, section 2.3.

    Args:
        denoiser: the model.
        quantile: in (0, 1], such as 0.995.
        limit: the largest |x0| of the data, 1 for images.

    Raises:
        ValueError: naming the argument.
    """

    def __init__(self, denoiser: BaseDenoiser, quantile: float = 0.995, limit: float = 1.0):
        super().__init__(denoiser)
        self.quantile = check.number("quantile", quantile, above=0.0, most=1.0)
        self.limit = check.number("limit", limit, above=0.0)

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        plain = self.denoiser(x, alpha, sigma, cond)
        x0 = plain.x0
        reach = x0.flatten(1).abs().quantile(self.quantile, dim=1).clamp(min=self.limit)
        reach = reach.reshape(-1, *[1] * (x0.dim() - 1))
        return plain.shifted(x0.clamp(-reach, reach) * (self.limit / reach) - x0)

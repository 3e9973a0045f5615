"""Guidance away from a weaker model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..processes.coefficients import as_time
from .base import (
    Guided,
    Scale,
    check_interval,
    check_scale,
    extrapolated,
    is_denoiser,
    scale_at,
)


class AutoGuidance(Guided):
    """Autoguidance: the prediction is moved away from that of a weaker model, D_w = D_weak + w (D - D_weak).

    Karras et al. 2024, arXiv:2406.02507.

    Args:
        denoiser: the model D.
        weak: a smaller or less trained model of the same data.
        scale: w, at least 0: a number, one per sample (B,), or a function of lam. At w = 1 it is the model D.
        interval: (low, high) in lam; outside this interval w = 1. None: w holds at all levels.
    """

    def __init__(
        self,
        denoiser: BaseDenoiser,
        weak: BaseDenoiser,
        scale: Scale,
        interval: tuple[float, float] | None = None,
    ):
        super().__init__(denoiser)
        self.weak = is_denoiser("weak", weak)
        self.scale = check_scale(scale)
        self.interval = check_interval(interval)

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        scale = scale_at(self.scale, alpha, sigma, x, self.interval)
        strong = self.denoiser(x, alpha, sigma, cond)
        if isinstance(scale, float) and scale == 1.0:
            return strong

        return extrapolated(self.weak(x, alpha, sigma, cond), strong, scale)

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
    """D_w = D_weak + w (D - D_weak), away from a weaker model. Karras et al. 2024, arXiv:2406.02507.

    Args:
        denoiser: the model.
        weak: a smaller or less trained one of the same data.
        scale: w, at least 0: a number, one per sample (B,), or a function of lam.
        interval: levels (lam, lam) in which it holds; elsewhere the model is asked alone.
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

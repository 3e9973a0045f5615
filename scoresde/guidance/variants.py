"""Variants of classifier-free guidance, which mix the two branches in other ways."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..processes.coefficients import like
from .base import (
    Scale,
    per_sample_inner,
    per_sample_norm,
)
from .classifier_free import ConditionalPair


class APG(ConditionalPair):
    """Adaptive projected guidance: the difference d = x0_cond - x0_null is limited in norm, and its part parallel to
    x0_cond is reduced.

        x0 = x0_cond + (w - 1) (d_orthogonal + eta d_parallel),
        d <- d + momentum d_before,    d <- d min(1, threshold/|d|).

    d_before is the d of the previous call, with its own momentum but before its norm was limited. If the noise level is
    not lower than at the previous call, or the batch has another shape, d_before is 0. So each run of a method with
    falling noise levels starts without momentum. Sadat et al. 2024, arXiv:2410.02416.

    Args:
        denoiser: as in `ClassifierFree`.
        scale: w, as in `ClassifierFree`.
        eta: share of the parallel part that is kept, in [0, 1].
        threshold: the largest norm of d of a sample; None: no limit.
        null: as in `ClassifierFree`.
        interval: as in `ClassifierFree`.
        batched: as in `ClassifierFree`.
        momentum: in (-1, 1). The paper has -0.5 to -0.75, which weakens directions that repeat from step to step.
    """

    def __init__(
        self,
        denoiser: BaseDenoiser,
        scale: Scale,
        eta: float = 0.0,
        threshold: float | None = None,
        null: Any = None,
        interval: tuple[float, float] | None = None,
        batched: bool = True,
        momentum: float = 0.0,
    ):
        super().__init__(denoiser, scale, null, interval, batched)
        self.momentum = check.number("momentum", momentum, above=-1.0, below=1.0)
        self._before: tuple[float, Tensor] | None = None  # lam of the last call, and d there
        self.eta = check.number("eta", eta, least=0.0, most=1.0)
        self.threshold = None if threshold is None else check.number("threshold", threshold, above=0.0)

    def _mixed(self, base: Prediction, toward: Prediction, scale: float | Tensor) -> Prediction:
        x0 = toward.x0
        d = self._with_momentum(x0 - base.x0, toward)

        if self.threshold is not None:
            d = d * (self.threshold / per_sample_norm(d)).clamp(max=1.0)

        size = per_sample_inner(x0, x0)
        along = x0 * (per_sample_inner(d, x0) / size.clamp(min=torch.finfo(size.dtype).tiny))  # no part along x0 = 0

        return toward.shifted((d - along * (1 - self.eta)) * (scale - 1))

    def _with_momentum(self, d: Tensor, toward: Prediction) -> Tensor:
        """d plus momentum times the d of the previous level; the result is stored for the next call."""
        if self.momentum == 0.0:
            return d

        level = float((toward.alpha.log() - toward.sigma.log()).min())
        before = self._before
        if before is not None and before[0] < level and before[1].shape == d.shape:
            d = d + self.momentum * before[1].to(d)

        self._before = level, d.detach()

        return d


class CFGZeroStar(ConditionalPair):
    """CFG-Zero*: classifier-free guidance with the unconditional velocity scaled to fit the conditional one, and with
    velocity 0 at the first noise levels.

        u = s u_null + w (u_cond - s u_null),    s = <u_cond, u_null>/|u_null|^2,    u = eps - x0.

    u is the velocity of the straight path, so the method is made for `RectifiedFlow`. Fan et al. 2025,
    arXiv:2503.18886.

    Args:
        denoiser: as in `ClassifierFree`.
        scale: w, as in `ClassifierFree`.
        zero_below: the velocity is 0 if lam is below this value; None: nowhere.
        null: as in `ClassifierFree`.
        batched: as in `ClassifierFree`.
    """

    def __init__(
        self,
        denoiser: BaseDenoiser,
        scale: Scale,
        zero_below: float | None = None,
        null: Any = None,
        batched: bool = True,
    ):
        super().__init__(denoiser, scale, null, None, batched, always=zero_below is not None)
        self.zero_below = None if zero_below is None else check.number("zero_below", zero_below)

    def _mixed(self, base: Prediction, toward: Prediction, scale: float | Tensor) -> Prediction:
        u_null = base.velocity
        u_cond = toward.velocity
        fitted = u_null * (per_sample_inner(u_cond, u_null) / per_sample_inner(u_null, u_null))
        change = (fitted - u_cond) + (u_cond - fitted) * scale

        if self.zero_below is not None:
            level = toward.alpha.log() - toward.sigma.log()
            change = torch.where(like((level < self.zero_below).to(change.dtype), change) > 0, -u_cond, change)

        # at a fixed x = alpha x0 + sigma eps, adding c to the velocity subtracts sigma/(alpha + sigma) c from x0
        return toward.shifted(change * like(-toward.sigma / (toward.alpha + toward.sigma), change))

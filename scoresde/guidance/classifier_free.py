"""Guidance by two branches: a denoiser with its condition, and without it or a weaker one.

D_w = D_null + w (D_cond - D_null): w = 1 is the conditional model, w > 1 goes beyond it. Papers that write 1 + w, or
gamma, for this w are one off. For w not in {0, 1} the guided flow samples neither the tilted density
p(x) p(c|x)^w nor the law of the class: noising does not commute with tilting (Bradley & Nakkiran 2024,
arXiv:2408.09000).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..processes.coefficients import as_time
from .base import (
    Guided,
    Scale,
    check_interval,
    check_scale,
    extrapolated,
    per_sample_std,
    scale_at,
)


class ConditionalPair(Guided, ABC):
    """A denoiser evaluated with its condition and without it, as one batch of 2B.

    always  both are asked at scale 1 too, where else the conditional model alone is"""

    def __init__(
        self,
        denoiser: BaseDenoiser,
        scale: Scale,
        null: Any = None,
        interval: tuple[float, float] | None = None,
        batched: bool = True,
        always: bool = False,
    ):
        super().__init__(denoiser)
        self.scale = check_scale(scale)
        self.always = always
        self.null = null
        self.interval = check_interval(interval)
        self.batched = batched

        if getattr(denoiser, "_takes_cond", True) is False:
            raise ValueError("`denoiser` must take a condition, got one whose network takes (x, c_noise) alone")

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        if cond is None:
            raise TypeError("`cond` must be given, got None: guidance leads toward a condition")

        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        scale = scale_at(self.scale, alpha, sigma, x, self.interval)
        if isinstance(scale, float) and scale == 1.0 and not self.always:
            return self.denoiser(x, alpha, sigma, cond)

        cond = conditions.prepared(cond, len(x), x.device)
        null = self._no_condition(cond, len(x), x.device)
        base, toward = self._both(x, alpha, sigma, null, cond)

        return self._mixed(base, toward, scale)

    @abstractmethod
    def _mixed(self, base: Prediction, toward: Prediction, scale: float | Tensor) -> Prediction:
        """The guided prediction, from that without and that with the condition."""

    def _no_condition(self, cond: Any, count: int, device: torch.device) -> Any:
        if self.null is None:
            null = conditions.hidden(cond, torch.ones(count, dtype=torch.bool, device=device))
        else:
            null = conditions.prepared(self.null, count, device, "null")

        if device.type == "cpu" and not torch.compiler.is_compiling() and not bool(conditions.differ(null, cond).any()):
            raise ValueError(
                "`null` must differ from the condition, got the same: there is nothing to lead toward; -1 is no label"
            )

        return null

    def _both(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        null: Any,
        cond: Any,
    ) -> tuple[Prediction, Prediction]:
        """The predictions without and with the condition."""
        if not self.batched:
            return self.denoiser(x, alpha, sigma, null), self.denoiser(x, alpha, sigma, cond)

        both = self.denoiser(
            torch.cat((x, x)),
            torch.cat((alpha, alpha)) if alpha.dim() else alpha,
            torch.cat((sigma, sigma)) if sigma.dim() else sigma,
            conditions.joined(null, cond),
        )
        return both.rows(slice(0, len(x))), both.rows(slice(len(x), None))


class ClassifierFree(ConditionalPair):
    """D_w = D(x | null) + w (D(x | cond) - D(x | null)). Ho & Salimans 2022, arXiv:2207.12598.

    w = 1 is the conditional model, at one call; elsewhere two network evaluations, in one batch. The paper's scale is
    w - 1. The condition is handed over at the call: sample(ClassifierFree(D, 2.0), shape, method, cond=3).

    Args:
        denoiser: one trained with its condition left out at times (`label_dropout`).
        scale: w, at least 0: a number, one per sample (B,), or a function of lam.
        null: the condition of the unconditional branch; None: as `label_dropout` leaves it out, label -1, vectors 0.
        interval: levels (lam, lam) in which it holds; elsewhere the model is conditional, at one call.
            Kynkaanniemi et al. 2024, arXiv:2404.07724.
        rescale: phi in [0, 1]: x0 is multiplied by phi std(x0_cond)/std(x0_w) + 1 - phi, each over a sample.
            Lin et al. 2023, arXiv:2305.08891.
        batched: False asks twice with B samples instead of once with 2B, where memory is short.

    Raises:
        TypeError, ValueError: naming the argument; `cond` or `null` at the call.
    """

    def __init__(
        self,
        denoiser: BaseDenoiser,
        scale: Scale,
        null: Any = None,
        interval: tuple[float, float] | None = None,
        rescale: float = 0.0,
        batched: bool = True,
    ):
        super().__init__(denoiser, scale, null, interval, batched)
        self.rescale = check.number("rescale", rescale, least=0.0, most=1.0)

    def _mixed(self, base: Prediction, toward: Prediction, scale: float | Tensor) -> Prediction:
        guided = extrapolated(base, toward, scale, one_model=True)
        if not self.rescale:
            return guided

        x0 = guided.x0
        if x0[0].numel() < 2:
            raise ValueError("`rescale` must be 0 for samples of one number, whose standard deviation is 0")

        ratio = per_sample_std(toward.x0) / per_sample_std(x0)

        return guided.shifted(x0 * (self.rescale * (ratio - 1)))


def plus_plus(scale: float, levels: Tensor) -> Scale:
    """The scale of `ClassifierFree` that makes DDIM on these levels CFG++: w = scale/(1 - e^{-h}), h the step in lam.

    CFG++ takes x0 from the guided and eps from the unconditional branch, x' = alpha' x0_scale + sigma' eps_null
    (Chung et al. 2024, arXiv:2406.08070). For DDIM that is ordinary guidance at this w. The last level is denoised at
    w = scale.

    Args:
        scale: lambda of the paper, in [0, 1].
        levels: lam of the grid, rising, as `method_levels(denoiser, method)` gives them.

    Example:
        ClassifierFree(D, plus_plus(0.6, method_levels(D, method)))
    """

    scale = check.number("scale", scale, least=0.0, most=1.0)
    rising = check.floating("levels", levels).detach().double().cpu()
    if rising.dim() != 1 or not bool((rising.diff() > 0).all()):
        raise ValueError(f"`levels` must be 1-D and rise, got {rising.tolist()!r:.80}")

    steps = torch.cat((rising.diff(), torch.full((1,), torch.inf, dtype=torch.float64, device="cpu")))
    scales = scale / -torch.expm1(-steps)

    def at(lam: Tensor) -> Tensor:
        near = (torch.searchsorted(rising, lam.cpu().double().contiguous() + 1e-6) - 1).clamp(min=0)
        return scales[near]

    return at

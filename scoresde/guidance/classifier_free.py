"""Classifier-free guidance: a denoiser is evaluated with its condition and with a null condition, and both are mixed.

D_w = D_null + w (D_cond - D_null). w = 1 is the conditional model, and w > 1 goes beyond it. Some papers write 1 + w
for this w, so their scale is smaller by 1. For w not in {0, 1} the guided flow samples neither the tilted density
p(x) p(c|x)^w nor the distribution of the class: adding noise does not commute with tilting (Bradley & Nakkiran 2024,
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
    """Abstract: guidance that evaluates a denoiser with its condition and with a null condition, as one batch of 2B.

    Args:
        denoiser: the model, which takes a condition.
        scale: w, at least 0: a number, one per sample (B,), or a function of lam.
        null: condition of the unconditional branch; None: as `label_dropout` leaves it out.
        interval: (low, high) in lam; outside it w = 1. None: w holds at all levels.
        batched: False: two calls of B samples in place of one call of 2B.
        always: True: both branches are evaluated even if w = 1. False: then only the conditional one is.
    """

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
        """The guided prediction. `base` is the prediction without the condition, `toward` the one with it."""

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
    """Classifier-free guidance: D_w = D(x | null) + w (D(x | cond) - D(x | null)).

    w = 1 is the conditional model and takes one network evaluation. Any other w takes two, in one batch. The paper's
    scale is w - 1. The condition is an argument of the sampler: sample(ClassifierFree(D, 2.0), shape, method, cond=3).
    Ho & Salimans 2022, arXiv:2207.12598.

    Args:
        denoiser: a model whose condition was sometimes left out in training (`label_dropout`).
        scale: w, at least 0: a number, one per sample (B,), or a function of lam.
        null: condition of the unconditional branch; None: as `label_dropout` leaves it out, label -1, vectors 0.
        interval: (low, high) in lam; outside this interval w = 1, the conditional model. None: w holds at all levels.
            Kynkaanniemi et al. 2024, arXiv:2404.07724.
        rescale: phi in [0, 1]: x0 is multiplied by phi std(x0_cond)/std(x0_w) + 1 - phi. Each std is over the elements
            of one sample. Lin et al. 2023, arXiv:2305.08891.
        batched: False: two calls of B samples in place of one call of 2B, which needs less memory.

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
    """The scale with which `ClassifierFree` and DDIM together are CFG++: w = scale/(1 - e^{-h}), h the step in lam.

    CFG++ takes x0 from the guided branch and eps from the unconditional one, x' = alpha' x0_scale + sigma' eps_null
    (Chung et al. 2024, arXiv:2406.08070). For DDIM this equals ordinary guidance at this w. At the last level, which is
    denoised, w = scale.

    Args:
        scale: lambda of the paper, in [0, 1].
        levels: lam of the grid, rising, as `method_levels(denoiser, method)` gives them.

    Returns:
        w as a function of lam, for the argument `scale` of `ClassifierFree`.

    Raises:
        TypeError, ValueError: naming the argument.

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

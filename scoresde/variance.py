"""Ancestral steps of learned variance: the network says, element by element, how wide each is.

The noise of a reverse step has a variance between beta~ and beta (`denoiser.LearnedRange`), which lie apart as far as two levels do; so
it belongs to steps and to no equation: exponential integrators of higher order and the flow take no notice of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from solvers import Equation, Solver
from solvers.noise import Path

from .denoiser import BaseDenoiser, Prediction
from .process import Process
from .steps import Around, Ground, Wider, Wrapper
from .times import like


@dataclass(frozen=True)
class LearnedVariance(Wrapper):
    """The noise of each step widened by (beta/beta~)^(v/2), v what the network says where the step starts. For eta 1.

    beta and beta~ are those of the step made, however far its levels are apart. Nichol & Dhariwal 2021, arXiv:2102.09672, section 4.
    Raises ValueError naming `denoiser` where it says nothing of variances."""

    stochastic: ClassVar[bool | None] = True
    evaluates: ClassVar[bool] = True

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return 0

    def around(self, solver: Solver, ground: Ground, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Around]:
        share = torch.sigmoid(-2 * ground.process.lam(times))

        def wider(path: Path, y: Tensor, t: Tensor, gap: Tensor) -> Path:
            spread = needed(ground.ask(t, y))
            return Wider(path, torch.exp((spread + 1) * like(gap / 4, y)))

        gaps = torch.log(share[:-1] / share[1:])
        return [Around(path=lambda path, y, t=t, gap=gap: wider(path, y, t, gap)) for t, gap in zip(times[:-1], gaps, strict=True)]


def needed(prediction: Prediction) -> Tensor:
    """Its spread. Raises ValueError naming `denoiser` where there is none."""
    if prediction.spread is None:
        raise ValueError("`denoiser` must predict variances: table = LearnedRange(Eps()), network.variance = true in a configuration")
    return prediction.spread


class Asked(BaseDenoiser):
    """A denoiser that may be asked beside the solve: asked the same next, it gives the same answer and calls nothing."""

    def __init__(self, inner: BaseDenoiser):
        super().__init__()
        self.process: Process | None = inner.process
        self.inner = inner
        self.kept: tuple[Tensor, Tensor, Tensor, Prediction] | None = None

    def ask(self, x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any) -> Prediction:
        """The prediction, kept."""
        prediction = self.inner(x, alpha, sigma, cond)
        self.kept = x, alpha, sigma, prediction
        return prediction

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any = None) -> Prediction:
        if self.kept is not None and x is self.kept[0] and torch.equal(alpha, self.kept[1]) and torch.equal(sigma, self.kept[2]):
            return self.kept[3]
        return self.inner(x, alpha, sigma, cond)

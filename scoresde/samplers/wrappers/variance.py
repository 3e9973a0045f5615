"""Ancestral steps with a learned variance: the network predicts the variance of every element.

The variance of a reverse step lies between beta~ and beta (`parameterisations.LearnedRange`). Both depend on the step
size, so the learned variance cannot be part of the SDE. Only ancestral steps use it; higher-order integrators and the
ODE use the mean alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solvers import Equation, Solver
from solvers.noise import Path

from ...denoisers.prediction import require_variance
from ...processes.coefficients import like
from .base import StepContext, StepHooks, Wrapper
from .large_variance import ScaledPath


@dataclass(frozen=True)
class LearnedVariance(Wrapper):
    """The variance that the network predicts: the noise of each step is multiplied by (beta/beta~)^(v/2). The network
    predicts v at the start of the step. For eta 1.

    beta and beta~ are those of the two levels of the step, also if these are far apart. Nichol & Dhariwal 2021,
    arXiv:2102.09672, section 4. Raises ValueError naming `denoiser` if it predicts no variance."""

    stochastic: ClassVar[bool | None] = True
    evaluates: ClassVar[bool] = True

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return 0

    def around(
        self,
        solver: Solver,
        ground: StepContext,
        eq: Equation,
        times: Tensor,
        y: Tensor,
    ) -> Sequence[StepHooks]:
        share = torch.sigmoid(-2 * ground.process.lam(times))

        def wider(
            path: Path,
            y: Tensor,
            t: Tensor,
            gap: Tensor,
        ) -> Path:
            spread = require_variance(ground.ask(t, y))
            return ScaledPath(path, torch.exp((spread + 1) * like(gap / 4, y)))

        gaps = torch.log(share[:-1] / share[1:])

        return [
            StepHooks(path=lambda path, y, t=t, gap=gap: wider(path, y, t, gap))
            for t, gap in zip(times[:-1], gaps, strict=True)
        ]

"""Noise with DDPM's "large" variance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from solvers import Equation, Solver
from solvers.noise import Path

from .base import StepContext, StepHooks, Wrapper


@dataclass(frozen=True)
class LargeVariance(Wrapper):
    """DDPM's "large" variance: the noise of each step is multiplied by sqrt(beta/beta~). For eta 1.

    For a step from level 0 to level 1, beta~ = (1 - abar_1)/(1 - abar_0) beta. For any alpha and sigma the factor is
    (sigma_0/r_0)/(sigma_1/r_1), r = hypot(alpha, sigma). Ho et al. 2020, arXiv:2006.11239, section 3.2."""

    stochastic: ClassVar[bool | None] = True

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
        share = torch.sigmoid(-2 * ground.process.lam(times)).sqrt()
        return [
            StepHooks(path=lambda path, _, wider=wider: ScaledPath(path, wider)) for wider in share[:-1] / share[1:]
        ]


class ScaledPath(NamedTuple):
    """A Brownian path multiplied by a factor: one number, or one per element."""

    path: Path
    factor: Tensor

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        dw = self.path(t0, t1)
        return dw * self.factor.to(dw.dtype)

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        dw, h = self.path.levy(t0, t1)
        return dw * self.factor.to(dw.dtype), h * self.factor.to(h.dtype)

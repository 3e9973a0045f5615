"""Wrappers that add noise and go back to a noisier level: Churn before each step, Restart over several levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from solvers import Equation, Solver, check
from solvers.noise import CHURN
from solvers.solver import axpy

from ...processes.base import Process
from ..grids import KarrasGrid
from .base import StepContext, StepHooks, SubSolve, Wrapper


class ForwardJump(NamedTuple):
    """A jump of the forward process from one level up to a noisier one: x -> keep x + std z. The result has exactly the
    distribution of the noisier level."""

    keep: Tensor
    std: Tensor

    @classmethod
    def between(
        cls,
        process: Process,
        low: Tensor,
        high: Tensor,
        s_noise: float,
    ) -> ForwardJump:
        """The jump from one level up to another: keep = alpha_1/alpha_0, std = s_noise sqrt(sigma_1^2 - keep^2
        sigma_0^2).

        Args:
            process: the process with the coefficients alpha and sigma.
            low: time of the level where the jump begins.
            high: time of the noisier level where it ends.
            s_noise: factor of the noise's standard deviation; 1 is exact.
        """
        gained = -torch.expm1(2 * (process.lam(high) - process.lam(low)))
        return cls(process.alpha(high) / process.alpha(low), s_noise * process.sigma(high) * gained.clamp(min=0).sqrt())

    def __call__(self, y: Tensor, z: Tensor) -> Tensor:
        return axpy(y * self.keep.to(y.dtype), z, self.std)


@dataclass(frozen=True)
class Churn(Wrapper):
    """Adds noise before each step, up to sigma (1 + gamma). gamma = min(amount/levels, sqrt 2 - 1) if low <=
    sigma/alpha <= high, and 0 otherwise.

    The step then starts from the raised level. For eta 0. Karras et al. 2022, arXiv:2206.00364, algorithm 2 (S_churn,
    S_min, S_max, S_noise). The last step of that algorithm is the final denoise here; it has no churn."""

    amount: float = 40.0
    low: float = 0.05
    high: float = 50.0
    s_noise: float = 1.003

    stochastic: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        check.number("amount", self.amount, least=0.0)
        check.number("low", self.low, least=0.0)
        check.number("high", self.high, least=self.low)
        check.number("s_noise", self.s_noise, above=0.0)

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
        process = ground.process
        draw = ground.drawing(CHURN)
        lam = process.lam(times)
        noise = torch.exp(-lam)
        gamma = min(self.amount / len(times), 2**0.5 - 1) * ((noise >= self.low) & (noise <= self.high)).to(
            torch.float64
        )
        raised = process.time(lam - torch.log1p(gamma))

        def churned(k: int) -> StepHooks:
            if gamma[k] == 0:
                return StepHooks()
            lift = ForwardJump.between(process, times[k], raised[k], self.s_noise)
            return StepHooks(raised[k], lambda x: lift(x, draw(k, x)))

        return [churned(k) for k in range(len(times) - 1)]


@dataclass(frozen=True)
class Restart(Wrapper):
    """Goes back from the level nearest to `low` to the noisier level `high`, `times` times. Each time noise is added,
    and `steps` steps on a Karras grid lead down again.

    low and high are sigma/alpha. For eta 0. Xu et al. 2023, arXiv:2306.14878, algorithm 1."""

    low: float = 0.06
    high: float = 0.3
    times: int = 2
    steps: int = 2
    rho: float = 7.0
    s_noise: float = 1.0

    stochastic: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        check.number("low", self.low, above=0.0)
        check.number("high", self.high, above=self.low)
        check.integer("times", self.times)
        check.integer("steps", self.steps)
        check.number("rho", self.rho, above=0.0)
        check.number("s_noise", self.s_noise, above=0.0)

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return self.times * calls(self.steps) if n else 0

    def around(
        self,
        solver: Solver,
        ground: StepContext,
        eq: Equation,
        times: Tensor,
        y: Tensor,
    ) -> Sequence[StepHooks]:
        process = ground.process
        draw = ground.drawing(CHURN)
        noise = torch.exp(-process.lam(times))
        at = int((noise[1:] - self.low).abs().argmin())
        bottom = noise[at + 1].item()
        if bottom >= self.high:
            raise ValueError(
                f"`high` must lie above the level restarted from, got {self.high:g} and {bottom:g}, the nearest"
                f" level to low = {self.low:g}"
            )

        down = process.time(KarrasGrid(self.rho)(self.steps + 1, -math.log(self.high), -math.log(bottom)))
        down[-1] = times[at + 1]
        lift = ForwardJump.between(process, down[-1], down[0], self.s_noise)
        leg = SubSolve.of(solver, eq, down, y)

        def again(eq: Equation, x: Tensor) -> Tensor:
            for k in range(self.times):
                x = leg(eq, lift(x, draw(k, x)))
            return x

        return [StepHooks(after=again) if k == at else StepHooks() for k in range(len(times) - 1)]

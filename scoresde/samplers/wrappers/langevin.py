"""Langevin moves on one noise level: x <- x + delta score + sqrt(2 delta) z. As delta tends to 0, their stationary
distribution tends to the distribution of the states at that level.

They correct the state after each step of a solver. If the solver is `IdentityStep`, the result is annealed Langevin
dynamics.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from solvers import Equation, Solver, check
from solvers.noise import CORRECTOR, Path
from solvers.solver import OneStep, State, axpy

from .base import StepContext, StepHooks, Wrapper


class StepSize(ABC):
    """Abstract: the size delta of a Langevin step x + delta score + sqrt(2 delta) z. It is one number, or one per
    sample."""

    @abstractmethod
    def __call__(self, score: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
        """delta, in a shape that broadcasts against the state (B, ...).

        Args:
            score: score of the state, (B, ...).
            z: standard normals of the step, like score.
            sigma: noise coefficient of the level, 0-d.
        """


@dataclass(frozen=True)
class SnrStepSize(StepSize):
    """delta = 2 (snr |z|/|score|)^2 for each sample. The norms are those of the sample, because a mean over the batch
    would couple the samples. Song et al. 2021, arXiv:2011.13456, algorithm 4."""

    snr: float = 0.16

    def __post_init__(self) -> None:
        check.number("snr", self.snr, above=0.0)

    def __call__(self, score: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
        ratio = z.flatten(1).norm(dim=1) / score.flatten(1).norm(dim=1)
        return 2 * (self.snr * ratio.reshape(-1, *[1] * (z.dim() - 1))) ** 2


@dataclass(frozen=True)
class VarianceStepSize(StepSize):
    """delta = rate sigma^2, with the same rate at all levels. Song & Ermon 2019, arXiv:1907.05600, algorithm 1 (rate =
    epsilon/(2 sigma_L^2))."""

    rate: float = 0.1

    def __post_init__(self) -> None:
        check.number("rate", self.rate, above=0.0)

    def __call__(self, score: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
        return (self.rate * sigma**2).to(score.device, score.dtype)


@dataclass(frozen=True)
class Langevin(Wrapper):
    """Makes `steps` Langevin steps x <- x + delta score + sqrt(2 delta) z after each step, at the level reached.

    For the distribution N(0, v) of a level, a step of size delta has the stationary variance v/(1 - delta/2v). It is
    the corrector of the predictor-corrector sampler of Song et al. 2021, arXiv:2011.13456."""

    steps: int = 1
    size: StepSize = SnrStepSize()

    evaluates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check.integer("steps", self.steps)
        if not isinstance(self.size, StepSize):
            raise TypeError(f"`size` must be SnrStepSize(snr) or VarianceStepSize(rate), got {self.size!r}")

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return n * self.steps

    def around(
        self,
        solver: Solver,
        ground: StepContext,
        eq: Equation,
        times: Tensor,
        y: Tensor,
    ) -> Sequence[StepHooks]:
        process = ground.process
        draw = ground.drawing(CORRECTOR)
        ends = times[1:]
        weight = (1 + ground.eta**2) / 2 * process.g2(ends)  # the drift is f x - weight score
        table = zip(
            ends, process.alpha_rate(ends) / process.alpha(ends) / weight, -1 / weight, process.sigma(ends), strict=True
        )

        def corrector(
            k: int,
            t: Tensor,
            on_state: Tensor,
            on_drift: Tensor,
            sigma: Tensor,
        ) -> StepHooks:
            def move(eq: Equation, x: Tensor) -> Tensor:
                for index in range(k * self.steps, (k + 1) * self.steps):
                    score = axpy(x * on_state.to(x.dtype), eq.drift(t, x), on_drift)
                    z = draw(index, x)
                    delta = self.size(score, z, sigma)
                    x = x + delta * score + (2 * delta).sqrt() * z
                return x

            return StepHooks(after=move)

        return [corrector(k, *row) for k, row in enumerate(table)]


@dataclass(frozen=True)
class IdentityStep(OneStep):
    """A step that leaves the state unchanged: y1 = y. Annealed Langevin dynamics uses it, because it has no predictor.
    For processes with alpha = 1. No evaluation, no order."""

    order: ClassVar[int] = 0
    evals: ClassVar[int] = 0
    reference: ClassVar[str] = "Song & Ermon 2019"

    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Any,
    ) -> tuple[Tensor, Tensor | None, State]:
        return y, None, state

"""Langevin moves on one noise level: x <- x + delta score + sqrt(2 delta) z. The stationary distribution tends to that
of the level as delta tends to 0.

They correct the state after the steps of a solver. With `IdentityStep` as the solver they are annealed Langevin
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
    """Abstract: the size delta of a Langevin step x + delta score + sqrt(2 delta) z, one per sample or a number."""

    @abstractmethod
    def __call__(self, score: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
        """delta, broadcasting against the state (B, ...)."""


@dataclass(frozen=True)
class SnrStepSize(StepSize):
    """delta = 2 (snr |z|/|score|)^2, with norms per sample, because a mean over the batch would couple samples. Song et
    al. 2021, arXiv:2011.13456, algorithm 4."""

    snr: float = 0.16

    def __post_init__(self) -> None:
        check.number("snr", self.snr, above=0.0)

    def __call__(self, score: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
        ratio = z.flatten(1).norm(dim=1) / score.flatten(1).norm(dim=1)
        return 2 * (self.snr * ratio.reshape(-1, *[1] * (z.dim() - 1))) ** 2


@dataclass(frozen=True)
class VarianceStepSize(StepSize):
    """delta = rate sigma^2, one rate for all levels. Song & Ermon 2019, arXiv:1907.05600, algorithm 1 (rate =
    epsilon/(2 sigma_L^2))."""

    rate: float = 0.1

    def __post_init__(self) -> None:
        check.number("rate", self.rate, above=0.0)

    def __call__(self, score: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
        return (self.rate * sigma**2).to(score.device, score.dtype)


@dataclass(frozen=True)
class Langevin(Wrapper):
    """After each step, `steps` Langevin steps x <- x + delta score + sqrt(2 delta) z at the level reached.

    On N(0, v) a step of size delta has the stationary variance v/(1 - delta/2v). Predictor-corrector of Song et al.
    2021, arXiv:2011.13456."""

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
    """y1 = y, for processes with alpha = 1: annealed Langevin has no predictor. No evaluation, no order."""

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

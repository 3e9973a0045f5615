"""Step wrappers: changes of the state or of the noise before and after each step of a solver.

Churn and Restart add noise and go back to a noisier level. LargeVariance increases the noise of a step. Langevin moves
(`langevin`) stay on one level. A wrapper gives its hooks for each step of a grid; `Wrapped` is the solver that calls
them. Every wrapped step is an independent solve. Multistep methods therefore restart at each step, since their history
is invalid once the state was changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from solvers import Equation, Noise, Sense, Solver
from solvers.noise import Normals, Path
from solvers.solver import State

from ...denoisers.prediction import Prediction
from ...processes.base import Process

Ask = Callable[[Tensor, Tensor], Prediction]
Draw = Callable[[int, Tensor], Tensor]  # (index, y) -> standard normals shaped like y, the index-th of a stream
_SLOT = 24  # the wrapper at position p in `Method.wrap` numbers its draws from p << _SLOT on


class StepContext(NamedTuple):
    """What a step wrapper may use beside the equation: the process, eta, the noise source, and its own position in
    `Method.wrap`.

    ask  (t, y) -> Prediction of the model; reused if the solver evaluates the same state next"""

    process: Process
    eta: float
    source: Any
    place: int
    ask: Ask

    def drawing(self, stream: int) -> Draw:
        """A function (index, y) that draws standard normals of one stream, shaped like y. Raises ValueError naming
        `noise` if the source cannot draw plain normals."""
        source = self.source
        first = self.place << _SLOT
        if isinstance(source, Normals):
            return lambda index, y: source.draw(stream, first + index, y)
        raise ValueError(f"`noise` must be SeededNoise or WhiteNoise for a method with step wrappers, got {source!r}")


class StepHooks(NamedTuple):
    """Hooks of one wrapper for one step: the start time, a change of the state before the step, a change of the noise
    path, a change of the state after the step. None: no change."""

    start: Tensor | None = None
    before: Callable[[Tensor], Tensor] | None = None
    path: Callable[[Path, Tensor], Path] | None = None
    after: Callable[[Equation, Tensor], Tensor] | None = None


class Wrapper(ABC):
    """Abstract: changes made around the steps of a solver. Concrete wrappers are frozen dataclasses."""

    stochastic: ClassVar[bool | None] = None  # True: for eta > 0 only; False: for eta 0 only; None: for both
    evaluates: ClassVar[bool] = False  # whether the wrapper itself evaluates the model, outside the solver's steps

    @abstractmethod
    def extra(self, calls: Callable[[int], int], n: int) -> int:
        """Network calls that the wrapper adds to those of n steps.

        Args:
            calls: function from a number of steps to the solver's calls.
            n: number of steps.
        """

    @abstractmethod
    def around(
        self,
        solver: Solver,
        ground: StepContext,
        eq: Equation,
        times: Tensor,
        y: Tensor,
    ) -> Sequence[StepHooks]:
        """The hooks of every step.

        Args:
            solver: the solver that is wrapped.
            ground: process, eta and noise of the solve, and the wrapper's position.
            eq: the equation.
            times: times of the levels, 1-D float64; step k goes from times[k] to times[k + 1].
            y: a batch like the state, (B, ...); its numbers are not used.
        """


@dataclass(frozen=True)
class Wrapped(Solver):
    """A solver that makes the steps of another solver and calls the hooks of the step wrappers around them."""

    inner: Solver
    wrap: tuple[Wrapper, ...]
    process: Process
    eta: float
    source: Any
    ask: Ask

    reference: ClassVar[str] = "see the wrappers"

    @property
    def noise(self) -> Noise:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the inner solver."""
        return self.inner.noise

    @property
    def sense(self) -> Sense | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the inner solver."""
        return self.inner.sense

    @property
    def needs_levy_area(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the inner solver."""
        return self.inner.needs_levy_area

    @property
    def substeps(self) -> tuple[float, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the inner solver."""
        return self.inner.substeps

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        hooks: list[Sequence[StepHooks]] = []  # for each wrapper, the hooks of all steps

        for place, wrapper in enumerate(self.wrap):
            context = StepContext(self.process, self.eta, self.source, place, self.ask)
            hooks.append(wrapper.around(self.inner, context, eq, times, y))

        plan: list[tuple[SubSolve, tuple[StepHooks, ...]]] = []

        for t0, t1, moves in zip(times[:-1], times[1:], zip(*hooks, strict=True), strict=True):
            starts = [move.start for move in moves if move.start is not None]
            start = starts[0] if starts else t0
            plan.append((SubSolve.of(self.inner, eq, torch.stack((start, t1)), y), moves))

        return plan

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

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
        leg, moves = w

        for move in moves:
            y = y if move.before is None else move.before(y)

        for move in moves:
            noise = noise if move.path is None or noise is None else move.path(noise, y)

        y = leg(eq, y, noise)

        for move in moves:
            y = y if move.after is None else move.after(eq, y)

        return y, None, state

    def evaluations(self, n: int) -> int:
        return n * self.inner.evaluations(1) + sum(w.extra(self.inner.evaluations, n) for w in self.wrap)


@dataclass(frozen=True)
class SubSolve:
    """A short solve on its own grid. The weights of its steps are computed once, when it is made."""

    solver: Solver
    times: tuple[Tensor, ...]
    plan: Sequence[Any]

    @classmethod
    def of(
        cls,
        solver: Solver,
        eq: Equation,
        times: Tensor,
        y: Tensor,
    ) -> SubSolve:
        """A short solve by `solver` on `times`.

        Args:
            solver: a solver of `solvers`.
            eq: the equation.
            times: the grid, strictly monotone, 1-D float64.
            y: the state, (B, ...).
        """
        return cls(solver, times.unbind(), solver.plan(eq, times, y))

    def __call__(self, eq: Equation, y: Tensor, noise: Path | None = None) -> Tensor:
        state = self.solver.init(eq, self.times[0], y)
        for t0, t1, w in zip(self.times[:-1], self.times[1:], self.plan, strict=True):
            y, _, state = self.solver.step(
                eq,
                t0,
                t1,
                y,
                state,
                noise,
                w,
            )
        return y

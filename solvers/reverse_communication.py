"""A solve that asks its caller for every value: reverse communication.

A step is a function of values alone. If a value is missing, the step is aborted by an exception, the value is requested
from the caller, and the step is repeated from its start. This needs no thread and no change of a solver. The price: the
arithmetic of a step is repeated once for each of its evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from .equation import Equation
from .noise import Path
from .solver import Solver

T = TypeVar("T")


class Unanswered(Exception):
    """A value is missing; `args` is the question."""


class Oracle:
    """A function whose values are given from outside, in the order of its calls. A call that has no value yet raises
    Unanswered."""

    def __init__(self) -> None:
        self.known: list[Any] = []
        self.used = 0

    def __call__(self, *question: Any) -> Any:
        """The answer to the next question of this piece of work."""
        if self.used == len(self.known):
            raise Unanswered(*question)
        self.used += 1
        return self.known[self.used - 1]

    def run(self, work: Callable[[], T]) -> Generator[tuple[Any, ...], Any, T]:
        """Repeat the work until it has all its values: yields each question, is sent the answer, returns the result of
        the work."""
        self.known = []

        while True:
            self.used = 0

            try:
                return work()
            except Unanswered as asked:
                question = asked.args

            self.known.append((yield question))


def driven(
    eq: Equation,
    y: Tensor,
    solver: Solver,
    times: Tensor,
    path: Path | None,
    answers: Oracle,
) -> Generator[tuple[Any, ...], Any, Tensor]:
    """Solve `eq`, whose f calls `answers`, over a grid: yields the questions of `answers`, returns the last state.

    Args:
        eq: the equation.
        y: the state at the first time, (B, ...).
        solver: a solver of `solvers`.
        times: the grid, strictly monotone, 1-D float64.
        path: the Brownian path, which must give one interval one increment, as that of SeededNoise does; None for an
            ODE.
        answers: the function answered from outside.
    """

    state = yield from answers.run(partial(solver.init, eq, times[0], y))

    for t0, t1, w in zip(times[:-1], times[1:], solver.plan(eq, times, y), strict=True):
        y, _, state = yield from answers.run(
            partial(
                solver.step,
                eq,
                t0,
                t1,
                y,
                state,
                path,
                w,
            )
        )

    return y

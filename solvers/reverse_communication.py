"""A solve that asks its caller for every value: reverse communication.

A step is a function of values alone. Where a function in it has no value yet it raises; the step is thrown away, the
caller is asked, and the step is made again up to the next question. No thread, nothing inside a solver: every solver
can be driven from outside, at the cost of repeating the arithmetic of one step once for each of its evaluations.
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
    """A question that has no answer yet; `args` is the question."""


class Oracle:
    """A function answered from outside: the calls of one piece of work in their order; one call too many raises
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
        """Do the work as often as it has questions: yields each, is sent the answer, returns what the work returned."""
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
    """The solve of `eq` over a grid where `answers` is called somewhere inside eq.f: yields its questions, returns the
    state at the end.

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

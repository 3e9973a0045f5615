"""Reverse communication: a solve that requests every value of f from its caller.

A step depends on its arguments and on the values of f only. If a value is missing, the step is aborted by an exception,
the value is requested from the caller, and the step is repeated from its start. This needs no thread, and solvers need
no change. Its cost: the arithmetic of a step is repeated once for each of its evaluations.
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
    """A value of the function is missing. `args` holds the arguments of the call."""


class Oracle:
    """A function with values that the caller supplies, in the order of its calls.

    A call without a value raises Unanswered."""

    def __init__(self) -> None:
        self.known: list[Any] = []
        self.used = 0

    def __call__(self, *question: Any) -> Any:
        """The value of the next call in this run of the work."""
        if self.used == len(self.known):
            raise Unanswered(*question)
        self.used += 1
        return self.known[self.used - 1]

    def run(self, work: Callable[[], T]) -> Generator[tuple[Any, ...], Any, T]:
        """Repeat the work until it has all its values.

        The generator yields the arguments of each call, receives the value by `send`, and returns the result of the
        work."""
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
    """Solve an equation over a grid, with the values of f supplied by the caller.

    The generator yields the arguments of each call of `answers`, receives the value by `send`, and returns the last
    state.

    Args:
        eq: the equation; its f calls `answers`.
        y: the state at the first time, (B, ...).
        solver: a solver of `solvers`.
        times: the grid, strictly monotone, 1-D float64.
        path: the Brownian path; None for an ODE. It must return the same increment each time an interval is repeated,
            like a path of SeededNoise.
        answers: the function with values supplied by the caller.
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

"""Compiled solvers: `torch.compile` makes one graph of a step, which includes the right-hand side.

Times, weights and the noise of the step are tensor arguments. Therefore one graph serves every step of a grid, every
other grid, and other equations made by the same functions. A multistep method compiles one graph per history length
during start-up. The noise is drawn before the graph runs, so the graph contains no random generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from itertools import pairwise
from types import FunctionType
from typing import Any, ClassVar

import torch
from torch import Tensor

from .counting import Tally, add_calls, counted
from .equation import Equation
from .noise import Path
from .solver import Solver, State, cut

_FACTS = ("order", "strong_order", "evals", "noise", "sense", "needs_levy_area", "substeps")
_MOST = 128  # largest number of graphs of one solver: history lengths x equations x shapes x dtypes
Draws = tuple[Any, ...] | None  # dW, or (dW, H), for each part of a step


@dataclass(frozen=True)
class Compiled(Solver):
    """A solver that runs each step of another solver as one graph of `torch.compile`.

    Its states equal those of `inner` up to rounding. Order, noise kind and number of evaluations are the same.

    inner    the solver
    backend  as in torch.compile

    Graphs are kept. A later solve with a state of the same shape, dtype and device compiles nothing, on any grid. A
    second shape compiles one graph that serves all shapes. Use it on fixed grids only, because adaptive solves change
    the batch size. Raises TypeError naming `inner`. The first step raises ValueError naming `inner` if the step cannot
    be compiled as one graph."""

    inner: Solver
    backend: str = "inductor"

    reference: ClassVar[str] = "see the solver"

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Solver) or isinstance(self.inner, Compiled):
            raise TypeError(
                f"`inner` must be a solver that is not compiled yet, got {self.inner!r}; for example Heun()"
            )
        for name in _FACTS:
            object.__setattr__(self, name, getattr(self.inner, name))

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        points = cut(times, self.substeps).unbind()
        parts = len(self.substeps) + 1
        within = [points[k : k + parts + 1] for k in range(0, len(points) - 1, parts)]
        run = compiled(self.inner, self.backend)
        return [(run, *step) for step in zip(within, self.inner.plan(eq, times, y), strict=True)]

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return self.inner.init(eq, t, y)

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
        run, points, inner = w
        ask = None if noise is None else noise.levy if self.needs_levy_area else noise
        draws = None if ask is None else tuple(ask(*ends) for ends in pairwise(points))
        y1, state, f, g = run(
            eq,
            t0,
            t1,
            y,
            state,
            draws,
            inner,
        )
        add_calls(eq, f, g)

        return y1, None, state

    def evaluations(self, n: int) -> int:
        return self.inner.evaluations(n)


class Drawn:
    """A path that holds the Brownian increments of one step, drawn in advance. Each part is read once, in order."""

    def __init__(self, draws: tuple[Any, ...]):
        self.left = list(draws)

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        return self.left.pop(0)

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        return self.left.pop(0)


def _step(
    solver: Solver,
    eq: Equation,
    t0: Tensor,
    t1: Tensor,
    y: Tensor,
    state: State,
    draws: Draws,
    w: Any,
) -> tuple[Tensor, State, int, int]:
    """The function that is compiled: one step. It also returns the number of calls of f and g."""
    tally = Tally()
    y1, _, state = solver.step(
        counted(eq, tally),
        t0,
        t1,
        y,
        state,
        None if draws is None else Drawn(draws),
        w,
    )
    return y1, state, tally.f, tally.g


def _step_with_own_cache(solver: Solver) -> Callable[..., tuple[Tensor, State, int, int]]:
    """A copy of `_step` whose compiled graphs belong to one solver.

    torch.compile stores graphs, and the record of which sizes varied, per code object. The copy has a code object with
    its own name. So the graphs of one solver do not count against the limit of another.
    """
    return FunctionType(_step.__code__.replace(co_name=f"step of {solver!r}"), globals())


@lru_cache(maxsize=64)
def compiled(solver: Solver, backend: str) -> Callable[..., tuple[Tensor, State, int, int]]:
    """The compiled step of a solver. Equal solvers share one compiled function.

    Args:
        solver: a solver that is not compiled yet.
        backend: as in torch.compile.

    Returns:
        A function with the arguments of `step`, but with drawn increments instead of the path. It returns (y1, state,
        calls of f, calls of g).
    """

    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException  # the import is slow

    limit: dict[str, Any] = {}
    if "recompile_limit" in signature(torch.compile).parameters:  # older versions of torch have a fixed limit of 8
        limit["recompile_limit"] = _MOST

    graph = torch.compile(_step_with_own_cache(solver), backend=backend, fullgraph=True, **limit)

    def run(*values: Any) -> tuple[Tensor, State, int, int]:
        try:
            return graph(solver, *values)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            _step(solver, *values)  # if the equation itself is faulty, its own error is raised here
            reason = " ".join(str(error).split("\n\n")[0].split())
            raise ValueError(
                f"`inner` must make steps that are one graph, f included, got {solver!r}: {reason}; leave"
                " Compiled, or `compile`, out"
            ) from error

    return run

"""Linear multistep methods given by their numbers, and the numbers of any linear method on a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import check
from .adams_weights import combined
from .equation import Equation
from .noise import Path
from .solver import Solver, State, axpy


@dataclass(frozen=True)
class Table(Solver):
    """A variable-coefficient linear multistep method of one evaluation a step, for one grid.

    Row k makes step k,

        y_{k+1} = y_k + h_k (c_k y_k + sum_{j <= k} w_kj F_j),    F_j = a y_j + f(t_j, y_j),  h_k = t_{k+1} - t_k.

    It is the most general linear method that makes one evaluation a step: Adams methods and predictor-corrector pairs
    are tables (`Table.of`). A row is consistent where c_k = 0 and its weights sum to 1. No order is claimed.

    A solve of fewer steps than rows takes the last ones; what they give to slopes before its beginning goes to its
    first slope.

    Args:
        rows: (c_k, w_k0, ..., w_kk) for k = 0, 1, ...: k + 2 finite numbers in row k.

    Raises:
        TypeError, ValueError: naming `rows`; from `solve` naming `steps` where the grid has more steps than rows.

    Example:
        >>> Table(((0.0, 1.0), (0.0, -0.5, 1.5)))  # Euler, then the second-order Adams-Bashforth step
        Table(rows=((0.0, 1.0), (0.0, -0.5, 1.5)))
    """

    rows: tuple[tuple[float, ...], ...]

    order: ClassVar[int] = 0
    evals: ClassVar[int] = 1
    reference: ClassVar[str] = "Hairer, Norsett & Wanner 1993, section III.5"

    def __post_init__(self) -> None:
        if not isinstance(self.rows, tuple) or not self.rows:
            raise TypeError(f"`rows` must be a tuple of one row or more, got {self.rows!r:.80}")

        for k, row in enumerate(self.rows):
            if not isinstance(row, tuple) or len(row) != k + 2:
                raise ValueError(f"`rows` must hold {k + 2} numbers in row {k}, (c, w_0 .. w_{k}), got {row!r:.80}")
            for value in row:
                check.number("rows", value)

    @classmethod
    def of(
        cls,
        solver: Solver,
        times: Tensor,
        a: float = 0.0,
    ) -> Table:
        """The table that makes the steps of another method on a grid.

        Args:
            solver: a linear method of one evaluation a step, such as ExpAdams(3).
            times: the grid, strictly monotone, (n + 1,) float64.
            a: the constant linear part of the equations it is for.

        Raises:
            ValueError: naming `solver` where it evaluates elsewhere than once at the beginning of each step.
        """
        return cls(tuple(tuple(check.values(row)) for row in tabulated(solver, times, a)))

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        h = times.diff()
        if len(h) > len(self.rows):
            raise ValueError(f"`steps` must have at most {len(self.rows)} steps, the rows of the table, got {len(h)}")

        skipped = len(self.rows) - len(h)
        kept = ((row[0], math.fsum(row[1 : skipped + 2]), *row[skipped + 2 :]) for row in self.rows[skipped:])

        return [
            (torch.tensor(row, dtype=torch.float64, device="cpu") * step).unbind()
            for row, step in zip(kept, h, strict=True)
        ]

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
        slopes = (*state, eq.drift(t0, y))
        return combined(axpy(y, y, w[0]), w[1:], slopes), None, slopes

    def evaluations(self, n: int) -> int:
        return n


def tabulated(solver: Solver, times: Tensor, a: float = 0.0) -> list[Tensor]:
    """The rows of `Table.of`, differentiable in the times where the solver's weights are.

    The solver is run on symbols: states and slopes are rows of coefficients of (y_0, F_0, F_1, ...).

    Args:
        solver: a linear method of one evaluation a step.
        times: the grid, strictly monotone, (n + 1,) float64.
        a: the constant linear part of the equations it is for.

    Returns:
        Row k as (k + 2,) float64.

    Raises:
        ValueError: naming `solver`.
    """

    n = len(times) - 1
    symbols = torch.eye(n + 1, dtype=torch.float64, device="cpu")
    states: list[Tensor] = []

    def f(t: Tensor, y: Tensor) -> Tensor:
        if len(states) == n or float(t.detach()) != float(times[len(states)].detach()):
            raise ValueError(f"`solver` must evaluate once a step, at its beginning, got {solver!r}")
        states.append(y[0])
        return symbols[len(states)][None] - a * y

    eq = Equation(f, a=a)
    y = symbols[:1]
    state = solver.init(eq, times[0], y)

    for t0, t1, w in zip(times[:-1], times[1:], solver.plan(eq, times, y), strict=True):
        y, _, state = solver.step(eq, t0, t1, y, state, None, w)

    states.append(y[0])
    rows: list[Tensor] = []

    for k, h in enumerate(times.diff()):
        kept = states[k + 1][0] / states[k][0]
        weights = states[k + 1] - kept * states[k]
        rows.append(torch.cat([(kept - 1)[None], weights[1 : k + 2]]) / h)

    return rows

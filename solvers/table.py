"""Linear multistep methods given by a table of weights, and the table of an existing method on a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import check
from .adams_weights import combined
from .equation import Equation, Noise
from .solver import Path, Solver, State, add_noise, axpy

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Table(Solver):
    """A linear multistep method with one evaluation per step, given by its weights for each step of a grid.

    Row k holds the weights of step k,

        y_{k+1} = y_k + h_k (c_k y_k + sum_{j <= k} w_kj F_j),    F_j = a y_j + f(t_j, y_j),  h_k = t_{k+1} - t_k.

    With `stds`, step k of an equation with additive noise also adds s_k g(t_k) z_k, z_k ~ N(0, I). If the state must
    shrink to make room for this noise, the rows must already include the shrinking.

    It is the most general linear method that evaluates f once per step, at its beginning. Adams methods and
    predictor-corrector pairs are special cases; `Table.of` computes their tables. A row is consistent if c_k = 0 and
    its weights sum to 1. The order depends on the rows, so none is declared.

    If a solve has fewer steps than there are rows, the last rows are used. The weights of slopes before the start are
    then added to the weight of the first slope.

    Args:
        rows: (c_k, w_k0, ..., w_kk) for k = 0, 1, ...: k + 2 finite numbers in row k.
        stds: s_k of each row, 0 or more; empty: a method for ODEs.

    Raises:
        TypeError, ValueError: naming `rows` or `stds`. `solve` raises ValueError naming `steps` if the grid has more
            steps than there are rows.

    Example:
        >>> Table(((0.0, 1.0), (0.0, -0.5, 1.5)))  # Euler, then the second-order Adams-Bashforth step
        Table(rows=((0.0, 1.0), (0.0, -0.5, 1.5)), stds=())
    """

    rows: Rows
    stds: tuple[float, ...] = ()

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

        for std in self.stds:
            check.number("stds", std, least=0.0)
        if self.stds and len(self.stds) != len(self.rows):
            raise ValueError(f"`stds` must be empty or one for each of {len(self.rows)} rows, got {len(self.stds)}")

    @property
    def noise(self) -> Noise:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The kind of noise: additive if `stds` are given, and none otherwise."""
        return Noise.ADDITIVE if self.stds else Noise.NONE

    @classmethod
    def of(
        cls,
        solver: Solver,
        times: Tensor,
        a: float = 0.0,
    ) -> Table:
        """The table that makes the same steps as another method on a grid.

        Args:
            solver: a linear method with one evaluation per step, such as ExpAdams(3).
            times: the grid, strictly monotone, (n + 1,) float64.
            a: the constant linear part of the equations that the table is for.

        Raises:
            ValueError: naming `solver`, unless it evaluates f once in each step, at its beginning.
        """
        return cls(tuple(tuple(check.values(row)) for row in tabulated(solver, times, a)))

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        steps = len(times) - 1
        rows = _last(self.rows, steps)
        stds = torch.tensor(self.stds[len(self.rows) - steps :] or [0.0] * steps, dtype=torch.float64, device="cpu")
        scales = stds / times.diff().abs().sqrt()  # factors of increments with variance |h|

        return [
            ((torch.tensor(row, dtype=torch.float64, device="cpu") * h).unbind(), scale)
            for row, h, scale in zip(rows, times.diff(), scales, strict=True)
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
        weights, scale = w
        slopes = (*state, eq.drift(t0, y))
        y1 = combined(axpy(y, y, weights[0]), weights[1:], slopes)
        if noise is not None and eq.g is not None:
            y1 = add_noise(y1, scale * eq.g(t0, y), noise(t0, t1))
        return y1, None, slopes

    def evaluations(self, n: int) -> int:
        return n


def _last(rows: Rows, steps: int) -> list[tuple[float, ...]]:
    """The last rows, one for each step. Weights of slopes before the start are added to the first slope's weight."""
    skipped = len(rows) - steps
    if skipped < 0:
        raise ValueError(f"`steps` must have at most {len(rows)} steps, the rows of the table, got {steps}")
    return [(row[0], math.fsum(row[1 : skipped + 2]), *row[skipped + 2 :]) for row in rows[skipped:]]


def tabulated(solver: Solver, times: Tensor, a: float = 0.0) -> list[Tensor]:
    """The rows of `Table.of` as tensors. They are differentiable in the times if the solver's weights are.

    Args:
        solver: a linear method with one evaluation per step.
        times: the grid, strictly monotone, (n + 1,) float64.
        a: the constant linear part of the equations that the table is for.

    Returns:
        A list; row k is (k + 2,) float64.

    Raises:
        ValueError: naming `solver`, unless it evaluates f once in each step, at its beginning.
    """
    symbols = torch.eye(len(times), dtype=torch.float64, device="cpu")  # symbols (unit vectors) for y_0, F_0, F_1, ...
    fresh = iter(symbols[1:, None])
    eq = Equation(lambda t, y: next(fresh) - a * y, a=a)

    return rows_of(states_at_calls(eq, solver, times, symbols[:1]), symbols[1:], times)


def states_at_calls(
    eq: Equation,
    solver: Solver,
    times: Tensor,
    y: Tensor,
) -> Tensor:
    """The states at which a solver with one evaluation per step evaluates f, and the final state.

    Args:
        eq: an ODE.
        solver: a solver with one evaluation per step.
        times: the grid, strictly monotone, (n + 1,) float64.
        y: the state at the first time, (1, d).

    Returns:
        (n + 1, d).

    Raises:
        ValueError: naming `solver`, unless it evaluates f once in each step, at its beginning.
    """
    seen: list[Tensor] = []

    def f(t: Tensor, y: Tensor) -> Tensor:
        if len(seen) == len(times) - 1 or float(t.detach()) != float(times[len(seen)].detach()):
            raise ValueError(f"`solver` must evaluate once a step, at its beginning, got {solver!r}")
        seen.append(y)
        return eq.f(t, y)

    watched = replace(eq, f=f)
    state = solver.init(watched, times[0], y)

    for t0, t1, w in zip(times[:-1], times[1:], solver.plan(watched, times, y), strict=True):
        y, _, state = solver.step(watched, t0, t1, y, state, None, w)

    return torch.cat([*seen, y])


def rows_of(states: Tensor, slopes: Tensor, times: Tensor) -> list[Tensor]:
    """The rows of the table that computes given states from given slopes.

    States and slopes are linear combinations of the same symbols, such as y_0, F_0, F_1, ....

    Args:
        states: the states at the times, (n + 1, n + 1); state k combines the first k + 1 symbols.
        slopes: the slopes at all times but the last, (n, n + 1); slope k combines the first k + 2 symbols.
        times: the grid, (n + 1,).

    Returns:
        A list; row k is (k + 2,).
    """
    rows: list[Tensor] = []

    for k, h in enumerate(times.diff()):
        known = torch.cat([states[k : k + 1], slopes[: k + 1]])[:, : k + 2]
        gained = (states[k + 1] - states[k])[: k + 2]
        rows.append(torch.linalg.solve(known.T, gained) / h)

    return rows

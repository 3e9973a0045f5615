"""Explicit Runge-Kutta methods as data.

    k_i = F(t + c_i h, y + h sum_j a_ij k_j),   y1 = y + h sum_i b_i k_i,   error = h sum_i e_i k_i,

F the whole drift. Where the last stage is evaluated at y1 ("first same as last") it is carried to the next step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from .equation import Equation
from .solver import Path, Solver, State, axpy


@dataclass(frozen=True)
class Tableau:
    """Butcher coefficients, validated: row sums equal c, weights sum to one, error weights to zero.

    a      rows of stages 2..s;  b the weights;  e = b - b_hat, the error weights, or None
    dense  rows p_i with y(t + theta h) = y + h sum_i k_i sum_m p_im theta^(m+1), or None
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    e: tuple[float, ...] | None = None
    dense: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if [len(row) for row in self.a] != list(range(1, len(self.b))):
            raise ValueError(f"`a` must be strictly lower triangular with {len(self.b) - 1} rows, got lengths {[len(r) for r in self.a]}")
        for name, weights, total in (("b", self.b, 1.0), ("e", self.e or (0.0,), 0.0)):
            if abs(math.fsum(weights) - total) > 1e-14:
                raise ValueError(f"`{name}` must sum to {total:g}, got {math.fsum(weights)!r}")

    @cached_property
    def c(self) -> tuple[float, ...]:
        """Nodes: the row sums."""
        return (0.0, *(math.fsum(row) for row in self.a))

    @cached_property
    def fsal(self) -> bool:
        """Whether the last stage is the derivative at the new point."""
        return bool(self.a) and self.a[-1] == self.b[:-1] and self.b[-1] == 0.0


class RungeKutta(Solver):
    """Abstract: a tableau is a solver."""

    tableau: ClassVar[Tableau]

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        return [None] * (len(times) - 1)

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return (eq.drift(t, y),) if self.tableau.fsal else ()

    def step(
        self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Path | None, w: Any
    ) -> tuple[Tensor, Tensor | None, State]:
        tableau, h = self.tableau, t1 - t0
        k = [state[-1] if tableau.fsal else eq.drift(t0, y)]
        y1 = y
        for c, row in zip(tableau.c[1:], tableau.a, strict=True):
            y1 = axpy(y, weighted(row, k), h)
            k.append(eq.drift(t1 if c == 1.0 else t0 + c * h, y1))
        if not tableau.fsal:
            y1 = axpy(y, weighted(tableau.b, k), h)
        error = None if tableau.e is None else weighted(tableau.e, k) * h.to(y.dtype)
        return y1, error, tuple(k) if tableau.fsal else ()

    def calls(self, n: int) -> int:
        return n * self.evals + self.tableau.fsal

    def dense(self, theta: Tensor, h: Tensor, y0: Tensor, y1: Tensor, k: State) -> Tensor:
        """The solution at t0 + theta h inside a step, from its stages: no evaluation of f.

        The tableau's own interpolant, or the cubic Hermite polynomial through both ends where it has none."""
        if self.tableau.dense is None:
            rest = (1 - 2 * theta) * (y1 - y0) + h * ((theta - 1) * k[0] + theta * k[-1])
            return y0 + theta * (y1 - y0) + theta * (theta - 1) * rest
        total = torch.zeros_like(y0)
        for row, stage in zip(self.tableau.dense, k, strict=True):
            if any(row):
                total = total + stage * sum(p * theta ** (m + 1) for m, p in enumerate(row))
        return y0 + h * total


def weighted(weights: Sequence[float], k: Sequence[Tensor]) -> Tensor:
    """sum_i w_i k_i, skipping zeros."""
    total: Tensor | None = None
    for w, stage in zip(weights, k, strict=False):
        if w != 0.0:
            total = (stage if w == 1.0 else stage * w) if total is None else torch.add(total, stage, alpha=w)
    assert total is not None  # a tableau's rows are never all zero
    return total


@dataclass(frozen=True)
class Euler(RungeKutta):
    """y1 = y + h F(t, y). Order 1, one evaluation. Euler 1768."""

    order: ClassVar[int] = 1
    evals: ClassVar[int] = 1
    reference: ClassVar[str] = "Euler 1768"
    tableau: ClassVar[Tableau] = Tableau(a=(), b=(1.0,))


@dataclass(frozen=True)
class Heun(RungeKutta):
    """Trapezoidal predictor-corrector. Order 2, two evaluations. Heun 1900."""

    order: ClassVar[int] = 2
    evals: ClassVar[int] = 2
    reference: ClassVar[str] = "Heun 1900"
    tableau: ClassVar[Tableau] = Tableau(a=((1.0,),), b=(1 / 2, 1 / 2))


@dataclass(frozen=True)
class RK4(RungeKutta):
    """The classical method. Order 4, four evaluations. Kutta 1901."""

    order: ClassVar[int] = 4
    evals: ClassVar[int] = 4
    reference: ClassVar[str] = "Kutta 1901"
    tableau: ClassVar[Tableau] = Tableau(a=((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), b=(1 / 6, 1 / 3, 1 / 3, 1 / 6))


@dataclass(frozen=True)
class DormandPrince54(RungeKutta):
    """Order 5 with an embedded order 4 and a fourth-order interpolant; six evaluations a step, one more to start.

    Dormand & Prince 1980; the interpolant of Shampine 1986 (Math. Comp. 46, 135-150)."""

    order: ClassVar[int] = 5
    evals: ClassVar[int] = 6
    embedded: ClassVar[int | None] = 4
    reference: ClassVar[str] = "Dormand & Prince 1980"
    tableau: ClassVar[Tableau] = Tableau(
        a=(
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
            (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
        ),
        b=(35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
        e=(71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
        dense=(
            (1.0, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
            (0.0, 0.0, 0.0, 0.0),
            (0.0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
            (0.0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
            (0.0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
            (0.0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
            (0.0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
        ),
    )

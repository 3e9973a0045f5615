"""Butcher tableaus, and the abstract explicit Runge-Kutta method that uses one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from .equation import Equation
from .solver import Path, Solver, State, axpy


@dataclass(frozen=True)
class Tableau:
    """The Butcher coefficients of an explicit Runge-Kutta method.

    They are checked: the weights must sum to one and the error weights to zero. The nodes are computed from a.

    a      rows a_ij of stages 2..s
    b      weights of the stages
    e      error weights b - b_hat, or None
    e_low  weights of a second error estimate of lower order, which reduces the first (Dormand-Prince 8(5,3)), or None
    extra  rows of further stages that only the interpolant uses
    dense  rows p_i with y(t + theta h) = y + h sum_i k_i sum_m p_im theta^(m+1), or None
    c      nodes: the row sums of a, and of `extra`
    fsal   whether the last stage is the derivative at the new point ("first same as last")

    Raises ValueError naming the coefficients.
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    e: tuple[float, ...] | None = None
    e_low: tuple[float, ...] | None = None
    extra: tuple[tuple[float, ...], ...] = ()
    dense: tuple[tuple[float, ...], ...] | None = None
    c: tuple[float, ...] = field(init=False)
    fsal: bool = field(init=False)

    def __post_init__(self) -> None:
        stages = len(self.b)
        if [len(row) for row in self.a] != list(range(1, stages)):
            raise ValueError(
                f"`a` must be strictly lower triangular with {stages - 1} rows, got lengths {[len(r) for r in self.a]}"
            )
        if [len(row) for row in self.extra] != list(range(stages, stages + len(self.extra))):
            raise ValueError(
                f"`extra` must go on after the {stages} stages, got lengths {[len(r) for r in self.extra]}"
            )

        for name, weights, total in (
            ("b", self.b, 1.0),
            ("e", self.e or (0.0,), 0.0),
            ("e_low", self.e_low or (0.0,), 0.0),
        ):
            if abs(math.fsum(weights) - total) > 1e-14:
                raise ValueError(f"`{name}` must sum to {total:g}, got {math.fsum(weights)!r}")

        if self.dense is not None and len(self.dense) != stages + len(self.extra):
            raise ValueError(
                f"`dense` must have a row for each of {stages + len(self.extra)} stages, got {len(self.dense)}"
            )

        # A sum that differs from 1 by rounding is set to 1, so that f is never evaluated outside the step.
        sums = (math.fsum(row) for row in (*self.a, *self.extra))
        object.__setattr__(self, "c", (0.0, *(1.0 if abs(c - 1) < 1e-14 else c for c in sums)))
        object.__setattr__(self, "fsal", bool(self.a) and self.a[-1] == self.b[:-1] and self.b[-1] == 0.0)


class RungeKutta(Solver):
    """Abstract: an explicit Runge-Kutta method. A subclass gives its `tableau`."""

    tableau: ClassVar[Tableau]

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        return [None] * (len(times) - 1)

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return (eq.drift(t, y),) if self.tableau.fsal else ()

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
        tableau = self.tableau
        h = t1 - t0
        k = [state[-1] if tableau.fsal else eq.drift(t0, y)]
        y1 = y

        for c, row in zip(tableau.c[1:], tableau.a, strict=False):
            y1 = axpy(y, weighted(row, k), h)
            k.append(eq.drift(t1 if c == 1.0 else t0 + c * h, y1))

        if not tableau.fsal:
            y1 = axpy(y, weighted(tableau.b, k), h)

        return y1, self.error(k, h), tuple(k) if tableau.fsal else ()

    def error(self, k: Sequence[Tensor], h: Tensor) -> Tensor | None:
        """The embedded error estimate; None on a fixed grid.

        If there are two estimates, they are combined to e^2 / sqrt(e^2 + (e_low/10)^2), element by element. This is
        never less than Hairer's quotient of norms, and it needs no choice of a norm.

        Args:
            k: the stages, each like the state.
            h: the signed step size; 0-d on a fixed grid, (B, 1, ..., 1) under adaptive steps.
        """

        tableau = self.tableau
        if tableau.e is None or h.dim() == 0:
            return None

        e = weighted(tableau.e, k) * h.to(k[0].dtype)

        if tableau.e_low is None:
            return e

        low = torch.hypot(e, 0.1 * weighted(tableau.e_low, k) * h.to(k[0].dtype))

        return e.square() / torch.where(low > 0, low, torch.ones_like(low))

    def evaluations(self, n: int) -> int:
        return n * self.evals + self.tableau.fsal

    def extend(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        k: State,
    ) -> State:
        """All stages that the interpolant of a step needs. Each row of `extra` costs one evaluation.

        Args:
            eq: the equation.
            t0: start of the step.
            t1: end of the step.
            y: the state at the start, (B, ...).
            k: the stages of the step.

        Returns:
            The stages `k`, followed by those of `extra`.
        """
        h = t1 - t0
        stages = list(k)
        for row in self.tableau.extra:
            stages.append(eq.drift(t0 + self.tableau.c[len(stages)] * h, axpy(y, weighted(row, stages), h)))
        return tuple(stages)

    def dense(
        self,
        theta: Tensor,
        h: Tensor,
        y0: Tensor,
        y1: Tensor,
        k: State,
    ) -> Tensor:
        """The solution at t0 + theta h inside a step, by interpolation.

        If the tableau has no interpolant, the cubic Hermite polynomial through both ends is used.

        Args:
            theta: position in the step, in [0, 1]; broadcasts against the state.
            h: the signed step size; broadcasts against the state.
            y0: the state at the start, (B, ...).
            y1: the state at the end.
            k: the stages, as `extend` returns them. The Hermite polynomial uses the first and the last as the drifts at
                both ends.
        """

        if self.tableau.dense is None:
            rest = (1 - 2 * theta) * (y1 - y0) + h * ((theta - 1) * k[0] + theta * k[-1])
            return y0 + theta * (y1 - y0) + theta * (theta - 1) * rest

        total = torch.zeros_like(y0)

        for row, stage in zip(self.tableau.dense, k, strict=True):
            if any(row):
                power = torch.zeros_like(theta)  # Horner's scheme: the bits of pow depend on the batch size
                for p in reversed(row):
                    power = (power + p) * theta
                total = total + stage * power

        return y0 + h * total


def weighted(weights: Sequence[float], k: Sequence[Tensor]) -> Tensor:
    """The weighted sum of stages, sum_i w_i k_i. Zero weights are skipped.

    Args:
        weights: w_i, not all zero.
        k: stages k_i; stages beyond the number of weights are not used.
    """
    total: Tensor | None = None
    for w, stage in zip(weights, k, strict=False):
        if w != 0.0:
            total = (stage if w == 1.0 else stage * w) if total is None else torch.add(total, stage, alpha=w)
    assert total is not None  # a tableau's rows are never all zero
    return total

"""Variants of Adams methods from papers: integration rules, clocks and a starter; and the order for a budget of calls.

They are frozen dataclasses, so that the repr of a method names all its choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from solvers import Equation, Solver, check
from solvers.noise import Path
from solvers.solver import State, axpy

from ..processes.base import Process
from .grids import Grid


@dataclass(frozen=True)
class EqualStepWeights:
    """An Adams rule: the Adams-Bashforth weights of equal steps are used on every grid, as in iPNDM."""

    def __call__(self, moments: Tensor) -> Tensor:
        k = moments.shape[1]
        return moments[:, :1] / torch.arange(1, k + 1, device=moments.device).reshape(1, -1, *[1] * (moments.dim() - 2))


@dataclass(frozen=True)
class PublishedThirdOrder:
    """An Adams rule: the quadratic term has the weight phi_3, as in the published DPM-Solver++(3M). Its exact weight is
    2 phi_3."""

    def __call__(self, moments: Tensor) -> Tensor:
        return torch.cat((moments[:, :2], moments[:, 2:] / 2), 1) if moments.shape[1] == 3 else moments


CORRECTED = 8  # from this number of calls on, an Adams corrector is used
DENOISED = 7  # from this number of calls on, the last call of `best` is a denoise instead of a step


def useful_order(calls: int) -> int:
    """The order of an Adams predictor for a number of network calls: 2 up to 9 calls, 3 at 10 and 11, 4 from 12."""
    return min(4, max(2, (check.integer("n", calls) - 4) // 2))


@dataclass(frozen=True)
class GridClock:
    """A clock for Adams methods: a function of the time of `along` in which the levels of `grid` are equally spaced."""

    along: Process
    grid: Grid

    def __call__(self, u: Tensor) -> Tensor:
        return self.grid.clock(self.along.lam(u))


@dataclass(frozen=True)
class PseudoRK4(Solver):
    """The starter of PNDM: the classical Runge-Kutta method of order 4, but with its two inner stages in the middle of
    the step on `grid`.

    For a = 0. Order 2, four evaluations. Liu et al. 2022, arXiv:2202.09778, algorithm 1."""

    along: Process
    grid: Grid

    order: ClassVar[int] = 2
    evals: ClassVar[int] = 4
    reference: ClassVar[str] = "Liu et al. 2022"

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        clock = self.grid.clock(self.along.lam(times))
        middle = self.along.time(self.grid.level((clock[:-1] + clock[1:]) / 2))
        return list(zip(middle.unbind(), (middle - times[:-1]).unbind(), times.diff().unbind(), strict=True))

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
        middle, half, h = w
        k1 = eq.drift(t0, y)
        k2 = eq.drift(middle, axpy(y, k1, half))
        k3 = eq.drift(middle, axpy(y, k2, half))
        k4 = eq.drift(t1, axpy(y, k3, h))

        return axpy(y, k1 + 2 * k2 + 2 * k3 + k4, h / 6), None, state

    def evaluations(self, n: int) -> int:
        return 4 * n

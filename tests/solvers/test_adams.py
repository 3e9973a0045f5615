"""Multistep methods: exact on polynomials in their clock, equal to the classical coefficients at a = 0, started as
declared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from solvers import Equation, Euler, ExpAdams, ExpAdamsPC, ExpRK3, Heun, Noise, SeededNoise, solve
from solvers.solver import OneStep, State
from tests.helpers.problems import F64

GRID = torch.tensor([0.0, 0.3, 0.4, 0.9, 1.0, 1.7, 2.0], dtype=F64)


@dataclass(frozen=True)
class Oracle(OneStep):
    """A starter that knows the answer for f = 1 + m t^(m-1) + ...: so that only the multistep formula is judged."""

    a: float
    degree: int

    order: ClassVar[int] = 9
    evals: ClassVar[int] = 0
    reference: ClassVar[str] = "none"

    def step(
        self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Any, w: Any
    ) -> tuple[Tensor, None, State]:
        return exact(self.a, self.degree, t0, t1, y), None, state


def forcing(degree: int, t: Tensor) -> Tensor:
    """A polynomial of that degree with no zero coefficient."""
    return sum(((-0.7) ** m * (m + 1) * t**m for m in range(degree + 1)), torch.zeros((), dtype=F64))


def exact(a: float, degree: int, t0: Tensor, t1: Tensor, y: Tensor) -> Tensor:
    """y(t1) of y' = a y + forcing, by Gauss-Legendre quadrature of the variation of constants."""
    x, w = np.polynomial.legendre.leggauss(20)
    h = t1 - t0
    u = t0 + h * (torch.from_numpy(x) + 1) / 2
    return math.exp(a * h) * y + h / 2 * (torch.from_numpy(w) * torch.exp(a * (t1 - u)) * forcing(degree, u)).sum()


@pytest.mark.parametrize("a", [0.0, -1.3, 0.8])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize(("kind", "extra"), [(ExpAdams, 0), (ExpAdamsPC, 1)])
@pytest.mark.parametrize("direction", [1, -1])
def test_exact_on_polynomials(kind, extra, order, a, direction):
    """With exact starting values a method of order k integrates forcing of degree k - 1 exactly on any grid; degree k
    it does not.

    The returned state of the predictor-corrector is the predicted one: k - 1 too."""
    grid = GRID if direction > 0 else GRID.flip(0)
    y0 = torch.tensor([1.5], dtype=F64)
    for degree in (order - 1, order):
        solver = kind(order, start=Oracle(a, degree))
        got = solve(Equation(lambda t, y, degree=degree: forcing(degree, t).expand_as(y), a=a), y0, solver, grid).y
        error = (got - exact(a, degree, grid[0], grid[-1], y0)).abs().item()
        assert error < 1e-12 if degree < order else error > 1e-4


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_exact_on_polynomials_of_the_clock(order):
    """With a clock c(t), forcing that is a polynomial in c(t) is integrated exactly, e^{a .} and all."""
    a, y0 = -0.6, torch.tensor([0.4], dtype=F64)
    x, w = np.polynomial.legendre.leggauss(40)
    grid = GRID + 0.5

    def field(t: Tensor) -> Tensor:
        return forcing(order - 1, t.log())

    def flow(t0: Tensor, t1: Tensor, y: Tensor) -> Tensor:
        h = t1 - t0
        u = t0 + h * (torch.from_numpy(x) + 1) / 2
        return math.exp(a * h) * y + h / 2 * (torch.from_numpy(w) * torch.exp(a * (t1 - u)) * field(u)).sum()

    @dataclass(frozen=True)
    class Clocked(OneStep):
        order: ClassVar[int] = 9
        evals: ClassVar[int] = 0

        def step(
            self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Any, w: Any
        ) -> tuple[Tensor, None, State]:
            return flow(t0, t1, y), None, state

    got = solve(
        Equation(lambda t, y: field(t).expand_as(y), a=a), y0, ExpAdams(order, clock=torch.log, start=Clocked()), grid
    ).y
    assert (got - flow(grid[0], grid[-1], y0)).abs() < 1e-11


@pytest.mark.parametrize(
    ("order", "weights"),
    [
        (1, (1,)),
        (2, (3 / 2, -1 / 2)),
        (3, (23 / 12, -16 / 12, 5 / 12)),
        (4, (55 / 24, -59 / 24, 37 / 24, -9 / 24)),
    ],
)
def test_adams_bashforth_weights(order, weights: Sequence[float]):
    """At a = 0 on a uniform grid the weights are those of Bashforth & Adams 1883."""
    plan = ExpAdams(order).plan(
        Equation(lambda t, y: y), torch.linspace(0, 1, 11, dtype=F64), torch.zeros(1, dtype=F64)
    )
    assert [float(w) * 10 for w in plan[-1].predict] == pytest.approx(list(weights), abs=1e-12)


@pytest.mark.parametrize(
    ("order", "weights"),
    [
        (1, (1 / 2, 1 / 2)),
        (2, (5 / 12, 8 / 12, -1 / 12)),
        (3, (9 / 24, 19 / 24, -5 / 24, 1 / 24)),
    ],
)
def test_adams_moulton_weights(order, weights: Sequence[float]):
    """The corrector's, those of Adams-Moulton of one order more."""
    plan = ExpAdamsPC(order).plan(
        Equation(lambda t, y: y), torch.linspace(0, 1, 11, dtype=F64), torch.zeros(1, dtype=F64)
    )
    assert [float(w) * 10 for w in plan[-1].correct] == pytest.approx(list(weights), abs=1e-12)


@pytest.mark.parametrize("kind", [ExpAdams, ExpAdamsPC])
@pytest.mark.parametrize("start", [None, Heun(), ExpRK3()])
def test_the_start_costs_what_is_declared(kind, start):
    """calls(n) counts the starter's evaluations for grids shorter and longer than the history."""
    for order in (1, 2, 3, 4):
        solver = kind(order, start=start)
        for n in (1, 2, 3, 4, 9):
            solution = solve(
                Equation(lambda t, y: -y), torch.ones(1, dtype=F64), solver, torch.linspace(0, 1, n + 1, dtype=F64)
            )
            assert solution.calls == solver.evaluations(n)


def test_the_first_steps_are_the_starters():
    """Order k takes k - 1 steps of its starter; of order 1 none."""
    eq, y0, grid = (
        Equation(lambda t, y: -(y**2), a=0.3),
        torch.tensor([0.9], dtype=F64),
        torch.linspace(0, 1, 3, dtype=F64),
    )
    assert torch.equal(solve(eq, y0, ExpAdams(3, start=ExpRK3()), grid).y, solve(eq, y0, ExpRK3(), grid).y)
    assert torch.equal(solve(eq, y0, ExpAdams(1, start=ExpRK3()), grid).y, solve(eq, y0, ExpAdams(1), grid).y)


def test_midpoint_changes_degree_one_only():
    """`midpoint` acts where two values are interpolated; with a = 0 it is the same number, and order 1 has nothing to
    replace."""
    eq, y0, grid = Equation(lambda t, y: -(y**2), a=0.3), torch.tensor([0.9], dtype=F64), GRID
    assert torch.equal(solve(eq, y0, ExpAdams(1, midpoint=True), grid).y, solve(eq, y0, ExpAdams(1), grid).y)
    assert not torch.equal(solve(eq, y0, ExpAdams(2, midpoint=True), grid).y, solve(eq, y0, ExpAdams(2), grid).y)
    plain = replace(eq, a=0.0)
    torch.testing.assert_close(
        solve(plain, y0, ExpAdams(2, midpoint=True), grid).y, solve(plain, y0, ExpAdams(2), grid).y, rtol=1e-14, atol=0
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"order": 0}, ValueError, "`order`"),
        ({"order": 5}, ValueError, "`order`"),
        ({"order": 2.0}, TypeError, "`order`"),
        ({"order": 2, "clock": 3}, TypeError, "`clock`"),
        ({"order": 2, "start": "heun"}, TypeError, "`start`"),
        ({"order": 2, "start": ExpAdams(2)}, TypeError, "`start`"),
    ],
)
def test_bad_arguments(arguments, kind, message):
    """Named at construction."""
    for cls in (ExpAdams, ExpAdamsPC):
        with pytest.raises(kind, match=message):
            cls(**arguments)


def test_a_clock_that_stands_still_is_refused():
    """A clock that is not monotone on the grid raises, naming it."""
    with pytest.raises(ValueError, match="`clock` must be"):
        solve(Equation(lambda t, y: y), torch.ones(1), ExpAdams(2, clock=lambda t: (t - 1) ** 2), GRID)


def test_start_with_noise_must_take_it():
    """An ODE starter for a stochastic equation raises, naming `start`."""
    eq = Equation(lambda t, y: -y, lambda t, y: torch.ones_like(y), noise=Noise.ADDITIVE)
    with pytest.raises(ValueError, match="`start` must take"):
        solve(eq, torch.ones(1), ExpAdams(2, start=Euler()), GRID, SeededNoise(0))

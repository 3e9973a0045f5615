"""Runge-Kutta tableaux judged by algebra: a method has order p iff its weights satisfy one equation per rooted tree of
up to p vertices, sum_i b_i Phi_i(tree) = 1/gamma(tree) (Butcher 1963; Hairer, Norsett & Wanner, "Solving ODEs I",
II.2)."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from solvers import Adaptive, Equation, solve
from solvers.tableau import RungeKutta, Tableau
from tests.helpers.problems import EMBEDDED, F64, TABLEAUX
from tests.helpers.trees import algebraic_order, gamma, residual, square, trees

every = pytest.mark.parametrize("solver", TABLEAUX, ids=repr)
embedded = pytest.mark.parametrize("solver", EMBEDDED, ids=repr)


def test_counting_trees():
    """1, 1, 2, 4, 9, 20, 48, 115 rooted trees; the density of the tallest is n!, of the bushiest n."""
    assert [len(trees(n)) for n in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]
    assert {gamma(t) for t in trees(4)} == {4, 8, 12, 24}


@every
def test_consistency(solver):
    """Rows sum to the nodes, weights to one, to the last bits; nodes lie in [0, 1]."""
    tableau = solver.tableau
    assert abs(math.fsum(tableau.b) - 1) <= 1e-15 * len(tableau.b)
    for row, c in zip((*tableau.a, *tableau.extra), tableau.c[1:], strict=True):
        assert abs(math.fsum(row) - c) <= 1e-14
    assert all(0 <= c <= 1 for c in tableau.c)


@every
def test_order_conditions(solver):
    """Every condition up to the declared order holds, and one of the next order fails: the order is neither over- nor
    understated."""
    assert algebraic_order(list(solver.tableau.b), square(solver)) == solver.order


@embedded
def test_order_of_the_embedded_method(solver):
    """b - e has the declared embedded order. Two estimates of orders p > q combine to e^2 / |e_low|: order 2p - q."""
    a, tableau = square(solver), solver.tableau
    p, *low = (
        algebraic_order([b - e for b, e in zip(tableau.b, weights, strict=True)], a)
        for weights in (tableau.e, tableau.e_low)
        if weights is not None
    )
    assert solver.embedded == (2 * p - low[0] if low else p) < solver.order


@embedded
@pytest.mark.parametrize("theta", [0.0, 0.1, 0.37, 0.5, 0.8, 1.0])
def test_dense_output(solver, theta):
    """The interpolant's weights at theta, read off its answer to unit stages, satisfy the conditions of order - 1 with
    theta^n on the right; at the ends it is y0 and y1."""
    a = square(solver)
    a = [[*row, *[0.0] * len(solver.tableau.extra)] for row in a]
    a += [[*row, *[0.0] * (len(a[0]) - len(row))] for row in solver.tableau.extra]
    unit = torch.eye(len(a), dtype=F64)
    weights = torch.tensor([*solver.tableau.b, *[0.0] * len(solver.tableau.extra)], dtype=F64)
    got = solver.dense(torch.tensor(theta, dtype=F64), torch.tensor(1.0, dtype=F64), 0 * weights, weights, tuple(unit))
    worst = max(residual(got.tolist(), a, tree, theta) for n in range(1, solver.order) for tree in trees(n))
    assert worst < 1e-13
    if theta in (0.0, 1.0):
        torch.testing.assert_close(got, theta * weights, rtol=0, atol=1e-12)


@every
def test_stage_times(solver):
    """f is called at t0 + c_i h in order, the last node exactly at t1; with "first same as last" once per
    step less."""
    seen: list[float] = []

    def f(t: Tensor, y: Tensor) -> Tensor:
        seen.append(t.item())
        return -y

    grid = torch.tensor([1.0, 0.7, 0.1], dtype=F64)
    solve(Equation(f), torch.ones(1, dtype=F64), solver, grid)
    c, want = solver.tableau.c[: len(solver.tableau.b)], []
    for t0, t1 in itertools.pairwise(grid.tolist()):
        here = [t1 if x == 1.0 else t0 + x * (t1 - t0) for x in c]
        want += here[1:] if solver.tableau.fsal and want else here
    assert seen == pytest.approx(want, abs=1e-15)
    assert len(seen) == solver.evaluations(2) == 2 * solver.evals + solver.tableau.fsal
    assert max(seen) <= 1.0
    assert min(seen) >= 0.1
    if c[-1] == 1.0:
        assert seen[-1] == 0.1


@every
def test_first_same_as_last_reuses_the_end(solver):
    """A carried stage is f at the new point: recomputing it changes no bit."""
    eq, y0 = Equation(lambda t, y: y * (t - y)), torch.tensor([0.2, 0.9], dtype=F64)
    grid = torch.linspace(0, 1, 5, dtype=F64)
    once = solve(eq, y0, solver, grid).y
    y = y0
    for i in range(4):
        y = solve(eq, y, solver, grid[i : i + 2]).y
    assert torch.equal(once, y)


def test_a_wrong_tableau_is_refused():
    """Weights that do not sum to one, error weights that do not sum to zero and ragged rows raise, naming the field."""
    with pytest.raises(ValueError, match="`b` must sum to 1"):
        Tableau(a=((1.0,),), b=(0.5, 0.4))
    with pytest.raises(ValueError, match="`e` must sum to 0"):
        Tableau(a=((1.0,),), b=(0.5, 0.5), e=(0.5, 0.5))
    with pytest.raises(ValueError, match="`a` must be strictly lower triangular"):
        Tableau(a=(), b=(0.5, 0.5))


class Fehlberg(RungeKutta):
    """4(5), whose last stage is not the drift at the end (Fehlberg 1969)."""

    order: ClassVar[int] = 4
    evals: ClassVar[int] = 6
    embedded: ClassVar[int | None] = 4
    tableau: ClassVar[Tableau] = Tableau(
        a=(
            (1 / 4,),
            (3 / 32, 9 / 32),
            (1932 / 2197, -7200 / 2197, 7296 / 2197),
            (439 / 216, -8.0, 3680 / 513, -845 / 4104),
            (-8 / 27, 2.0, -3544 / 2565, 1859 / 4104, -11 / 40),
        ),
        b=(25 / 216, 0.0, 1408 / 2565, 2197 / 4104, -1 / 5, 0.0),
        e=(25 / 216 - 16 / 135, 0.0, 1408 / 2565 - 6656 / 12825, 2197 / 4104 - 28561 / 56430, -1 / 50, -2 / 55),
    )


def test_a_tableau_without_the_last_drift_lands_on_the_times_asked_for():
    """One of a user's own, adaptive: between its steps nothing is interpolated that it has not."""
    y0 = torch.tensor([[0.3], [0.8]], dtype=F64)
    save = torch.tensor([0.31, 0.77, 1.0], dtype=F64)
    steps = Adaptive(0.0, 1.0, rtol=1e-9, atol=1e-9)
    found = solve(Equation(lambda t, y: -y), y0, Fehlberg(), steps, save=save)
    want = y0 * torch.exp(-save)[:, None, None]
    assert found.ys is not None
    assert (found.ys - want).abs().max() < 1e-7

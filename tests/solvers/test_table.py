"""Tables of coefficients: any linear method of one call a step is one, and its numbers are all it is."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from solvers import (
    Equation,
    Euler,
    EulerMaruyama,
    ExpAdams,
    ExpAdamsPC,
    ExpEuler,
    Heun,
    Noise,
    SeededNoise,
    Solver,
    Table,
    solve,
)
from solvers.table import tabulated
from tests.helpers.problems import MORE_SOLVERS, SOLVERS

F64 = torch.float64
TIMES = torch.linspace(1.0, 1.6, 7, dtype=F64) ** 2
GROWTH = -0.5


def decay(a: float = GROWTH) -> Equation:
    """y' = y sin 3t - y^2, of which a y is called linear."""
    return Equation(lambda t, y: torch.sin(3 * t) * y - y * y - a * y, a=a)


def start() -> Tensor:
    """Twelve states between 0.2 and 1.4."""
    return torch.linspace(0.2, 1.4, 12, dtype=F64).reshape(4, 3)


def once_a_step(solver: Solver) -> bool:
    """Whether a solver of ODEs calls f once a step from the first step on."""
    return solver.evals == 1 and solver.evaluations(1) == 1 and solver.evaluations(6) == 6 and solver.embedded is None


LINEAR = [s for s in SOLVERS + MORE_SOLVERS if once_a_step(s)]


def test_there_are_many() -> None:
    """Euler, exponential Euler, both Adams methods of all orders."""
    kinds = {type(s) for s in LINEAR}
    assert {Euler, ExpEuler, ExpAdams, ExpAdamsPC} <= kinds
    assert len(LINEAR) >= 10


@pytest.mark.parametrize("solver", LINEAR, ids=repr)
@pytest.mark.parametrize("a", [0.0, GROWTH])
@pytest.mark.parametrize("backward", [False, True])
def test_a_linear_method_is_its_table(solver: Solver, a: float, backward: bool) -> None:
    """The same states at the end, to the rounding of differences of large numbers."""
    times = TIMES.flip(0) if backward else TIMES
    table = Table.of(solver, times, a)
    theirs, ours = (solve(decay(a), start(), s, times) for s in (solver, table))
    assert ours.calls == theirs.calls == len(table.rows)
    assert (ours.y - theirs.y).abs().max() < 1e-9 * theirs.y.abs().max()


@pytest.mark.parametrize("solver", [Heun(), ExpAdams(3, start=Heun())], ids=repr)
def test_what_calls_elsewhere_is_refused(solver: Solver) -> None:
    with pytest.raises(ValueError, match="`solver` must evaluate once a step"):
        Table.of(solver, TIMES)


def test_rows_are_differentiable_in_the_times() -> None:
    """The derivative of a weight is that of central differences."""
    direction = torch.tensor([0.0, 1.0, -0.5, 2.0, 0.3, -1.0, 0.0], dtype=F64)

    def total(times: Tensor) -> Tensor:
        return torch.stack([row.square().sum() for row in tabulated(ExpAdamsPC(3), times)]).sum()

    times = TIMES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(times), times)
    h = 1e-5
    difference = (total(TIMES + h * direction) - total(TIMES - h * direction)) / (2 * h)
    assert math.isclose(float(gradient @ direction), float(difference), rel_tol=1e-6)


def test_a_constant_slope_is_integrated_exactly_by_consistent_rows() -> None:
    table = Table(((0.0, 1.0), (0.0, -0.7, 1.7), (0.0, 0.2, 0.3, 0.5)))
    times = torch.tensor([0.0, 0.4, 0.5, 1.1], dtype=F64)
    y = solve(Equation(lambda t, y: torch.full_like(y, 2.0)), start(), table, times).y
    assert (y - start() - 2.2).abs().max() < 1e-14


def test_fewer_steps_take_the_last_rows() -> None:
    """What they give to slopes before the beginning goes to the first: a constant is still exact."""
    table = Table(((0.0, 1.0), (0.0, -0.5, 1.5), (0.1, 0.25, -0.5, 1.25)))
    late = solve(decay(0.0), start(), table, TIMES[:3])
    same = solve(decay(0.0), start(), Table(((0.0, 1.0), (0.1, -0.25, 1.25))), TIMES[:3])
    assert torch.equal(late.y, same.y)
    with pytest.raises(ValueError, match="`steps` must have at most 3 steps, the rows of the table, got 6"):
        solve(decay(0.0), start(), table, TIMES)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    table = Table.of(ExpAdamsPC(3), TIMES)
    whole = solve(decay(0.0), start(), table, TIMES).y
    alone = solve(decay(0.0), start()[2:3], table, TIMES).y
    assert torch.equal(whole[2:3], alone)


def test_it_keeps_single_precision_and_is_a_value() -> None:
    table = Table.of(ExpAdams(2), TIMES)
    assert solve(decay(0.0), start().float(), table, TIMES).y.dtype == torch.float32
    assert table == dataclasses.replace(table)
    assert hash(table) == hash(dataclasses.replace(table))
    assert table.noise is Noise.NONE


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((), "a tuple of one row or more"),
        ([[0.0, 1.0]], "a tuple of one row or more"),
        (((0.0, 1.0), (0.0, 1.0)), "3 numbers in row 1"),
        (((0.0, math.nan),), "`rows` must"),
        (((0.0, "1"),), "`rows` must"),
    ],
)
def test_rows_that_cannot_be(rows: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        Table(rows)


# -- noise
# ---------------------------------------------------------------------------------------------------------------


def test_with_noise_it_may_be_euler_maruyama() -> None:
    """Rows of Euler, and the standard deviation of dW: the same path of the same seed, with a g that moves."""
    stds = tuple(TIMES.diff().sqrt().tolist())
    table = dataclasses.replace(Table.of(Euler(), TIMES), stds=stds)
    eq = dataclasses.replace(decay(0.0), g=lambda t, y: 0.1 + t, noise=Noise.ADDITIVE)
    ours, theirs = (solve(eq, start(), s, TIMES, noise=SeededNoise(1)).y for s in (table, EulerMaruyama()))
    assert (ours - theirs).abs().max() < 1e-14
    assert table.noise is Noise.ADDITIVE


def test_fewer_steps_take_the_last_noise() -> None:
    rows = ((0.0, 1.0), (0.0, 0.0, 1.0))
    eq = Equation(lambda t, y: 0 * y, g=lambda t, y: torch.ones_like(t), noise=Noise.ADDITIVE)
    whole, last = (
        solve(eq, start(), Table(table, stds), TIMES[:2], noise=SeededNoise(1)).y
        for table, stds in ((rows, (9.0, 0.5)), (rows[:1], (0.5,)))
    )
    assert torch.equal(whole, last)


def test_noise_of_its_own_is_asked_for_by_name() -> None:
    """A table without stds takes no equation with noise."""
    eq = dataclasses.replace(decay(0.0), g=lambda t, y: torch.ones_like(t), noise=Noise.ADDITIVE)
    with pytest.raises(ValueError, match="ADDITIVE"):
        solve(eq, start(), Table.of(Euler(), TIMES), TIMES, noise=SeededNoise(1))


@pytest.mark.parametrize("stds", [(0.1,), (0.1, -1.0), (0.1, math.nan), ("1", 0.0)])
def test_stds_that_cannot_be(stds: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="`stds` must"):
        Table(((0.0, 1.0), (0.0, 0.5, 0.5)), stds)

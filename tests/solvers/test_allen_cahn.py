"""Allen-Cahn in cosine space: a stiff diagonal linear part, which exponential methods solve exactly and explicit ones
choke on.

u_t = D u_xx + u - u^3 on [0, pi] with zero slope at both ends; v_k the cosine coefficients, a_k = -D k^2.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from solvers import RK4, Equation, ETDRK4Krogstad, ExpRK3, NonFiniteError, solve
from tests.helpers.problems import EXPONENTIAL, order

F64 = torch.float64
POINTS, DIFFUSION, END = 48, 0.1, 1.0
K = torch.arange(POINTS, dtype=F64)
X = (torch.arange(POINTS, dtype=F64) + 0.5) / POINTS
BASIS = (
    torch.cos(math.pi * K[:, None] * X) * torch.where(K > 0, math.sqrt(2 / POINTS), math.sqrt(1 / POINTS))[:, None]
)  # orthogonal


def react(t: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    u = v @ BASIS
    return (u - u**3) @ BASIS.T


EQ = Equation(react, a=-DIFFUSION * K**2)
START = (
    torch.stack(
        [0.5 * torch.cos(math.pi * X) + 0.2 * torch.cos(3 * math.pi * X), 0.3 - 0.6 * torch.cos(2 * math.pi * X)]
    )
    @ BASIS.T
)
EXACT = solve(EQ, START, ETDRK4Krogstad(), torch.linspace(0, END, 1025, dtype=F64)).y


def error(solver, steps: int) -> float:
    return (solve(EQ, START, solver, torch.linspace(0, END, steps + 1, dtype=F64)).y - EXACT).abs().max().item()


def test_the_reference_is_converged() -> None:
    assert (solve(EQ, START, ExpRK3(), torch.linspace(0, END, 2049, dtype=F64)).y - EXACT).abs().max() < 1e-9


@pytest.mark.parametrize("solver", EXPONENTIAL, ids=repr)
def test_full_order_at_steps_where_the_linear_part_is_stiff(solver) -> None:
    """h |a| is 7 at the coarsest grid: no order is lost to it."""
    assert DIFFUSION * (POINTS - 1) ** 2 * END / 32 > 6
    errors = [error(solver, n) for n in (32, 64, 128)]
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors) if b > 1e-12]
    assert all(s > order(solver) - 0.35 for s in slopes)


def test_an_explicit_method_of_the_same_order_runs_away() -> None:
    with pytest.raises(NonFiniteError):
        solve(EQ, START, RK4(), torch.linspace(0, END, 17, dtype=F64))
    assert error(ETDRK4Krogstad(), 16) < 1e-5

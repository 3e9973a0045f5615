"""More steps never hurt on Gaussian data, in exact law: the W2 distance of every deterministic method, without a
random number."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from scoresde import VPSDE, Method, catalogue, sampling
from solvers import ExpRK3
from tests.helpers.methods import FIXED
from tests.helpers.problems import F64, G3, marginal

VP = VPSDE()
DETERMINISTIC: dict[str, Callable[[int], Method]] = {
    name: make for name, make in FIXED.items() if not (make(5).stochastic or make(5).wrap)
} | {
    "dpm_solver_pp_3m corrected": lambda n: catalogue.dpm_solver_pp_3m(n, corrected=True),
    "unipc 1": lambda n: catalogue.unipc(n, 1),
    "unipc 2": lambda n: catalogue.unipc(n, 2),
    "deis 1": lambda n: catalogue.deis(n, 1),
    "deis 2": lambda n: catalogue.deis(n, 2),
    "exp_adams 4": lambda n: catalogue.exp_adams(n, 4),
}


def distance(method: Method, dtype: torch.dtype = F64) -> float:
    """W2 of G3 carried along VPSDE from its marginal at 1 to that at 1e-3. The map is affine and diagonal: fed with 0
    and unit vectors."""
    (m0, v0), (m1, v1) = marginal(VP, 1.0), marginal(VP, 1e-3)
    start = torch.cat([torch.zeros(1, 3, dtype=F64), torch.eye(3, dtype=F64)]).to(dtype)
    end = sampling.transport(G3, start, method, VP, 1.0, 1e-3).y.double()
    factor = (end[1:] - end[0]).diagonal()
    return float(torch.hypot(factor * m0 + end[0] - m1, factor.abs() * v0.sqrt() - v1.sqrt()).norm())


def check_refinement(name: str, dtype: torch.dtype, counts: list[int]) -> None:
    errors = [distance(DETERMINISTIC[name](n), dtype) for n in counts]
    floor = 1e-11 if dtype == F64 else 2e-5
    assert all(fine <= 1.05 * coarse + floor for coarse, fine in itertools.pairwise(errors)), errors


def test_deterministic_methods_are_found() -> None:
    assert {
        "ddim",
        "edm_heun",
        "dpm_solver_3",
        "dpm_solver_pp_2m",
        "dpm_solver_pp_3m",
        "unipc",
        "deis",
        "lms",
        "ipndm",
        "pndm",
    } <= set(DETERMINISTIC)


@pytest.mark.parametrize("name", sorted(DETERMINISTIC))
def test_twice_the_steps_are_no_worse(name: str) -> None:
    """Float64, to 80 steps: error(2N) <= 1.05 error(N) + 1e-11."""
    check_refinement(name, F64, [10, 20, 40, 80])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [F64, torch.float32], ids=str)
@pytest.mark.parametrize("name", sorted(DETERMINISTIC))
def test_many_more_steps_are_no_worse(name: str, dtype: torch.dtype) -> None:
    """To 1000 steps and more, floor 1e-11 in float64 and 2e-5 in float32, where rounding takes over."""
    check_refinement(name, dtype, [10 * 2**k for k in range(8)])


def slopes(make: Callable[[int], Method]) -> list[float]:
    errors = [distance(make(n)) for n in (32, 64, 128, 256)]
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]


def test_order_of_dpm_solver_3m() -> None:
    """Uniform in lam: as published order 2, whatever starts it; with the right weight of its quadratic
    term, started by third-order steps, well above."""
    published, corrected = (catalogue.dpm_solver_pp_3m(5, corrected=c).solver for c in (False, True))

    def started(solver):
        return lambda n: replace(catalogue.dpm_solver_pp_3m(n), solver=replace(solver, start=ExpRK3()))

    for make in (catalogue.dpm_solver_pp_3m, started(published)):
        assert slopes(make)[1:] == pytest.approx([2.0, 2.0], abs=0.1)
    assert min(slopes(started(corrected))) >= 2.7

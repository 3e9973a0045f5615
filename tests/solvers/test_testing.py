"""The laws for somebody's own solver: all of ours pass, and each law is broken by a solver that breaks it alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch

from solvers import Heun, Noise, Solver
from solvers.solver import OneStep, axpy
from solvers.testing import check_solver
from tests.helpers.problems import SOLVERS


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_every_solver_of_ours_passes(solver: Solver) -> None:
    check_solver(solver)


@dataclass(frozen=True)
class Mine(OneStep):
    """Euler's method, with a fault."""

    fault: str = ""
    order: ClassVar[int] = 1
    evals: ClassVar[int] = 1
    noise: ClassVar[Noise] = Noise.NONE
    strong_order: ClassVar[Any] = None
    reference: ClassVar[str] = "Euler 1768"

    def step(self, eq: Any, t0: Any, t1: Any, y: Any, state: Any, noise: Any, w: Any) -> Any:
        slope = eq.drift(t0, y)
        if self.fault == "order":
            slope = slope * (1 + 0.1 * (t0 > 0.5))
        if self.fault == "calls":
            slope = (slope + eq.drift(t0, y)) / 2
        if self.fault == "batch":
            slope = slope.mean() + 0 * slope
        if self.fault == "constant":
            slope = slope + 1e-3 * (t1 - t0)
        way = abs(t1 - t0) if self.fault == "falling" else t1 - t0
        return axpy(y, slope, way), None, state


def test_a_solver_of_ones_own_passes() -> None:
    check_solver(Mine())


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("order", "order"),
        ("calls", "declares"),
        ("batch", "each sample by itself"),
        ("constant", "constant"),
        ("falling", "falling"),
    ],
)
def test_each_fault_is_named(fault: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_solver(replace(Mine(), fault=fault))


def test_what_is_no_solver_is_named() -> None:
    with pytest.raises(TypeError, match="`solver`"):
        check_solver(Heun)  # pyright: ignore[reportArgumentType]


def test_defaults_of_torch_do_not_matter() -> None:
    torch.set_default_dtype(torch.float32)
    check_solver(Heun())

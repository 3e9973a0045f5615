"""Methods and solutions in words."""

from __future__ import annotations

import pytest
import torch

from scoresde import VPSDE, Frame, Moments, catalogue, exact, recommended
from solvers import Adaptive, DormandPrince54, Equation, Heun, solve


@pytest.mark.parametrize("name", [*catalogue.fixed_step_methods(), "probability_flow"])
def test_every_method_describes_itself(name: str) -> None:
    """What is integrated, by which solver, at what cost."""
    method = catalogue.probability_flow() if name == "probability_flow" else catalogue.fixed_step_methods()[name](9)
    said = method.describe()
    assert repr(method.solver) in said
    assert repr(method.process) in said
    assert ("ODE" in said) is not method.stochastic
    assert ("known only after a run" if method.calls is None else f"sample: {method.calls}.") in said


def test_a_frame_is_told() -> None:
    data = exact.Gaussian(torch.zeros(2), 1.0, process=VPSDE())
    method = recommended(data, 6, moments=Moments(0.0, 1.0))
    assert isinstance(method.frame, Frame) is ("It moves in" in method.describe())


def test_a_solution_is_summed_up() -> None:
    eq, y0 = Equation(lambda t, y: -y), torch.ones(3, 2, dtype=torch.float64)
    fixed = solve(eq, y0, Heun(), torch.linspace(0, 1, 5, dtype=torch.float64))
    assert "3 of 3 samples reached the end; the state is at t = 1." in fixed.summary()
    assert "Evaluations of f a sample: 8" in fixed.summary()
    save = torch.tensor([0.5], dtype=torch.float64)
    adaptive = solve(eq, y0, DormandPrince54(), Adaptive(0.0, 1.0), save=save)
    assert "on average" in adaptive.summary()
    assert "1 states are kept" in adaptive.summary()
    failed = solve(
        Equation(lambda t, y: y * y), 3 * y0, Heun(), torch.linspace(0, 9, 20, dtype=torch.float64), strict=False
    )
    assert "0 of 3" in failed.summary()

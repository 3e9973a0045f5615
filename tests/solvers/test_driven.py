"""A solve driven from outside is the same solve, for every solver."""

from __future__ import annotations

import pytest
import torch

from solvers import Equation, Noise, SeededNoise, solve
from solvers.edges import bind
from solvers.reverse_communication import Oracle, driven
from tests.helpers.problems import F64, SOLVERS, noise


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_a_driven_solve_is_the_solve(solver):
    """Bit-equal, with the questions of the solve in its order, one for each evaluation it declares."""
    stochastic = noise(solver) > Noise.NONE
    g = (lambda t, y: 0.3 + 0 * y) if stochastic else None

    def truth(t, y):
        return torch.sin(3 * t) - y * y

    y0, times = (
        torch.tensor([[0.3, -0.2], [0.1, 0.8]], dtype=F64),
        torch.tensor([0.0, 0.1, 0.35, 0.5, 0.6, 0.8, 1.0], dtype=F64),
    )
    kind = Noise.ADDITIVE if stochastic else None
    asked: list[tuple] = []

    def watched(t, y):
        asked.append((float(t), y.clone()))
        return truth(t, y)

    source = SeededNoise(3) if stochastic else None
    whole = solve(Equation(watched, g, -0.5, kind), y0, solver, times, source).y
    answers = Oracle()
    eq = Equation(answers, g, -0.5, kind)
    run = driven(eq, y0, solver, times, bind(eq, solver, times, y0, source), answers)
    again: list[tuple] = []

    def through(run):
        question = next(run)
        while True:
            again.append((float(question[0]), question[1].clone()))
            try:
                question = run.send(truth(*question))
            except StopIteration as done:
                return done.value

    assert torch.equal(through(run), whole)
    assert len(again) == len(asked) == solver.evaluations(6)
    assert all(s == t and torch.equal(x, y) for (s, x), (t, y) in zip(again, asked, strict=True))

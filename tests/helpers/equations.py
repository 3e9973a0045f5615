"""Equations and grids that every solver takes."""

from __future__ import annotations

import torch
from torch import Tensor

from solvers import Equation, Noise, Sense, Solver
from tests.helpers.problems import (
    F64,
    logistic,
    noise,
)


def uneven(t0: float, t1: float, n: int) -> Tensor:
    return t0 + (t1 - t0) * torch.linspace(0, 1, n + 1, dtype=F64) ** 1.5


def noisy(solver: Solver, scale: float = 0.3) -> Equation:
    """An element-wise polynomial equation with the most general noise the solver takes: bits do not depend on vector
    lanes."""
    if noise(solver) is Noise.NONE:
        return logistic()
    if noise(solver) is Noise.ADDITIVE:
        return Equation(
            lambda t, y: y * (1 - y), lambda t, y: scale * (1 + t) * torch.ones_like(y), noise=Noise.ADDITIVE
        )
    return Equation(
        lambda t, y: y * (1 - y),
        lambda t, y: scale * y * (1 + t).to(y.dtype),
        noise=noise(solver),
        sense=solver.sense or Sense.ITO,
    )

"""Strong and weak errors of one-step methods in closed form."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from solvers import Equation, Noise, Sense, solve
from solvers.solver import Solver
from tests.helpers.problems import F64

MU, S, T = 0.7, 0.9, 1.0


def geometric(sense: Sense | None) -> tuple[Equation, float]:
    """The equation, and the drift rate of log X: mu - s^2/2 in Ito's sense, mu in Stratonovich's."""
    ito = sense is not Sense.STRATONOVICH
    eq = Equation(
        lambda t, y: MU * y, lambda t, y: S * y, noise=Noise.DIAGONAL, sense=Sense.ITO if ito else Sense.STRATONOVICH
    )
    return eq, MU - S * S / 2 if ito else MU


class Nodes:
    """Gauss-Hermite nodes as the only path of one step: a batch over (dW, H) and its weights."""

    def __init__(self, h: float, levy: bool, count: int = 24):
        x, w = np.polynomial.hermite_e.hermegauss(count)
        w = w / w.sum()
        second = (x, w) if levy else (np.zeros(1), np.ones(1))
        dw, area = np.meshgrid(x * math.sqrt(h), second[0] * math.sqrt(h / 12), indexing="ij")
        self.dw, self.area = (torch.from_numpy(z.reshape(-1).copy()) for z in (dw, area))
        self.weights = torch.from_numpy(np.outer(w, second[1]).reshape(-1).copy())

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        return self.dw

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        return self.dw, self.area


def one_step_moments(solver: Solver, h: float) -> tuple[float, float, float, float]:
    """E[R], E[R^2], E[R Z], E[Z^2] for the solver's factor R and the exact factor Z of one step."""
    eq, rate = geometric(solver.sense)
    nodes = Nodes(h, solver.needs_levy_area)
    r = solve(eq, torch.ones_like(nodes.dw), solver, torch.tensor([0.0, h], dtype=F64), nodes).y
    z = torch.exp(rate * h + S * nodes.dw)
    return tuple((nodes.weights * moment).sum().item() for moment in (r, r * r, r * z, z * z))


def strong_and_weak(solver: Solver, n: int) -> tuple[float, float]:
    """sqrt(E (X_N - X_T)^2) and |E X_N - E X_T|: steps are independent factors, so moments multiply."""
    h = T / n
    r, rr, rz, zz = one_step_moments(solver, h)
    _, rate = geometric(solver.sense)
    # E (prod R - prod Z)^2 without cancellation of the leading terms: with D = R - Z, A = E R^2, B = E R Z, C = E Z^2,
    # A^n - 2 B^n + C^n, each power by expm1 of its excess over C.
    a, b = n * math.log1p((rr - zz) / zz), n * math.log1p((rz - zz) / zz)
    square = zz**n * (math.expm1(a) - 2 * math.expm1(b))
    weak = abs(math.expm1(n * math.log(r) - (rate + S * S / 2) * T)) * math.exp((rate + S * S / 2) * T)
    return math.sqrt(square), weak

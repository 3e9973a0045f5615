"""Strong and weak orders without Monte Carlo: impulse responses on a linear equation, Gauss-Hermite moments on
geometric Brownian motion."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scoresde import VPSDE, exact
from solvers import SRA1, Equation, EulerMaruyama, Milstein, Noise, SeededNoise, solve
from solvers.solver import Solver
from tests.helpers.laws import affine, slope, strong_error
from tests.helpers.moments import MU, Nodes, S, geometric, one_step_moments, strong_and_weak
from tests.helpers.problems import F64, G3_VARIANCES, SOLVERS, STOCHASTIC, noise

VP = VPSDE()
DIAGONAL = [s for s in SOLVERS if noise(s) is Noise.DIAGONAL]


# -- additive noise: the reverse VP equation of G3, one direction at a time
# -----------------------------------------------------


def strong_errors(solver: Solver, steps: list[int], variance: float, t0: float = 1.0, t1: float = 1e-2) -> list[float]:
    """Root-mean-square distances to the exact solution on the same path, from the marginal at t0.

    The exact solution weighs dW_u by g(u) phi(t1, u), phi(t1, u) = (v_1/v_u) (alpha_u/alpha_1)."""

    def v(t) -> Tensor:
        return VP.alpha(t) ** 2 * variance + VP.sigma(t) ** 2

    def phi(u: Tensor | float) -> Tensor:
        return (v(t1) / v(u)) * (VP.alpha(u) / VP.alpha(t1))

    data = exact.Gaussian(torch.zeros(1, dtype=F64), variance)
    errors = []
    for n in steps:
        maps = affine(VP.reverse(data, 1.0), solver, torch.linspace(t0, t1, n + 1, dtype=F64), 1)
        error = strong_error(
            maps, phi(t0).reshape(1), lambda u: (VP.diffusion(u) * phi(u)).reshape(-1, 1), v(t0).reshape(1)
        )
        errors.append(error.item())
    return errors


@pytest.mark.parametrize("variance", G3_VARIANCES.tolist())
@pytest.mark.parametrize(("solver", "order"), [(EulerMaruyama(), 1.0), (SRA1(), 2.0)], ids=repr)
def test_exact_strong_order(solver, order, variance):
    """With additive noise and a linear drift Euler-Maruyama has strong order 1 and SRA1 order 2 (3/2 in
    general)."""
    assert abs(slope(strong_errors(solver, [128, 256, 512], variance)) - order) < 0.05


def linear_in_noise(solver: Solver) -> bool:
    """Whether doubling the path doubles a step's response where g depends on t alone: methods for diagonal noise may
    square dW."""
    eq = Equation(lambda t, y: -y, lambda t, y: (1 + t + t * t) * torch.ones_like(y), noise=Noise.ADDITIVE)
    times = torch.tensor([0.0, 0.1], dtype=F64)

    class Ramp:
        scale = torch.tensor([0.0, 1.0, 2.0], dtype=F64)

        def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
            return self.scale

        def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
            return self.scale, 0.1 * self.scale

    zero, one, two = solve(eq, torch.zeros(3, dtype=F64), solver, times, Ramp()).y
    return abs(two - 2 * one + zero) < 1e-13


@pytest.mark.parametrize("solver", [s for s in STOCHASTIC if linear_in_noise(s)], ids=repr)
def test_strong_order_for_additive_noise(solver):
    """No solver is less than it declares; what it declares for general noise may be less than what additive noise
    allows it."""
    assert slope(strong_errors(solver, [128, 256, 512], 1.0)) > solver.strong_order - 0.05


def test_most_solvers_are_judged_by_impulses():
    """Only those that square dW escape the impulse test."""
    assert sum(map(linear_in_noise, STOCHASTIC)) >= len(STOCHASTIC) - 2


# -- diagonal noise: dX = mu X dt + s X dW, X_0 = 1
# ------------------------------------------------------------------------------


def test_moments_of_the_published_recursions():
    """One step of Euler-Maruyama and Milstein against the closed forms: E R^2 = (1+mu h)^2 + s^2 h (+ s^4 h^2/2), E R
    Z likewise."""
    h = 0.05
    growth = math.exp(MU * h)
    for solver, extra in ((EulerMaruyama(), 0.0), (Milstein(), 0.5 * S**4 * h * h)):
        r, rr, rz, zz = one_step_moments(solver, h)
        assert r == pytest.approx(1 + MU * h, abs=1e-14)
        assert rr == pytest.approx((1 + MU * h) ** 2 + S * S * h + extra, abs=1e-14)
        assert rz == pytest.approx(growth * (1 + MU * h + S * S * h + extra), abs=1e-14)
        assert zz == pytest.approx(growth**2 * math.exp(S * S * h), abs=1e-14)


@pytest.mark.parametrize(("solver", "strong", "weak"), [(EulerMaruyama(), 0.5, 1.0), (Milstein(), 1.0, 1.0)], ids=repr)
def test_orders_on_geometric_brownian_motion(solver, strong, weak):
    """Euler-Maruyama has strong order 1/2, Milstein 1, both weak order 1."""
    errors = [strong_and_weak(solver, n) for n in (64, 128, 256, 512)]
    assert abs(slope([e[0] for e in errors]) - strong) < 0.05
    assert abs(slope([e[1] for e in errors]) - weak) < 0.05


@pytest.mark.parametrize("solver", [s for s in DIAGONAL if not s.substeps], ids=repr)
def test_declared_strong_order_on_geometric_brownian_motion(solver):
    """Every solver for diagonal noise, in its own sense, has the strong order it declares: no less, no more."""
    errors = [strong_and_weak(solver, n)[0] for n in (64, 128, 256, 512)]
    assert abs(slope(errors) - solver.strong_order) < 0.05, errors


def test_two_steps_are_independent_factors():
    """E X_2 X_T over the tensor grid of two draws equals the product of one-step moments: no state
    leaks."""
    h = 0.25
    for solver in (EulerMaruyama(), Milstein()):
        eq, rate = geometric(solver.sense)
        nodes = Nodes(h, False)
        first, second = (x.reshape(-1) for x in torch.meshgrid(nodes.dw, nodes.dw, indexing="ij"))
        weights = torch.outer(nodes.weights, nodes.weights).reshape(-1)
        x = solve(
            eq,
            torch.ones_like(first),
            solver,
            torch.tensor([0.0, h, 2 * h], dtype=F64),
            lambda t0, t1, a=first, b=second: a if t0 == 0 else b,
        ).y
        z = torch.exp(2 * rate * h + S * (first + second))
        assert (weights * x * z).sum().item() == pytest.approx(one_step_moments(solver, h)[2] ** 2, rel=1e-13)


def test_milstein_is_euler_maruyama_for_additive_noise():
    """The correction vanishes when g does not depend on y, declared or not."""
    y0, times = torch.linspace(-1, 1, 6, dtype=F64).reshape(3, 2), torch.linspace(0, 1, 8, dtype=F64)
    for kind in (Noise.ADDITIVE, Noise.DIAGONAL):
        eq = Equation(lambda t, y: -(y**3), lambda t, y: (1 + t) * torch.ones_like(y), noise=kind)
        assert torch.equal(*(solve(eq, y0, s, times, SeededNoise(1)).y for s in (Milstein(), EulerMaruyama())))

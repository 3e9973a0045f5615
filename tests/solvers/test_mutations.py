"""Planted bugs: solvers wrong in one place, which the exact tests must find out. A law that passes these proves
nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde import VPSDE, LogSNR, Split
from scoresde.samplers.reverse import reverse
from solvers import SRA1, Equation, EulerMaruyama, ExpEuler, Heun, Milstein, Noise, solve
from solvers.solver import OneStep, Solver, State
from solvers.tableau import RungeKutta, Tableau
from tests.helpers.golden import method, start, uniform
from tests.helpers.laws import Weights, affine, exact_law, slope, window
from tests.helpers.moments import one_step_moments, strong_and_weak
from tests.helpers.problems import F64, G3, LOGISTIC, SWING, logistic
from tests.helpers.trees import algebraic_order, square

VP = VPSDE()
Step = Callable[..., Tensor]


@dataclass(frozen=True)
class Patched(OneStep):
    """A solver whose step is replaced, with the facts of the one it stands for."""

    like: Solver
    body: Step

    def __getattribute__(self, name: str) -> Any:
        facts = ("order", "strong_order", "evals", "noise", "sense", "needs_levy_area", "embedded", "substeps")
        return (
            getattr(object.__getattribute__(self, "like"), name)
            if name in facts
            else object.__getattribute__(self, name)
        )

    def step(
        self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Any, w: Any
    ) -> tuple[Tensor, None, State]:
        return self.body(eq, t0, t1, y, noise), None, state


def em(eq, t0, t1, y, noise, drift=1.0, scale=1.0, late=False):
    """Euler-Maruyama with a place for each bug."""
    y1 = y + drift * (t1 - t0) * eq.drift(t1 if late else t0, y)
    return y1 if eq.g is None else y1 + scale * eq.g(t1 if late else t0, y) * noise(t0, t1)


def golden_em(solver: Solver) -> float:
    """Distance to the golden law of Euler-Maruyama at ten steps."""
    want_mean, want_cov = method("em", 10)
    mean, cov = exact_law(VP.reverse(G3.score(VP)), solver, uniform(VP, 10), *start(VP))
    return max((mean - want_mean).abs().max().item(), (cov - want_cov).abs().max().item())


def test_the_unpatched_step_passes():
    """The harness itself is clean: the same code without a bug agrees to the last bits."""
    assert golden_em(Patched(EulerMaruyama(), em)) < 1e-13


@pytest.mark.parametrize(
    "bug",
    [
        {"drift": -1.0},
        {"scale": 2.0},
        {"scale": 2**0.5},
        {"scale": 0.0},
        {"late": True},
        {"drift": 1.001},
        {"scale": 1.001},
    ],
    ids=str,
)
def test_golden_numbers_find_a_wrong_euler_maruyama(bug):
    """A wrong sign, a factor 2 or its root in the noise, no noise, time off by one, a part in a thousand: each moves
    the law by far."""
    assert golden_em(Patched(EulerMaruyama(), lambda *a: em(*a, **bug))) > 1e-6


def test_golden_numbers_find_noise_in_the_last_step_missing():
    """Skipping the noise where the solve ends is seen."""
    last = VP.t_min
    bug = Patched(
        EulerMaruyama(),
        lambda eq, t0, t1, y, noise: em(eq, t0, t1, y, noise, scale=0.0 if abs(t1.item() - last) < 1e-9 else 1.0),
    )
    assert golden_em(bug) > 1e-6


def test_golden_numbers_find_unsigned_steps():
    """|h| in the drift of a falling grid."""
    assert (
        golden_em(
            Patched(
                EulerMaruyama(),
                lambda eq, t0, t1, y, noise: y + (t1 - t0).abs() * eq.drift(t0, y) + eq.g(t0, y) * noise(t0, t1),
            )
        )
        > 1e-3
    )


@pytest.mark.parametrize(
    "body",
    [
        lambda eq, t0, t1, y, noise: heun(eq, t0, t1, y, 1.0, 0.0),
        lambda eq, t0, t1, y, noise: heun(eq, t0, t1, y, 0.6, 0.4),
        lambda eq, t0, t1, y, noise: heun(eq, t0, t1, y, 0.5, 0.5, late=t0),
        lambda eq, t0, t1, y, noise: heun(eq, t0, t1, y, 0.5, 0.5, reach=0.9),
    ],
    ids=["one weight", "swapped weights", "stage time", "stage length"],
)
def test_the_order_law_finds_a_wrong_heun(body):
    """Wrong weights, a stage at the wrong time or of the wrong length: the order falls below 2 on at least one of the
    problems."""
    solver = Patched(Heun(), body)
    orders = [slope(window(p.errors(solver), 1e-14)) for p in (LOGISTIC, SWING)]
    assert min(orders) < 1.5


def heun(eq, t0, t1, y, b1, b2, late=None, reach=1.0):
    h, k1 = t1 - t0, eq.drift(t0, y)
    return y + h * (b1 * k1 + b2 * eq.drift(t1 if late is None else late, y + reach * h * k1))


def test_the_tree_conditions_find_a_swapped_weight():
    """Exchanging two weights of a published tableau keeps their sum and loses the order."""

    class Swapped(RungeKutta):
        tableau = Tableau(a=((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), b=(1 / 3, 1 / 6, 1 / 3, 1 / 6))

    assert algebraic_order(list(Swapped.tableau.b), square(Swapped)) < 2


@pytest.mark.parametrize("factor", [1.0, 0.25, -0.5])
def test_moments_find_a_wrong_milstein(factor):
    """The correction with factor 1, 1/4 or -1/2 in place of 1/2 loses strong order 1 and the moments of the published
    recursion."""

    def body(eq, t0, t1, y, noise):
        h, dw, g = t1 - t0, noise(t0, t1), eq.g(t0, y)
        return y + h * eq.drift(t0, y) + g * dw + factor * g * (g / y) * (dw**2 - h.abs())

    wrong = Patched(Milstein(), body)
    assert (
        max(abs(a - b) for a, b in zip(one_step_moments(wrong, 0.05), one_step_moments(Milstein(), 0.05), strict=True))
        > 1e-4
    )
    assert slope([strong_and_weak(wrong, n)[0] for n in (64, 128, 256)]) < 0.7


def test_moments_find_dw_squared_without_its_mean():
    """g g' dW^2 / 2 without -|h|: the weak error does not vanish at all (the limit is another equation)."""

    def body(eq, t0, t1, y, noise):
        dw, g = noise(t0, t1), eq.g(t0, y)
        return y + (t1 - t0) * eq.drift(t0, y) + g * dw + 0.5 * g * (g / y) * dw**2

    assert slope([strong_and_weak(Patched(Milstein(), body), n)[1] for n in (64, 128, 256)]) < 0.1


def test_impulses_find_a_wrong_levy_area():
    """SRA1 reading H with variance |h| in place of |h|/12, or with its sign lost, is another affine map."""
    eq = VP.reverse(G3, 1.0)
    times = torch.linspace(1, 0.01, 17, dtype=F64)
    right = Weights.of(affine(eq, SRA1(), times, 3))

    class Twisted(Exception):
        pass

    for twist in (12**0.5, -1.0):

        def body(eq, t0, t1, y, noise, twist=twist):
            if noise is None:
                raise Twisted

            class Path:
                def __call__(self, a, b):
                    return noise(a, b)

                def levy(self, a, b):
                    dw, area = noise.levy(a, b)
                    return dw, twist * area

            return SRA1().step(eq, t0, t1, y, (), Path(), None)[0]

        wrong = Weights.of(affine(eq, Patched(SRA1(), body), times, 3))
        assert torch.equal(wrong.p, right.p)
        assert (wrong.q - twist * right.q).abs().max() < 1e-12
        assert (wrong.q - right.q).abs().max() > 1e-3


def test_golden_numbers_find_a_wrong_transition_noise():
    """DDPM with noise g sqrt(h) in place of the exact transition's: the mean is right, the variance is not."""
    eq, chart = reverse(LogSNR(-10.0, 10.0), G3, 1.0, Split.X0), LogSNR(-10.0, 10.0)
    times = chart.time(VP.lam(uniform(VP, 10)))

    def body(eq, t0, t1, y, noise):
        decay = torch.exp(eq.a * (t1 - t0))
        return y * decay + torch.expm1(eq.a * (t1 - t0)) / eq.a * eq.f(t0, y) + eq.g(t0, y) * noise(t0, t1)

    mean, cov = start(VP)
    cov = cov / VP.alpha(VP.t_max) ** 2
    right, wrong = (exact_law(eq, s, times, mean, cov) for s in (ExpEuler(), Patched(ExpEuler(), body)))
    assert (right[0] - wrong[0]).abs().max() < 1e-9
    assert (right[1] - wrong[1]).abs().max() > 1e-3


def test_the_counting_law_finds_a_wasted_evaluation():
    """A solver that evaluates f once more than it says is seen."""

    def body(eq, t0, t1, y, noise):
        eq.f(t1, y)
        return em(eq, t0, t1, y, noise)

    solver = Patched(EulerMaruyama(), body)
    assert solve(
        logistic(), torch.ones(1, dtype=F64), solver, torch.linspace(0, 1, 5, dtype=F64)
    ).calls != solver.evaluations(4)


def test_the_batch_law_finds_a_shared_statistic():
    """A step scaled by a mean over the batch makes neighbours matter."""

    def body(eq, t0, t1, y, noise):
        return em(eq, t0, t1, y, noise) * (1 + 1e-12 * y.mean())

    y0, times = torch.linspace(0.1, 0.9, 6, dtype=F64)[:, None], torch.linspace(0, 1, 5, dtype=F64)
    eq = Equation(lambda t, y: y * (1 - y), lambda t, y: torch.ones_like(y), noise=Noise.ADDITIVE)
    solver, zero = Patched(EulerMaruyama(), body), lambda t0, t1: torch.zeros(6, 1, dtype=F64)
    alone = solve(eq, y0[:1], solver, times, lambda t0, t1: torch.zeros(1, 1, dtype=F64)).y
    assert not torch.equal(alone, solve(eq, y0, solver, times, zero).y[:1])

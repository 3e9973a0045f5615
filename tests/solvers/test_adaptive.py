"""Adaptive steps: accuracy against exact maps, one sample at a time, dense output, and what happens when it cannot go
on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from scoresde import VESDE, VPSDE, SubVPSDE
from solvers import (
    SRA1,
    Adaptive,
    BrownianTree,
    DormandPrince54,
    Equation,
    EulerMaruyama,
    MaxStepsError,
    Noise,
    NonFiniteError,
    SolveError,
    StepSizeUnderflow,
    iterate,
    solve,
)
from tests.helpers.problems import (
    EMBEDDED,
    F64,
    G3_BASIS,
    G3_TURNED,
    M3,
    logistic,
    logistic_exact,
    m3_flow,
    m3_points,
    marginal,
)

VP = VPSDE()
FIFTH = [s for s in EMBEDDED if s.order >= 5]
embedded = pytest.mark.parametrize("solver", EMBEDDED, ids=repr)
fifth = pytest.mark.parametrize("solver", FIFTH, ids=repr)


def m3_ends() -> tuple[Tensor, Tensor]:
    """45 points of the VP marginal of M3 at t = 1 and where the probability flow takes them at t = 1e-3, by
    transport."""
    ends = [(VP.alpha(t).item(), VP.sigma(t).item()) for t in (VP.t_max, VP.t_min)]
    (a1, s1), (a0, s0) = ends
    start = m3_points(s1, a1)
    return start, m3_flow(start, s1, s0, a1, a0)


def scaled(error: Tensor, y: Tensor, tol: float) -> float:
    return (error / (tol + tol * y.abs())).square().mean().sqrt().item()


# -- accuracy
# -----------------------------------------------------------------------------------------------------------------


@fifth
@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE(), VESDE()], ids=lambda p: type(p).__name__)
def test_the_exact_map_of_a_gaussian(solver, process):
    """The probability flow scales each eigendirection by sqrt(v_1/v_0) about the moving mean; to 1e-10 at
    tol 1e-12."""
    t0, t1 = process.t_max, process.t_min
    x = process.prior((4, 3), seed=1, dtype=F64)
    (m0, v0), (m1, v1) = marginal(process, t0), marginal(process, t1)
    want = (m1 + (v1 / v0).sqrt() * (x @ G3_BASIS - m0)) @ G3_BASIS.T
    got = solve(process.probability_flow(G3_TURNED), x, solver, Adaptive(t0, t1, rtol=1e-12, atol=1e-12)).y
    assert (got - want).abs().max() < 1e-10


@pytest.mark.parametrize("tol", [1e-3, 1e-5, 1e-7, pytest.param(1e-9, marks=pytest.mark.slow)])
def test_accuracy_and_cost_on_a_mixture(tol):
    """Scaled RMS error at most 5, at no more than 1.1 times the mean evaluations of SciPy's RK45 run point
    by point."""
    start, end = m3_ends()
    eq = VP.probability_flow(M3)
    solution = solve(eq, start, DormandPrince54(), Adaptive(VP.t_max, VP.t_min, rtol=tol, atol=tol))
    assert scaled(solution.y - end, end, tol) <= 5

    def f(t: float, y: np.ndarray) -> np.ndarray:
        return eq.drift(torch.tensor(t, dtype=F64), torch.from_numpy(y)[:, None])[:, 0].numpy()

    scipy = np.mean([solve_ivp(f, (VP.t_max, VP.t_min), x.numpy(), rtol=tol, atol=tol).nfev for x in start])
    assert solution.evals.double().mean() <= 1.1 * scipy


@embedded
def test_error_follows_the_tolerance(solver):
    """log error against log tolerance has a slope between 0.8 and 1.2 over four decades: y' = cos(t) (1 + y^2)/4 over
    six swings."""
    phase = torch.linspace(-0.3, 0.4, 7, dtype=F64)[:, None]
    eq, want = Equation(lambda t, y: 0.25 * t.cos() * (1 + y * y)), (phase + 0.25 * math.sin(40.0)).tan()
    tols = (1e-6, 1e-10) if solver.order > 3 else (1e-4, 1e-8)
    errors = [
        (solve(eq, phase.tan(), solver, Adaptive(0.0, 40.0, rtol=tol, atol=tol)).y - want).square().mean().sqrt().item()
        for tol in tols
    ]
    assert 0.8 < math.log10(errors[0] / errors[1]) / 4 < 1.2
    assert errors[1] < 20 * tols[1]


@pytest.mark.parametrize("solver", [s for s in FIFTH if s.order == 5], ids=repr)
@pytest.mark.parametrize("tol", [1e-3, 1e-5, 1e-7])
def test_round_trip(solver, tol):
    """To data and back, within 40 tolerances (RMS over the points)."""
    start, _ = m3_ends()
    eq = VP.probability_flow(M3)
    there = solve(eq, start, solver, Adaptive(VP.t_max, VP.t_min, rtol=tol, atol=tol)).y
    back = solve(eq, there, solver, Adaptive(VP.t_min, VP.t_max, rtol=tol, atol=tol)).y
    assert (back - start).square().mean().sqrt() < 40 * tol


# -- one sample at a time
# -------------------------------------------------------------------------------------------------------


@embedded
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_sample_does_not_depend_on_its_neighbours(solver, dtype, device):
    """64 together equal 64 alone bit for bit, with their evaluations, steps and saved states."""
    rates = torch.linspace(0.3, 8.0, 64, dtype=dtype, device=device)[:, None]

    def equation(rate: Tensor) -> Equation:
        return Equation(lambda t, y: rate * y * (1 - y), select=lambda index: equation(rate[index]))

    y0 = torch.linspace(0.01, 0.9, 64 * 3, dtype=dtype, device=device).reshape(64, 3)
    control, save = Adaptive(1.0, 0.0, rtol=1e-5, atol=1e-5), torch.tensor([0.8, 0.1], dtype=F64)
    whole = solve(equation(rates), y0, solver, control, save=save)
    assert len(set(whole.evals.tolist())) > 3
    for i in range(64):
        alone = solve(equation(rates[i : i + 1]), y0[i : i + 1], solver, control, save=save)
        assert torch.equal(alone.y[0], whole.y[i])
        assert torch.equal(alone.ys[:, 0], whole.ys[:, i])
        assert (alone.evals[0], alone.accepted[0], alone.rejected[0]) == (
            whole.evals[i],
            whole.accepted[i],
            whole.rejected[i],
        )


@embedded
def test_counts(solver):
    """evals counts f per sample, calls its batched calls; every attempt is accepted or rejected; t ends at t1
    exactly."""
    seen = torch.zeros(5, dtype=torch.int64)

    def equation(rows: Tensor) -> Equation:
        def f(t: Tensor, y: Tensor) -> Tensor:
            seen[rows] += 1
            return -(rows[:, None] + 1.0) * y

        return Equation(f, select=lambda index: equation(rows[index]))

    sol = solve(
        equation(torch.arange(5)), torch.ones(5, 2, dtype=F64), solver, Adaptive(0.0, 2.0, rtol=1e-4, atol=1e-4)
    )
    assert torch.equal(sol.evals, seen)
    assert sol.calls == seen.max()
    assert torch.equal(
        sol.evals, 2 + solver.evals * (sol.accepted + sol.rejected)
    )  # one for the first step's size, one to start
    assert sol.t.tolist() == [2.0] * 5
    assert sol.ok.all()
    assert torch.equal(
        solve(logistic(), torch.ones(2, 1, dtype=F64), solver, Adaptive(0.0, 1.0, h_init=0.1)).evals % solver.evals,
        torch.tensor([1, 1]),
    )


def test_finished_samples_are_dropped():
    """f sees ever fewer rows, in the order of the batch, and `select` is asked for rows of the equation it belongs
    to."""
    sizes: list[int] = []

    def equation(labels: Tensor) -> Equation:
        def f(t: Tensor, y: Tensor) -> Tensor:
            sizes.append(len(y))
            assert len(labels) == len(y)
            return labels.reshape(-1, 1) * torch.cos(labels.reshape(-1, 1) * t) * torch.ones_like(y)

        return Equation(f, select=lambda index: equation(labels[index]))

    labels = torch.tensor([1.0, 40.0, 3.0, 20.0, 2.0], dtype=F64)
    sol = solve(
        equation(labels), torch.zeros(5, 1, dtype=F64), DormandPrince54(), Adaptive(0.0, 3.0, rtol=1e-8, atol=1e-8)
    )
    torch.testing.assert_close(sol.y[:, 0], torch.sin(3 * labels), rtol=0, atol=1e-6)
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (5, 1)


def test_per_sample_data_without_take_is_named():
    """An equation that closes over the whole batch and cannot be cut raises and says `select`."""
    rates = torch.tensor([[1.0], [30.0]], dtype=F64)
    with pytest.raises((ValueError, RuntimeError), match=r"take|size of tensor"):
        solve(
            Equation(lambda t, y: -rates * y + torch.cos(10 * rates * t)),
            torch.ones(2, 1, dtype=F64),
            DormandPrince54(),
            Adaptive(0.0, 1.0),
        )


def test_times_stay_inside():
    """f is never asked outside [t0, t1], in either direction."""
    for t0, t1 in ((0.0, 1.0), (1.0, 0.0)):
        seen: list[float] = []

        def f(t: Tensor, y: Tensor, seen=seen) -> Tensor:
            assert t.shape == (len(y), 1)
            seen.extend(t.flatten().tolist())
            return torch.sqrt(t.clamp(min=0)) * y + 0 / (t + 1)

        solve(Equation(f), torch.ones(3, 2, dtype=F64), DormandPrince54(), Adaptive(t0, t1))
        assert 0.0 <= min(seen) <= max(seen) <= 1.0


# -- dense output, iterate
# ------------------------------------------------------------------------------------------------------


@embedded
@pytest.mark.parametrize("ends", [(0.0, 4.0), (4.0, 0.0)])
def test_saved_states(solver, ends):
    """Any time inside can be saved, ends and repeats of steps included, at the accuracy of the steps, without changing
    them."""
    tol = 1e-7
    y0 = logistic_exact(torch.linspace(0.1, 0.6, 5, dtype=F64)[:, None], ends[0])
    save = torch.linspace(*ends, 23, dtype=F64)
    plain = solve(logistic(), y0, solver, Adaptive(*ends, rtol=tol, atol=tol))
    sol = solve(logistic(), y0, solver, Adaptive(*ends, rtol=tol, atol=tol), save=save)
    want = torch.stack([logistic_exact(y0, t - ends[0]) for t in save.tolist()])
    assert torch.equal(sol.y, plain.y)
    assert torch.equal(sol.ys[-1], sol.y)
    assert torch.equal(sol.ys[0], y0)
    assert (sol.ys - want).abs().max() < (2e3 if solver.order < 5 else 1e2) * tol
    assert plain.ys is None


def test_iterate_sees_every_attempt():
    """iterate yields (t, y) of the whole batch after each attempt; the last equals solve's answer."""
    y0, control = torch.tensor([[0.1], [0.5]], dtype=F64), Adaptive(0.0, 5.0, rtol=1e-6, atol=1e-6)
    states = list(iterate(logistic(), y0, DormandPrince54(), control))
    sol = solve(logistic(), y0, DormandPrince54(), control)
    assert torch.equal(states[-1][1], sol.y)
    assert len(states) == (sol.accepted + sol.rejected).max()
    assert all(bool((b[0] >= a[0]).all()) for a, b in itertools.pairwise(states))


# -- failure
# --------------------------------------------------------------------------------------------------------------------


def blows_up(t: Tensor, y: Tensor) -> Tensor:
    """y' = y^2: infinite at t = 1/y0."""
    return y * y


MIXED = torch.tensor([[0.1], [2.0], [0.2]], dtype=F64)  # the second is infinite at t = 1/2


@pytest.mark.parametrize(
    ("f", "control", "kind", "message"),
    [
        (blows_up, Adaptive(0.0, 1.0), (StepSizeUnderflow, NonFiniteError), r"t = 0\.5"),
        (blows_up, Adaptive(0.0, 1.0, max_evals=60), MaxStepsError, "max_evals = 60"),
        (
            lambda t, y: torch.where((y > 1) & (t > 0.3), math.nan, -0.0 * y),
            Adaptive(0.0, 1.0),
            NonFiniteError,
            "NaN or infinite at t = 0.3",
        ),
        (lambda t, y: torch.where(y > 1, math.nan, y), Adaptive(0.0, 1.0), NonFiniteError, "NaN or infinite at t = 0 "),
        (lambda t, y: torch.where(y > 1, math.inf, y), Adaptive(0.0, 1.0), NonFiniteError, "NaN or infinite"),
    ],
)
def test_failures_carry_what_was_reached(f, control, kind, message):
    """Rows 34 to 36: the error names time, count and first sample, and holds the partial solution; strict=False
    returns it."""
    with pytest.raises(kind, match=message) as caught:
        solve(Equation(f), MIXED, DormandPrince54(), control)
    assert "1 of 3 samples (first: 1)" in str(caught.value)
    assert isinstance(caught.value, SolveError)
    partial = caught.value.solution
    loose = solve(Equation(f), MIXED, DormandPrince54(), control, strict=False)
    for sol in (partial, loose):
        assert sol.ok.tolist() == [True, False, True]
        assert sol.t[[0, 2]].tolist() == [1.0, 1.0]
        assert sol.t[1] < 1.0
        assert sol.y.isfinite().all()
        assert sol.evals.max() <= control.max_evals
    good = solve(Equation(f), MIXED[[0, 2]], DormandPrince54(), control)
    assert torch.equal(loose.y[[0, 2]], good.y)


def test_a_stiff_equation_underflows_h_min():
    """With a lower limit on the step a stiff equation is given up at once, with the limit in the message."""
    with pytest.raises(StepSizeUnderflow, match=r"h_min = 0\.01"):
        solve(
            Equation(lambda t, y: -1e4 * (y - t.cos())),
            torch.ones(1, 1, dtype=F64),
            DormandPrince54(),
            Adaptive(0.0, 1.0, h_min=0.01),
        )


def test_limits_of_the_step():
    """h_max and h_init are kept."""
    still, y0 = Equation(lambda t, y: 0 * y), torch.ones(1, 1, dtype=F64)
    times = [0.0, *(t[0].item() for t, _ in iterate(still, y0, DormandPrince54(), Adaptive(0.0, 1.0, h_max=0.1)))]
    assert max(np.diff(times)) <= 0.1 * 1.011  # the last step may stretch by a hundredth to land on the end
    first, _ = next(iterate(still, y0, DormandPrince54(), Adaptive(0.0, 1.0, h_init=0.03)))
    assert first.item() == pytest.approx(0.03)


# -- stochastic
# -----------------------------------------------------------------------------------------------------------------


def ornstein(t: Tensor, y: Tensor) -> Tensor:
    return -2 * y


@pytest.mark.parametrize("solver", [SRA1()], ids=repr)
def test_stochastic_steps_follow_one_path(solver):
    """On a BrownianTree rejections keep the path: the error against a fine solve on the same path falls with the
    tolerance, samples do not see each other, and other noise is refused."""
    eq = Equation(ornstein, lambda t, y: (0.2 + t) * torch.ones_like(y), noise=Noise.ADDITIVE)
    y0 = torch.linspace(-1, 1, 16, dtype=F64)[:, None]
    tree = BrownianTree(y0, 0.0, 1.0, 7)
    fine = solve(eq, y0, solver, torch.linspace(0, 1, 401, dtype=F64), tree).y
    errors = []
    for tol in (1e-1, 1e-2, 1e-3):
        sol = solve(eq, y0, solver, Adaptive(0.0, 1.0, rtol=0.0, atol=tol), tree)
        errors.append((sol.y - fine).square().mean().sqrt().item())
    assert errors[2] < errors[1] / 2 < errors[0] / 4
    assert errors[2] < 1e-3
    assert sol.rejected.sum() > 0
    alone = solve(
        eq, y0[3:4], solver, Adaptive(0.0, 1.0, rtol=0.0, atol=1e-3), BrownianTree(y0[3:4], 0.0, 1.0, 7, first=3)
    )
    assert torch.equal(alone.y[0], sol.y[3])
    with pytest.raises((TypeError, ValueError), match="`noise`"):
        solve(eq, y0, solver, Adaptive(0.0, 1.0), lambda t0, t1: torch.zeros_like(y0))
    with pytest.raises(ValueError, match="`solver`"):
        solve(eq, y0, EulerMaruyama(), Adaptive(0.0, 1.0), tree)

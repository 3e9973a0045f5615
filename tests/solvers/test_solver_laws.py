"""Laws that hold for every solver found: order, evaluations, direction, batch, dtype and shape, exactness,
gradients."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scoresde.processes.coordinates import LogSNR
from scoresde.samplers.reverse import Split, reverse
from solvers import Adaptive, Equation, Noise, SeededNoise, Sense, solve
from solvers.solver import cut
from tests.helpers.equations import noisy, uneven
from tests.helpers.laws import slope, window
from tests.helpers.problems import (
    CIRCLE,
    ELLIPSE,
    EMBEDDED,
    EXPONENTIAL,
    F64,
    LOGISTIC,
    M3,
    MORE_SOLVERS,
    SOLVERS,
    STOCHASTIC,
    SWING,
    Smooth,
    logistic,
    m3_flow,
    m3_points,
    most,
    noise,
    order,
)

every = pytest.mark.parametrize("solver", SOLVERS, ids=repr)
stochastic = pytest.mark.parametrize("solver", STOCHASTIC, ids=repr)


def grid(t0: float, t1: float, n: int) -> Tensor:
    return torch.linspace(t0, t1, n + 1, dtype=F64)


# -- order
# -----------------------------------------------------------------------------------------------------------------
#
# High orders reach rounding while the step is still large: each is judged where it can be seen, on the ellipse order
# 5, on the
# circle order 8. The orders of a tableau are proved by algebra besides, in test_tableaux.


def judged(problem: Smooth, name: str, low: int, high: int) -> list:
    few = [pytest.param(problem, s, id=f"{name}-{s!r}") for s in SOLVERS if low <= order(s) <= high]
    return few + [
        pytest.param(problem, s, id=f"{name}-{s!r}", marks=pytest.mark.slow)
        for s in MORE_SOLVERS
        if low <= order(s) <= high
    ]


@pytest.mark.parametrize(
    ("problem", "solver"),
    [
        *judged(LOGISTIC, "logistic", 1, 4),
        *judged(SWING, "swing", 1, 4),
        *judged(ELLIPSE, "ellipse", 5, 5),
        *judged(CIRCLE, "circle", 6, 99),
    ],
)
@pytest.mark.parametrize(("a", "direction"), [(0.0, 1), ("diagonal", -1)])
def test_order(problem, solver, a, direction):
    """The global error falls as h^order, neither slower nor faster, whatever part of the drift is called linear,
    either way."""
    a = torch.linspace(0.5, -0.5, problem.states.shape[2], dtype=F64) if a == "diagonal" else a
    errors = problem.errors(solver, a, direction)
    measured = slope(window(errors, 1e-14))
    assert order(solver) - 0.15 <= measured <= most(solver) + 0.3, f"order {measured:.3f}, errors {errors}"


@every
def test_order_on_a_mixture(solver):
    """The same along the probability flow of the mixture M3, half log-SNR from -1 to 3, against transport of quantiles.

    No upper bound above order 4: the error meets rounding before its slope settles."""
    times = torch.linspace(-1.0, 3.0, 5, dtype=F64)
    start = m3_points(math.e, count=15)
    states = torch.stack([m3_flow(start, math.e, math.exp(-t)) for t in times.tolist()])
    eq = reverse(LogSNR(-1.0, 3.0), M3, split=Split.X0)
    errors = Smooth(lambda t, y: eq.drift(t, y), times, states).errors(solver, -1.0, floor=2e-14)
    measured = slope(window(errors, 2e-14))
    assert order(solver) - 0.15 <= measured <= (most(solver) + 0.3 if order(solver) <= 4 else math.inf), (
        f"order {measured:.3f}, errors {errors}"
    )


# -- counting
# --------------------------------------------------------------------------------------------------------------


@every
def test_evaluations_are_those_declared(solver):
    """f is called `calls(n)` times, which grows by `evals` a step; Solution says so."""
    for n in (1, 2, 3, 7, 12):
        count = 0

        def f(t: Tensor, y: Tensor) -> Tensor:
            nonlocal count
            count += 1
            return -y

        solution = solve(Equation(f), torch.ones(2, dtype=F64), solver, grid(0, 1, n))
        assert count == solver.evaluations(n) == solution.evals == solution.calls
        assert (solution.accepted, solution.rejected, solution.g_calls) == (n, 0, 0)
    assert solver.evaluations(12) - solver.evaluations(11) == solver.evals


@stochastic
def test_noise_costs_no_evaluation_of_f(solver):
    """With noise f is called as often as without."""
    eq = noisy(solver)
    for n in (1, 5):
        solution = solve(eq, torch.ones(2, 3, dtype=F64), solver, grid(0, 1, n), SeededNoise(0))
        assert solution.calls == solver.evaluations(n)
        assert solution.g_calls > 0


# -- direction
# -------------------------------------------------------------------------------------------------------------


def mirrored(eq: Equation) -> Equation:
    """The same curves in tau = -t."""
    g = eq.g
    return replace(eq, f=lambda t, y: -eq.f(-t, y), g=None if g is None else lambda t, y: g(-t, y), a=-eq.a)


class Mirrored:
    """The same draws for the steps of the mirrored grid."""

    def __init__(self, path):
        self.path = path

    def __call__(self, t0, t1):
        return self.path(-t0, -t1)

    def levy(self, t0, t1):
        return self.path.levy(-t0, -t1)


@every
def test_falling_time_is_rising_time_mirrored(solver):
    """y' = F(t, y) over a falling grid equals z' = -F(-tau, z) over the rising one, noise and all: h is signed in the
    drift and its size counts in the noise. Exact up to rounding."""
    eq = replace(noisy(solver), a=0.25)
    y0, times = torch.linspace(0.2, 0.9, 6, dtype=F64).reshape(3, 2), uneven(0.0, 1.0, 9)
    falling = times.flip(0)
    if eq.g is None:
        y, z = (solve(e, y0, solver, t).y for e, t in ((eq, falling), (mirrored(eq), -falling)))
    else:
        path = SeededNoise(3).on(cut(falling, solver.substeps), y0)
        y = solve(eq, y0, solver, falling, path).y
        z = solve(mirrored(eq), y0, solver, -falling, Mirrored(path)).y
    torch.testing.assert_close(y, z, rtol=1e-14, atol=1e-14)


@every
def test_there_and_back(solver):
    """An ODE run to the end and back passes its exact states again, with an error that falls at least as h^order."""
    errors = (SWING if order(solver) <= 5 else CIRCLE).errors(solver, 0.5, floor=3e-14, back=True)
    assert slope(window(errors, 3e-14)) >= order(solver) - 0.15, errors


# -- batch, shape, dtype
# ---------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_sample_does_not_depend_on_its_neighbours(solver, dtype, device):
    """Bit for bit, on an element-wise field, whatever the split of the batch."""
    eq, times = noisy(solver), uneven(1.0, 0.0, 8)
    y0 = torch.linspace(0.1, 0.9, 55, dtype=dtype, device=device).reshape(11, 5)
    source = None if eq.g is None else SeededNoise(7, 100)
    together = solve(eq, y0, solver, times, source).y
    for size in (1, 2, 7):
        parts = [
            solve(eq, y0[i : i + size], solver, times, source and SeededNoise(7, 100 + i)).y for i in range(0, 11, size)
        ]
        assert torch.equal(torch.cat(parts), together)


@every
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 3, 8, 8)])
def test_dtype_and_shape_are_kept(solver, dtype, shape, device):
    """Any shape and floating dtype goes in and comes out; elements evolve as they would alone, in any memory layout."""
    eq, times = noisy(solver), uneven(0.0, 1.0, 5)
    y0 = torch.linspace(0.1, 0.9, math.prod(shape), dtype=dtype, device=device).reshape(shape)
    source = None if eq.g is None else SeededNoise(1)
    y = solve(eq, y0, solver, times, source).y
    assert y.shape == shape
    assert (y.dtype, y.device) == (dtype, y0.device)
    flat = solve(eq, y0.reshape(4, -1), solver, times, source).y
    assert torch.equal(flat.reshape(shape), y)
    strided = torch.stack([y0, y0], -1)[..., 0]
    assert not strided.is_contiguous()
    assert torch.equal(solve(eq, strided, solver, times, source).y, y)


@every
def test_float32_follows_float64(solver):
    """Coefficients are float64 whatever the state: a float32 state ends within a rounding per step of the float64
    one."""
    eq = replace(noisy(solver), a=0.5)
    y0, times = torch.linspace(0.1, 0.9, 9, dtype=F64).reshape(3, 3), grid(0, 1, 200)
    source = None if eq.g is None else SeededNoise(1)
    wide = solve(eq, y0, solver, times, source).y
    narrow = solve(eq, y0.float(), solver, times, source).y
    assert (narrow.double() - wide).abs().max() < 200 * torch.finfo(torch.float32).eps


@every
def test_one_step_and_composition(solver):
    """A grid of one step is legal, and one-step methods on joined grids give what they give one after the other."""
    y0 = torch.tensor([0.3], dtype=F64)
    assert solve(logistic(), y0, solver, grid(0, 0.1, 1)).ok.all()
    if type(solver).__module__ == "solvers.adams":
        return  # the past of a multistep method ends where the grids are joined
    times = uneven(0.0, 1.0, 6)
    half = solve(logistic(0.5), y0, solver, times[:4]).y
    assert torch.equal(solve(logistic(0.5), half, solver, times[3:]).y, solve(logistic(0.5), y0, solver, times).y)


# -- exactness
# -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", EXPONENTIAL, ids=repr)
@pytest.mark.parametrize("a", [-1.7, 0.8, 0.0, 1e-9, "diagonal"])
@pytest.mark.parametrize("ends", [(0.0, 3.0), (2.0, -1.0)])
def test_exponential_methods_solve_a_linear_equation_exactly(solver, a, ends):
    """y' = a y + c, at any step, in either direction: y = e^{at} y0 + t phi_1(at) c."""
    a = torch.tensor([0.6, -2.5, 0.0], dtype=F64) if a == "diagonal" else a
    c = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=F64)
    y0 = torch.tensor([[0.5, 1.0, -1.0], [2.0, -0.3, 0.7]], dtype=F64)
    eq = Equation(lambda t, y: c.expand_as(y), a=a)
    for n in (1, 2, 5):
        times = uneven(*ends, n)
        h, rate = ends[1] - ends[0], torch.as_tensor(a, dtype=F64)
        phi1 = torch.where(rate == 0, 1.0, torch.expm1(rate * h) / torch.where(rate == 0, 1.0, rate * h))
        want = (rate * h).exp() * y0 + h * phi1 * c
        torch.testing.assert_close(solve(eq, y0, solver, times).y, want, rtol=1e-13, atol=1e-13)


@stochastic
def test_without_noise_the_deterministic_part_runs(solver):
    """g = 0 equals no g bit for bit."""
    y0, times = torch.linspace(0.1, 0.9, 8, dtype=F64).reshape(4, 2), uneven(1.0, 0.0, 9)
    plain = solve(logistic(0.5), y0, solver, times).y
    for kind in (Noise.ADDITIVE, noise(solver)):
        still = replace(logistic(0.5), g=lambda t, y: torch.zeros_like(y), noise=kind, sense=solver.sense or Sense.ITO)
        assert torch.equal(solve(still, y0, solver, times, SeededNoise(2)).y, plain)


@stochastic
@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, 0.0)])
def test_without_drift_unit_noise_gives_the_path(solver, ends):
    """f = 0, g = 1 ends at y0 + W, the sum of the increments."""
    y0, times = torch.zeros(4, 2, dtype=F64), uneven(*ends, 9)
    fine = cut(times, solver.substeps)
    path = SeededNoise(2).on(fine, y0)
    total = sum(path(t0, t1) for t0, t1 in itertools.pairwise(fine))
    for kind in {Noise.ADDITIVE, noise(solver)}:
        eq = Equation(
            lambda t, y: torch.zeros_like(y),
            lambda t, y: torch.ones_like(y),
            noise=kind,
            sense=solver.sense or Sense.ITO,
        )
        torch.testing.assert_close(solve(eq, y0, solver, times, path).y, total, rtol=0, atol=1e-14)


# -- gradients
# -------------------------------------------------------------------------------------------------------------


@every
def test_gradient_through_fixed_steps(solver):
    """d y_N / d(y0, parameter) agrees with central differences of the same discrete map."""
    times = uneven(0.0, 1.0, 6)
    base = noisy(solver)
    source = None if base.g is None else SeededNoise(5)

    def end(y0: Tensor, rate: Tensor) -> Tensor:
        return solve(replace(base, f=lambda t, y: rate * y * (1 - y), a=0.5), y0, solver, times, source).y

    y0 = torch.tensor([[0.2, 0.7], [0.4, 0.5]], dtype=F64, requires_grad=True)
    rate = torch.tensor(1.3, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(end, (y0, rate), eps=1e-5, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("solver", EMBEDDED, ids=repr)
def test_gradient_through_adaptive_steps(solver):
    """At a tight tolerance the gradient is that of the exact solution of y' = r y (1 - y): both inputs, closed form."""
    tight = Adaptive(0.0, 1.5, rtol=1e-11, atol=1e-11)
    if order(solver) < 5:
        tight = replace(tight, rtol=1e-8, atol=1e-8)
    y0 = torch.tensor([0.2, 0.5, 0.7], dtype=F64, requires_grad=True)
    rate = torch.tensor(1.3, dtype=F64, requires_grad=True)
    y = solve(Equation(lambda t, y: rate * y * (1 - y)), y0, solver, tight).y
    grads = torch.autograd.grad(y.sum(), (y0, rate))
    want = torch.autograd.grad((y0 / (y0 + (1 - y0) * torch.exp(-1.5 * rate))).sum(), (y0, rate))
    for got, exact in zip(grads, want, strict=True):
        torch.testing.assert_close(got, exact, rtol=1e3 * tight.rtol, atol=1e3 * tight.atol)

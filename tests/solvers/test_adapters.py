"""Other libraries behind `solve`: exact answers, either direction, any shape, calls counted, nothing that hangs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torchsde
from torch import Tensor

from scoresde import EDM, VPSDE, catalogue, exact, grids, sample, sampling
from solvers import (
    Equation,
    Euler,
    EulerMaruyama,
    Milstein,
    Noise,
    NonFiniteError,
    SeededNoise,
    Sense,
    WhiteNoise,
    iterate,
    solve,
)
from solvers.adapters import SciPy, TorchDiffEq, TorchSDE
from tests.helpers.problems import F64, M3, logistic, logistic_exact

pytestmark = pytest.mark.peers

ODE = [
    *(TorchDiffEq(name, 1e-8, 1e-8) for name in ("dopri5", "dopri8", "bosh3")),
    *(SciPy(name, 1e-8, 1e-8) for name in ("RK45", "DOP853", "LSODA")),
]
ode = pytest.mark.parametrize("adapter", ODE, ids=repr)


@ode
@pytest.mark.parametrize("ends", [(0.0, 2.0), (2.0, 0.0)])
@pytest.mark.parametrize("shape", [(2,), (2, 3, 4, 4)])
def test_exact_answers(adapter, ends, shape):
    """The logistic equation, in any shape, forth and back, with a linear part; states at all output times.

    A thousand tolerances: torchdiffeq's bosh3 errs by up to 387 of them, its dopri8 by 420 between its steps."""
    y0 = torch.linspace(0.1, 0.6, math.prod(shape), dtype=F64).reshape(shape)
    y0 = logistic_exact(y0, ends[0])
    times = torch.linspace(*ends, 5, dtype=F64)
    sol = solve(logistic(0.3), y0, adapter, times)
    want = torch.stack([logistic_exact(y0, t - ends[0]) for t in times.tolist()])
    assert (sol.ys - want).abs().max() < 1e-5
    assert torch.equal(sol.ys[-1], sol.y)
    assert sol.y.shape == shape
    assert torch.equal(sol.ts, times)
    assert (sol.t.item(), sol.ok.tolist()) == (ends[1], [True] * shape[0])


@ode
def test_time_dependent_right_side(adapter):
    """y' = cos t over a falling grid: t is mapped back, and never leaves the interval."""
    seen: list[float] = []

    def f(t: Tensor, y: Tensor) -> Tensor:
        assert t.dim() == 0
        seen.append(float(t))
        return t.cos() * torch.ones_like(y)

    sol = solve(Equation(f), torch.zeros(2, 1, dtype=F64), adapter, torch.tensor([3.0, 1.0], dtype=F64))
    torch.testing.assert_close(sol.y, torch.full((2, 1), math.sin(1) - math.sin(3), dtype=F64), rtol=0, atol=1e-6)
    assert 1.0 <= min(seen) <= max(seen) <= 3.0
    assert sol.evals == sol.calls == len(seen)


@ode
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_dtype_is_kept(adapter, dtype):
    """The state comes back in its dtype."""
    sol = solve(
        logistic(),
        torch.full((2, 1), 0.3, dtype=dtype),
        type(adapter)(adapter.method, 1e-4, 1e-4),
        torch.tensor([0.0, 1.0]),
    )
    assert sol.y.dtype == dtype
    assert (sol.y.double() - logistic_exact(torch.tensor(0.3, dtype=F64), 1.0)).abs().max() < 1e-3


def test_fixed_grid_methods_step_from_time_to_time():
    """torchdiffeq's euler on our output times is our Euler, step for step and call for call."""
    y0, times = torch.linspace(0.1, 0.6, 4, dtype=F64).reshape(2, 2), torch.linspace(2, 0, 9, dtype=F64)
    theirs, ours = (solve(logistic(), y0, s, times) for s in (TorchDiffEq("euler"), Euler()))
    torch.testing.assert_close(theirs.y, ours.y, rtol=1e-13, atol=0)
    assert theirs.calls == ours.calls == 8


@ode
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_right_side_that_is_not_finite_raises(adapter, bad):
    """SciPy would never return: the guard names time and cause (row 36)."""
    eq = Equation(lambda t, y: torch.where(t > 0.5, bad, 1.0) * torch.ones_like(y))
    with pytest.raises(FloatingPointError, match="f is NaN or infinite at t = 0"):
        solve(eq, torch.zeros(2, 1, dtype=F64), adapter, torch.tensor([0.0, 1.0]))


def test_gradients_flow_through_torchdiffeq():
    """The gradient of the logistic flow, in closed form."""
    y0 = torch.tensor([[0.3]], dtype=F64, requires_grad=True)
    (got,) = torch.autograd.grad(solve(logistic(), y0, ODE[0], torch.tensor([0.0, 1.0])).y.sum(), y0)
    (want,) = torch.autograd.grad((y0 / (y0 + (1 - y0) * math.exp(-1))).sum(), y0)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


# -- torchsde
# -------------------------------------------------------------------------------------------------------------------


def growth(kind: Noise, sense: Sense = Sense.ITO) -> Equation:
    """Time-dependent coefficients, so that a clock read the wrong way shows."""
    if kind is Noise.ADDITIVE:
        return Equation(lambda t, y: -(1 + t) * y, lambda t, y: 0.5 + t, noise=kind)
    return Equation(lambda t, y: (0.2 + t) * y, lambda t, y: (0.3 + 0.5 * t).to(y.dtype) * y, noise=kind, sense=sense)


class SamePath:
    """The Brownian path torchsde builds from a seed, asked in its own rising clock."""

    def __init__(self, y0: Tensor, times: Tensor, seed: int):
        self.start, self.way, self.shape = times[0], 1.0 if times[-1] > times[0] else -1.0, y0.shape
        end = (times[-1] - times[0]).abs()
        size = (len(y0), y0[0].numel())
        self.path = torchsde.BrownianInterval(
            0.0 * end, end, size=size, dtype=y0.dtype, entropy=seed, levy_area_approximation="space-time"
        )

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        return self.path(self.way * (t0 - self.start), self.way * (t1 - self.start)).reshape(self.shape)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("kind", [Noise.ADDITIVE, Noise.DIAGONAL])
@pytest.mark.parametrize(
    ("adapter", "solver"),
    [(TorchSDE("euler", 0.125), EulerMaruyama()), (TorchSDE("milstein", 0.125), Milstein())],
    ids=repr,
)
def test_torchsde_takes_our_steps(adapter, solver, kind, ends):
    """On one path torchsde's euler and milstein are ours, to rounding: drift, diffusion, direction, shape and seed are
    passed on right."""
    y0 = torch.linspace(0.5, 1.5, 2 * 3 * 4 * 4, dtype=F64).reshape(2, 3, 4, 4)
    times = torch.linspace(*ends, 9, dtype=F64)
    eq = growth(kind)
    theirs = solve(eq, y0, adapter, times, SeededNoise(7))
    ours = solve(eq, y0, solver, times, SamePath(y0, times, 7))
    torch.testing.assert_close(theirs.y, ours.y, rtol=1e-10, atol=1e-10)
    assert theirs.ys.shape == (9, 2, 3, 4, 4)
    assert torch.equal(solve(eq, y0, adapter, times, 7).y, theirs.y)
    assert not torch.equal(solve(eq, y0, adapter, times, 8).y, theirs.y)


@pytest.mark.parametrize(
    ("method", "sense", "limit"),
    [
        ("srk", Sense.ITO, 2e-3),
        ("heun", Sense.STRATONOVICH, 2e-2),
        ("midpoint", Sense.STRATONOVICH, 2e-2),
        ("reversible_heun", Sense.STRATONOVICH, 2e-2),
    ],
)
def test_torchsde_reaches_the_exact_path(method, sense, limit):
    """Geometric Brownian motion against exp of the same path's end, in the sense the method reads."""
    y0, times = torch.ones(50, 1, dtype=F64), torch.tensor([0.0, 1.0], dtype=F64)
    eq = Equation(lambda t, y: 0.1 * y, lambda t, y: 0.5 * y, noise=Noise.DIAGONAL, sense=sense)
    got = solve(eq, y0, TorchSDE(method, 1 / 256), times, 3).y
    w = SamePath(y0, times, 3)(times[0], times[1])
    want = torch.exp((0.1 - (0.125 if sense is Sense.ITO else 0.0)) * 1 + 0.5 * w)
    assert (got - want).square().mean().sqrt() < limit


def test_torchsde_counts():
    """One call of f a step for euler, and the one with which the library looks at the shapes."""
    sol = solve(
        growth(Noise.ADDITIVE),
        torch.ones(2, 1, dtype=F64),
        TorchSDE("euler", 0.125),
        torch.tensor([0.0, 1.0], dtype=F64),
        0,
    )
    assert sol.calls == sol.evals == sol.g_calls == 9


# -- what is refused
# --------------------------------------------------------------------------------------------------------------


ONES, UNIT = torch.ones(2, 1, dtype=F64), torch.tensor([0.0, 1.0], dtype=F64)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: SciPy(atol=math.nan), ValueError, "`atol`"),
        (lambda: TorchDiffEq(rtol=0.0), ValueError, "`rtol`"),
        (lambda: TorchDiffEq(atol="1e-5"), TypeError, "`atol`"),
        (
            lambda: solve(growth(Noise.ADDITIVE), ONES, TorchDiffEq(), UNIT, 0),
            ValueError,
            "`solver` must take ADDITIVE noise",
        ),
        (
            lambda: solve(growth(Noise.ADDITIVE), ONES, SciPy(), UNIT, 0),
            ValueError,
            "`solver` must take ADDITIVE noise",
        ),
        (lambda: solve(logistic(), ONES, SciPy(), UNIT, SeededNoise(0)), ValueError, "`noise` must be None"),
        (lambda: solve(logistic(), ONES, TorchSDE(), UNIT, 0), ValueError, "`solver` must be an ODE solver"),
        (
            lambda: solve(growth(Noise.DIAGONAL), ONES, TorchSDE("heun"), UNIT, 0),
            ValueError,
            "`solver` must read g dW in the Ito sense",
        ),
        (lambda: solve(growth(Noise.DIAGONAL), ONES, TorchSDE(), UNIT), TypeError, "`noise`.*torchsde takes a seed"),
        (
            lambda: solve(growth(Noise.DIAGONAL), ONES, TorchSDE(), UNIT, WhiteNoise(torch.Generator())),
            TypeError,
            "`noise`",
        ),
        (lambda: solve(growth(Noise.DIAGONAL), ONES, TorchSDE(), UNIT, -1), ValueError, "`noise`"),
        (lambda: solve(logistic(), ONES * math.nan, SciPy(), UNIT), ValueError, "`y0` must be finite"),
        (
            lambda: solve(logistic(), ONES, SciPy(), UNIT.flip(0).repeat(2)),
            ValueError,
            "`steps` must be strictly monotone",
        ),
        (lambda: iterate(logistic(), ONES, SciPy(), UNIT), TypeError, "`solver` must be a native solver"),
    ],
)
def test_what_is_refused(call, kind, message):
    """Before the library is called, naming the argument: it might hang or take it silently."""
    with pytest.raises(kind, match=message):
        call()


def test_direction_is_checked_for_libraries_too():
    """An SDE meant toward data is refused the other way whoever integrates it."""
    eq = Equation(lambda t, y: -y, lambda t, y: 1 + t, noise=Noise.ADDITIVE, direction=-1)
    with pytest.raises(ValueError, match="`steps` must be decreasing"):
        solve(eq, ONES, TorchSDE(), UNIT, 0)


@pytest.mark.parametrize("make", [catalogue.torchdiffeq, catalogue.scipy], ids=lambda f: f.__name__)
def test_libraries_are_methods_of_the_flow(make):
    """Samples of another library's solve are those of our own adaptive flow; a library's calls are its own affair."""
    method, ours = make(rtol=1e-8), catalogue.probability_flow(1e-8)
    assert (method.calls, method.transport_calls) == (None, None)
    x, y = (sample(M3, (16, 1), m, dtype=F64) for m in (method, ours))
    assert (x - y).abs().max() < 1e-5
    start = 3.0 * x
    there = sampling.transport(M3, start, method, EDM(), 3.0, 0.1, save=True)
    assert (there.y - sampling.transport(M3, start, ours, EDM(), 3.0, 0.1).y).abs().max() < 1e-5
    assert there.calls > 10
    with pytest.raises(TypeError, match="`solver`"):
        list(sampling.trajectory(M3, (4, 1), method))
    with pytest.raises(ValueError, match="`solver`"):
        replace(method, n=None, grid=grids.Tolerance())


def test_torchsde_is_a_method_of_the_reverse_sde():
    """Its law is that of the data: mean and variance of 4000 samples within 5 standard errors and the bias of dt;
    chunks are not copies."""
    data, sde = (
        exact.Gaussian(torch.tensor([1.0, -0.5], dtype=F64), torch.tensor([0.25, 1.0], dtype=F64)),
        VPSDE(beta_max=8.0),
    )
    method = catalogue.torchsde("srk", 2e-2, process=sde)
    x = sample(data, (4000, 2), method)
    assert torch.equal(x, sample(data, (4000, 2), method))
    end = sde.alpha(1e-3) ** 2 * torch.tensor([0.25, 1.0]) + sde.sigma(1e-3) ** 2
    assert ((x.mean(0) - torch.tensor([1.0, -0.5])).abs() < 5 * (end / 4000).sqrt() + 0.02).all()
    assert (x.var(0) / torch.tensor([0.25, 1.0]) - 1).abs().max() < 5 * math.sqrt(2 / 4000) + 0.03
    halves = sample(data, (8, 2), method, batch=4)
    assert (halves[:4] - halves[4:]).abs().min() > 1e-4


def test_an_adapter_heeds_save_and_strict():
    """It keeps every time, or those of `save`; a state that overflows raises unless `strict` is False."""
    y0 = torch.tensor([[0.2], [1e308]], dtype=F64)
    times = torch.tensor([0.0, 1.0, 2.0], dtype=F64)
    adapter = TorchDiffEq("euler")
    slow = Equation(lambda t, y: 0.1 * y)
    assert solve(slow, y0, adapter, times).ts.tolist() == [0.0, 1.0, 2.0]
    some = solve(slow, y0, adapter, times, save=times[[2, 0]])
    assert some.ts.tolist() == [2.0, 0.0]
    assert torch.equal(some.ys[0], some.y)
    assert torch.equal(some.ys[1], y0)
    with pytest.raises(ValueError, match="`save` must hold points of the grid"):
        solve(slow, y0, adapter, times, save=torch.tensor([0.4]))

    steep = Equation(lambda t, y: 1.5 * y)
    with pytest.raises(NonFiniteError, match="in 1 of 2 samples, by TorchDiffEq") as told:
        solve(steep, y0, adapter, times[:2])
    assert told.value.solution.ok.tolist() == [True, False]
    assert solve(steep, y0, adapter, times[:2], strict=False).ok.tolist() == [True, False]

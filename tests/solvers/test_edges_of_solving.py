"""Edges of a solve: stiff noise, save times, samples that fail, right-hand sides that write where they should not,
errors that travel."""

from __future__ import annotations

import copy
import inspect
import math
import pickle

import pytest
import torch

import scoresde
import solvers
from solvers import (
    RK4,
    SRA1,
    Adaptive,
    BrownianTree,
    DormandPrince54,
    Equation,
    Euler,
    EulerMaruyama,
    ExpAdams,
    ExpEuler,
    Milstein,
    Noise,
    SeededNoise,
    SolveError,
    solve,
)
from solvers.phi import convolution_std
from tests.helpers.problems import load

F64 = torch.float64
UNIT = torch.linspace(0, 1, 41, dtype=F64)
ONE = torch.ones(1, 1, dtype=F64)


# -- stiff steps
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ah", [-1.5, -19.0, -30.0, -300.0, -1000.0, -3000.0, -1e6])
@pytest.mark.parametrize("rate", [0.0, 1.0, -2.0])
def test_transition_noise_is_exact_at_stiff_steps(ah, rate):
    """Var of int e^{a (1-u)} e^{rate u/2} dW over [0, 1] is (e^rate - e^{2a})/(rate - 2a), to 1e-10."""
    eq = Equation(lambda t, y: 0 * y, g=lambda t, y: torch.exp(rate * t / 2), a=ah, noise=Noise.ADDITIVE)
    std = convolution_std(eq, torch.tensor([0.0, 1.0], dtype=F64), ONE)
    exact = (math.exp(rate) - math.exp(2 * ah)) / (rate - 2 * ah)
    assert float(std**2) == pytest.approx(exact, rel=1e-10)


def test_transition_noise_of_an_operator_with_many_rates():
    """Each component by its own rate, slow and stiff ones in one step, and steps of different length."""
    a = torch.tensor([-1e4, -300.0, -1.0, 0.0], dtype=F64)
    eq = Equation(lambda t, y: 0 * y, g=lambda t, y: torch.ones((), dtype=F64), a=a, noise=Noise.ADDITIVE)
    std = convolution_std(eq, torch.tensor([0.0, 0.1, 2.0], dtype=F64), torch.ones(1, 4, dtype=F64))
    for row, h in zip(std, (0.1, 1.9), strict=True):
        exact = torch.where(a < 0, torch.expm1(2 * a * h) / (2 * a).clamp(max=-1e-9), h)
        assert torch.allclose(row**2, exact, rtol=1e-10)


def test_noise_of_stiff_entries_of_both_signs():
    """One that decays and one that grows, each by e^200 over a step, share nodes graded toward either end."""
    a = torch.tensor([[-100.0, 100.0, 0.5]], dtype=F64)
    eq = Equation(lambda t, y: 0 * y, lambda t, y: torch.ones_like(y), a, noise=Noise.ADDITIVE)
    times = torch.tensor([0.0, 1.0, 1.3], dtype=F64)
    std = convolution_std(eq, times, torch.ones(1, 3, dtype=F64))
    want = torch.stack([(torch.expm1(2 * a[0] * h) / (2 * a[0])).sqrt() for h in (1.0, 0.3)])
    torch.testing.assert_close(std.reshape(2, 3), want, rtol=1e-9, atol=0)


@pytest.mark.parametrize("ah", [-10.0, -1000.0, -1e5])
def test_adams_with_a_clock_is_exact_for_constant_f(ah):
    eq = Equation(lambda t, y: torch.ones_like(y), a=ah)
    y = solve(eq, 0 * ONE, ExpAdams(2, clock=lambda t: t), torch.linspace(0, 3, 4, dtype=F64)).y
    assert float(y) == pytest.approx(math.expm1(3 * ah) / ah, rel=1e-10)


# -- samples that fail
# -----------------------------------------------------------------------------------------------------


def test_good_samples_go_on_where_others_fail():
    """y' = y^2 above 5, -y below: the second runs away, the first reaches e^-1, and every save time is there."""
    eq = Equation(lambda t, y: torch.where(y > 5, y**2, -y))
    times = torch.linspace(0, 1, 401, dtype=F64)
    sol = solve(eq, torch.tensor([[1.0], [50.0]], dtype=F64), RK4(), times, save=times[::100], strict=False)
    assert sol.ok.tolist() == [True, False]
    assert float(sol.t) == 1.0
    assert float(sol.y[0]) == pytest.approx(math.exp(-1), rel=1e-10)
    assert sol.ys.shape == (5, 2, 1)
    assert sol.ys[:, 0, 0].tolist() == pytest.approx([math.exp(-s / 4) for s in range(5)], rel=1e-10)


def test_a_component_that_stays_zero_needs_no_atol():
    eq = Equation(lambda t, y: torch.stack([-y[:, 0], 0 * y[:, 0]], 1))
    sol = solve(eq, torch.tensor([[1.0, 0.0]], dtype=F64), DormandPrince54(), Adaptive(0.0, 1.0, rtol=1e-8, atol=0.0))
    assert sol.y[0].tolist() == pytest.approx([math.exp(-1), 0.0], rel=1e-7)


def test_per_sample_data_without_take_is_named():
    """Adaptive steps drop finished samples; a closure over the whole batch then says what is missing."""
    rates = torch.tensor([[0.1], [5.0], [60.0]], dtype=F64)
    eq = Equation(lambda t, y: -rates * y)
    with pytest.raises(ValueError, match="`eq` must have a `select`"):
        solve(eq, torch.ones(3, 1, dtype=F64), DormandPrince54(), Adaptive(0.0, 1.0))


# -- save times
# ------------------------------------------------------------------------------------------------------------


def test_save_times_come_in_the_order_asked():
    eq = Equation(lambda t, y: -y)
    sol = solve(eq, ONE, RK4(), UNIT, save=torch.tensor([1.0, 0.0, 0.5, 0.5], dtype=F64))
    assert sol.ts.tolist() == pytest.approx([1.0, 0.0, 0.5, 0.5])
    assert sol.ys.flatten().tolist() == pytest.approx([math.exp(-1), 1.0, math.exp(-0.5), math.exp(-0.5)], rel=1e-6)


@pytest.mark.parametrize(
    "save", [torch.linspace(0, 1, 11), torch.arange(11, dtype=F64) * 0.1, 1 - torch.linspace(0, 1, 11)]
)
def test_save_times_match_up_to_rounding(save):
    sol = solve(Equation(lambda t, y: -y), ONE, RK4(), torch.linspace(0, 1, 101, dtype=F64), save=save)
    assert sol.ys.flatten().tolist() == pytest.approx(torch.exp(-save.double()).tolist(), rel=1e-6)


def test_a_save_time_between_points_is_refused():
    with pytest.raises(ValueError, match="`save` must hold points of the grid"):
        solve(Equation(lambda t, y: -y), ONE, RK4(), UNIT, save=torch.tensor([0.51], dtype=F64))


def test_a_step_cut_short_by_a_save_time_does_not_shrink_the_next():
    """Nine pairs of save times 1e-6 apart cost little more than none: at most 100 calls."""
    eq = Equation(lambda t, y: -y, g=lambda t, y: 0.1 * torch.ones_like(y), noise=Noise.ADDITIVE)
    middle = torch.linspace(0.1, 0.9, 9, dtype=F64)
    save = torch.cat([middle, middle + 1e-6]).sort().values
    sol = solve(
        eq, ONE, SRA1(), Adaptive(0.0, 1.0, rtol=1e-3, atol=1e-3), BrownianTree(ONE, 0.0, 1.0, seed=0), save=save
    )
    assert sol.calls <= 100


# -- right-hand sides
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [RK4(), ExpAdams(3), DormandPrince54()], ids=repr)
def test_an_answer_written_over_the_one_before_is_refused(solver):
    """A right-hand side that fills one buffer would overwrite the stages a solver holds."""
    buffer = torch.empty(1, 1, dtype=F64)
    with pytest.raises(ValueError, match="`f` must return a new tensor"):
        solve(Equation(lambda t, y: buffer.copy_(-y)), ONE, solver, UNIT)


def test_one_answer_that_does_not_change_is_taken():
    rate = -torch.ones(1, 1, dtype=F64)
    assert float(solve(Equation(lambda t, y: rate), ONE, RK4(), UNIT).y) == pytest.approx(0.0, abs=1e-12)


def test_a_state_changed_in_place_is_refused():
    with pytest.raises(ValueError, match="`f` must not change y"):
        solve(Equation(lambda t, y: y.neg_()), ONE.clone(), Euler(), UNIT)


@pytest.mark.parametrize("name", ["f", "g"])
def test_a_field_of_one_argument_is_refused_by_name(name):
    eq = Equation(**({"f": lambda t, y: -y, "g": lambda t, y: y} | {name: lambda t: t}))
    with pytest.raises(TypeError, match=rf"`{name}` must be a callable \(t, y\)"):
        solve(eq, ONE, EulerMaruyama(), UNIT, SeededNoise(0))


def test_a_complex_state_is_told_how_to_keep_both_parts():
    with pytest.raises(TypeError, match=r"view_as_real\(y0\)"):
        solve(Equation(lambda t, y: -y), torch.ones(1, 1, dtype=torch.complex64), RK4(), UNIT)


# -- graphs
# ----------------------------------------------------------------------------------------------------------------


def test_milstein_keeps_no_graph_that_nobody_asked_for():
    """The result asks for a gradient where y0 or a weight of g does, and nowhere else."""

    def run(y0, weight):
        eq = Equation(lambda t, y: -y, g=lambda t, y: weight * y)
        return solve(eq, y0, Milstein(), UNIT, SeededNoise(0)).y

    plain = torch.tensor(0.3, dtype=F64)
    assert not run(ONE, plain).requires_grad
    assert run(ONE.clone().requires_grad_(), plain).requires_grad
    weight = plain.clone().requires_grad_()
    (slope,) = torch.autograd.grad(run(ONE, weight).sum(), weight)
    step = 1e-6
    numerical = (run(ONE, plain + step) - run(ONE, plain - step)) / (2 * step)
    assert float(slope) == pytest.approx(float(numerical), rel=1e-6)


# -- errors
# ----------------------------------------------------------------------------------------------------------------


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


load(scoresde)  # so that all errors are there
ERRORS = sorted((c for c in subclasses(Exception) if c.__module__.split(".")[0] in ("solvers", "scoresde")), key=repr)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_travels_whole(kind, copied):
    """To another process or thread: its kind, words, what it carries, and its notes."""
    sol = solve(Equation(lambda t, y: -y), ONE, RK4(), UNIT)
    carried = {"solution": sol, "code": 130}
    names = list(inspect.signature(kind.__init__).parameters)[2:] if kind.__init__ is not Exception.__init__ else []
    error = kind("what went wrong", *(carried[name] for name in names if name in carried))
    error.add_note("a note")
    again = copied(error)
    assert type(again) is kind
    assert str(again) == "what went wrong"
    assert again.__notes__ == ["a note"]
    if isinstance(error, SolveError):
        assert torch.equal(again.solution.y, sol.y)


def test_errors_are_found():
    assert {SolveError, scoresde.storage.files.CheckpointError} <= set(ERRORS)
    assert len(ERRORS) >= 8


# -- the default device
# ----------------------------------------------------------------------------------------------------

DETERMINISTIC = [RK4(), ExpEuler(), ExpAdams(3), ExpAdams(2, clock=lambda t: t), DormandPrince54()]


@pytest.fixture
def elsewhere():
    """Another default device, which holds no values: whatever is made on it by mistake shows."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.parametrize("solver", DETERMINISTIC, ids=["rk4", "exp_euler", "exp_adams", "clocked", "dormand_prince"])
def test_a_fixed_grid_is_solved_whatever_the_default_device(solver, elsewhere):
    y0 = torch.ones(2, 1, dtype=F64, device="cpu")
    times = torch.linspace(0, 1, 11, dtype=F64, device="cpu")
    assert float(solve(Equation(lambda t, y: -y), y0, solver, times, save=times).y[0]) == pytest.approx(
        math.exp(-1), rel=0.1
    )


def test_adaptive_steps_and_noise_do_not_ask_for_the_default_device(elsewhere):
    y0 = torch.ones(2, 1, dtype=F64, device="cpu")
    assert float(solve(Equation(lambda t, y: -y), y0, DormandPrince54(), Adaptive(0.0, 1.0)).y[0]) == pytest.approx(
        math.exp(-1), rel=1e-4
    )
    eq = Equation(lambda t, y: -y, g=lambda t, y: 0.1 * torch.ones_like(y), noise=Noise.ADDITIVE)
    times = torch.linspace(0, 1, 11, dtype=F64, device="cpu")
    for source in (
        SeededNoise(0),
        solvers.WhiteNoise(torch.Generator().manual_seed(0)),
        BrownianTree(y0, 0.0, 1.0, seed=0),
    ):
        assert solve(eq, y0, EulerMaruyama(), times, source).y.device.type == "cpu"
    assert solve(eq, y0, SRA1(), Adaptive(0.0, 1.0, rtol=1e-2, atol=1e-2), BrownianTree(y0, 0.0, 1.0, seed=0)).ok.all()


# -- what a noise coefficient is declared to be
# ----------------------------------------------------------------------------

GRID = torch.linspace(0, 1, 5, dtype=F64)
STATE = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.3, 0.1]], dtype=F64)


@pytest.mark.parametrize("solver", [EulerMaruyama(), SRA1(), ExpEuler(), solvers.ShARK()], ids=repr)
def test_additive_noise_that_depends_on_the_state_is_noticed(solver):
    eq = Equation(lambda t, y: -y, lambda t, y: 0.1 * y, noise=Noise.ADDITIVE)
    for run in (solve, lambda *given: list(solvers.iterate(*given))):
        with pytest.raises(ValueError, match=r"`g` must depend on t alone, as its noise is declared ADDITIVE"):
            run(eq, STATE, solver, GRID, SeededNoise(0))


@pytest.mark.parametrize("solver", [Milstein(), solvers.SRI1(), solvers.Milstein(derivative_free=True)], ids=repr)
def test_diagonal_noise_of_other_components_is_noticed(solver):
    """Where the order rests on it: Euler-Maruyama is right for any matrix that is diagonal."""
    eq = Equation(lambda t, y: -y, lambda t, y: 0.1 * y.flip(1))
    with pytest.raises(ValueError, match=r"`g` must have components g_i that depend on t and y_i alone"):
        solve(eq, STATE, solver, GRID, SeededNoise(0))
    solve(eq, STATE, EulerMaruyama(), GRID, SeededNoise(0))


def test_the_look_at_g_is_counted_nowhere_and_leaves_no_graph():
    calls = []

    def g(t, y):
        calls.append(y.requires_grad)
        return 0.1 * torch.cos(y)

    y0 = STATE.clone().requires_grad_()
    solution = solve(Equation(lambda t, y: -y, g), y0, solvers.Milstein(derivative_free=True), GRID, SeededNoise(0))
    assert len(calls) == 2 + solution.g_calls
    assert calls[:2] == [False, False]


def test_what_is_declared_right_is_left_alone():
    of_time, constant, of_itself = (
        (lambda t, y: 0.3 * t),
        (lambda t, y: torch.full_like(y, 0.3)),
        (lambda t, y: torch.sin(y)),
    )
    for g, noise in ((of_time, Noise.ADDITIVE), (constant, Noise.ADDITIVE), (of_itself, Noise.DIAGONAL)):
        for dtype in (torch.float32, F64):
            solve(Equation(lambda t, y: -y, g, noise=noise), STATE.to(dtype), Milstein(), GRID, SeededNoise(0))


# -- jumps and pulses
# ------------------------------------------------------------------------------------------------------


def pulse(t, y):
    """Area 1, at t = 70, width 0.01."""
    return torch.exp(-0.5 * ((t - 70.0) / 0.01) ** 2) / (0.01 * math.sqrt(2 * math.pi)) * torch.ones_like(y)


def test_a_pulse_between_long_steps_needs_h_max():
    """Steps see f at their stages alone: what lies between them is not there. `h_max` says how narrow a feature can
    be."""
    y0 = torch.zeros(1, 1, dtype=F64)
    blind = solve(Equation(pulse), y0, DormandPrince54(), Adaptive(0.0, 100.0))
    seen = solve(
        Equation(pulse),
        y0,
        DormandPrince54(),
        Adaptive(0.0, 100.0, h_max=0.03, rtol=1e-6, atol=1e-6, max_evals=1_000_000),
    )
    assert float(blind.y) == pytest.approx(0.0, abs=1e-6)
    assert float(seen.y) == pytest.approx(1.0, abs=1e-4)


def test_a_jump_that_cannot_be_stepped_over_names_the_ways_out():
    eq = Equation(lambda t, y: torch.where(t < 0.5, 1.0, 1e6) * torch.ones_like(y))
    with pytest.raises(SolveError, match="jump"):
        solve(eq, ONE, DormandPrince54(), Adaptive(0.0, 1.0, h_min=1e-3))

"""A compiled step: one graph for a whole grid and for the next one, the eager answer, and nothing compiled that would
be left half eager."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch._dynamo as dynamo
from torch import Tensor, nn
from torch._dynamo.utils import counters

from scoresde import EDM, VPSDE, Denoiser, Method, catalogue, sample, sampling
from scoresde.samplers.reverse import reverse
from solvers import (
    Adaptive,
    Compiled,
    DormandPrince54,
    Equation,
    EulerMaruyama,
    Heun,
    Milstein,
    Noise,
    NonFiniteError,
    SeededNoise,
    Solver,
    WhiteNoise,
    solve,
)
from solvers.compiled import compiled
from tests.helpers.problems import F64, SOLVERS, TABLEAUX, noise

TIMES = torch.linspace(1.0, 0.2, 51, dtype=F64)
START = torch.linspace(-1, 1, 12, dtype=F64).reshape(4, 3)
BETWEEN = {"predictor_corrector", "annealed_langevin", "improved_ddpm"}  # call the network between steps
QUICK = ("ddim", "dpm_solver_pp_2s", "restart")
LINES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in catalogue.fixed_step_methods()]


class Network(nn.Module):
    """Points and time to points."""

    def __init__(self, seed: int):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.inward, self.outward = (
            nn.Parameter(torch.randn(shape, generator=draw, dtype=F64)) for shape in ((3, 8), (8, 2))
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(torch.cat((x, t.reshape(-1, 1)), 1) @ self.inward) @ self.outward


def denoiser(seed: int = 0) -> Denoiser:
    """An untrained network."""
    return Denoiser(Network(seed), VPSDE())


def traced(method: Method) -> Method:
    """Traced as `compiled` would be, and then run by torch's own operations."""
    return replace(method, solver=Compiled(method.compiled().solver.inner, "eager"))  # pyright: ignore


def graphs() -> int:
    """Graphs made so far."""
    return counters["stats"]["unique_graphs"]


def noisy(solver: Solver) -> Equation:
    """An equation with as much noise as the solver takes, and a linear part."""
    g = {Noise.NONE: None, Noise.ADDITIVE: lambda t, y: 0.3 * t, Noise.DIAGONAL: lambda t, y: 0.3 * torch.cos(y)}[
        noise(solver)
    ]
    return Equation(lambda t, y: torch.sin(y) * t, g, -0.5, noise(solver), sense=solver.sense or Equation.sense)


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """No graph from another test."""
    compiled.cache_clear()
    dynamo.reset()
    yield
    compiled.cache_clear()
    dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("solver", [s for s in SOLVERS if s != Milstein()], ids=repr)
def test_one_graph_for_fifty_steps(solver: Solver) -> None:
    """One graph and one more for each length of the memory, none for a second solve; states to rounding and counts as
    they were."""
    eq, before = noisy(solver), graphs()
    want = solve(eq, START, solver, TIMES, SeededNoise(0))
    got = solve(eq, START, Compiled(solver, "eager"), TIMES, SeededNoise(0))
    made = graphs() - before
    again = solve(noisy(solver), START, Compiled(solver, "eager"), TIMES[::2], SeededNoise(1))
    lengths = (
        solver.order if type(solver).__module__ == "solvers.adams" else int(solver in TABLEAUX and solver.tableau.fsal)
    )
    assert 1 <= made <= 1 + lengths
    assert graphs() == before + made
    assert bool(again.ok.all())
    assert (got.y - want.y).abs().max() < 1e-13
    assert (got.evals, got.calls, got.g_calls) == (want.evals, want.calls, want.g_calls)


@pytest.mark.parametrize("name", LINES)
def test_the_catalogue_compiles(name: str) -> None:
    """The samples of every line to rounding; another call, another number of levels and another network of the same
    making compile nothing."""
    make, made = catalogue.fixed_step_methods()[name], [graphs()]
    if name in BETWEEN:
        with pytest.raises(ValueError, match="`compile` must be False for network calls between steps"):
            make(8).compiled()
        return
    for seed, n in ((0, 12), (0, 12), (1, 17)):  # `best` has one solver from 12 calls on
        got, want = (sample(denoiser(seed), (4, 2), method, seed=3) for method in (traced(make(n)), make(n)))
        assert (got - want).abs().max() < 1e-11 * want.abs().max()
        made.append(graphs())
    assert 1 <= made[1] - made[0] <= 5  # one for each length of an Adams memory, order 4 and a corrector at most
    assert made[1] == made[2] == made[3]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("name", ["ddim", "ddpm", "euler_maruyama", "dpm_solver_pp_2m"])
def test_compiled_samples(name: str) -> None:
    """By machine code: the same samples, in chunks and with noise too, no gradient, and every module's mode
    restored."""
    D = denoiser().float().train()
    method = catalogue.fixed_step_methods()[name](12)
    got, want = (sample(D, (7, 2), method, batch=4, compile=fast) for fast in (True, False))
    assert (got - want).abs().max() < 1e-4 * want.abs().max()
    assert not got.requires_grad
    assert D.network.training


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_transport() -> None:
    """There and back by machine code, as eagerly."""
    x, method = 5 * START[:, :2], catalogue.edm_heun(12)
    there = [
        sampling.transport(denoiser(), x, method, EDM(), 5.0, 0.1, save=True, compile=fast) for fast in (True, False)
    ]
    assert (there[0].y - there[1].y).abs().max() < 1e-10
    assert (there[0].ys - there[1].ys).abs().max() < 1e-10  # pyright: ignore
    assert there[0].evals == there[1].evals == 24


def test_weights_are_read_at_each_step() -> None:
    """A graph made with one network's weights answers with another's, and with what they have become."""
    method = catalogue.ddim(5)
    D = denoiser(0)
    first = sample(D, (4, 2), traced(method))
    with torch.no_grad():
        D.network.get_parameter("outward").mul_(2.0)
    for other in (D, denoiser(1)):
        got, want = (sample(other, (4, 2), m) for m in (traced(method), method))
        assert (got - want).abs().max() < 1e-12
        assert (got - first).abs().max() > 1e-3


def test_noise_is_drawn_outside() -> None:
    """The generator ends where it ends without compiling: as many normals, in the same order."""
    eq = Equation(lambda t, y: -y, lambda t, y: t, noise=Noise.ADDITIVE)
    ends = []
    for solver in (EulerMaruyama(), Compiled(EulerMaruyama(), "eager")):
        generator = torch.Generator().manual_seed(0)
        ends.append((solve(eq, START, solver, TIMES, WhiteNoise(generator)).y, generator.get_state()))
    assert (ends[0][0] - ends[1][0]).abs().max() < 1e-14
    assert torch.equal(ends[0][1], ends[1][1])


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # torch, tracing a step whose state has a history
def test_gradients_pass() -> None:
    """d y(T)/d p through the graphs of every step."""
    p = torch.tensor(0.7, dtype=F64, requires_grad=True)
    eq = Equation(lambda t, y: -p * y)
    slopes = [
        torch.autograd.grad(solve(eq, START, solver, TIMES).y.square().sum(), p)[0]
        for solver in (Heun(), Compiled(Heun(), "aot_eager"))
    ]
    assert abs(slopes[0] - slopes[1]) < 1e-12 * abs(slopes[0])


def test_a_nan_is_found_at_its_step() -> None:
    """As without compiling."""
    eq = Equation(lambda t, y: torch.where(t < 0.5, y / 0, y))
    for solver in (Heun(), Compiled(Heun(), "eager")):
        with pytest.raises(NonFiniteError, match=r"at step 32 of 50, t = 0\.488, in 4 of 4"):
            solve(eq, START, solver, TIMES)


def test_faults_of_the_equation_speak_for_themselves() -> None:
    """What eager steps refuse is refused in the same words."""
    with pytest.raises(ValueError, match="`f` must return the state's shape"):
        solve(Equation(lambda t, y: y[:1]), START, Compiled(Heun(), "eager"), TIMES)


def test_what_is_no_graph_is_refused() -> None:
    """A step that depends on values, steps that change their batch, other libraries': an error that says what to leave
    out."""
    branching = Equation(lambda t, y: y if y.sum().item() > 0 else -y)
    for eq, solver in ((branching, Heun()), (noisy(Milstein()), Milstein())):
        with pytest.raises(
            ValueError, match=r"`inner` must make steps that are one graph.*leave Compiled, or `compile`, out"
        ):
            solve(eq, START, Compiled(solver, "eager"), TIMES, SeededNoise(0))
    with pytest.raises(ValueError, match="`solver` must have an embedded error estimate"):
        solve(Equation(lambda t, y: -y), START, Compiled(DormandPrince54(), "eager"), Adaptive(0.0, 1.0))
    with pytest.raises(TypeError, match="`inner` must be a solver that is not compiled yet"):
        Compiled(Compiled(Heun()))
    for method in (catalogue.probability_flow(), catalogue.scipy(), catalogue.predictor_corrector(4)):
        with pytest.raises(ValueError, match="`compile` must be False"):
            sample(denoiser(), (2, 2), method, compile=True)


def test_a_compiled_solver_is_a_value() -> None:
    """Equal to its like; a method compiled twice is compiled once; calls are the method's."""
    assert Compiled(Heun()) == Compiled(Heun())
    assert hash(Compiled(Heun())) == hash(Compiled(Heun()))
    method = catalogue.dpm_solver_2(10)
    assert method.compiled().compiled() == method.compiled()
    assert (method.compiled().calls, method.compiled().transport_calls) == (method.calls, method.transport_calls)


@pytest.mark.parametrize("name", ["ddim", "unipc", "dpm_solver_pp_2s"])
@torch.no_grad()
def test_a_step_is_one_graph_though_its_times_lie_elsewhere(name: str) -> None:
    """The times of a grid are on the CPU whatever the state's device; "meta" stands for a GPU."""
    method, elsewhere = traced(catalogue.fixed_step_methods()[name](4)), denoiser().to("meta")
    eq = reverse(method.process, elsewhere, 0.0, method.split)  # pyright: ignore
    solver, x = method.solver, torch.empty(4, 2, device="meta")  # pyright: ignore
    times = method.process.time(method.grid(5, -1.0, 3.0))  # pyright: ignore
    state = solver.init(eq, times[0], x)
    for t0, t1, w in zip(times[:-1], times[1:], solver.plan(eq, times, x), strict=True):
        x, _, state = solver.step(eq, t0, t1, x, state, None, w)
    assert (x.device.type, x.shape) == ("meta", (4, 2))

"""Every published sampler is a point of the five-coordinate space: equal to its paper, finite, and as dear as it
says."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from scoresde import (
    EDM,
    VPSDE,
    Angle,
    LogSNR,
    Method,
    RectifiedFlow,
    Split,
    UnitNoise,
    catalogue,
    exact,
    grids,
    sample,
    sampling,
)
from scoresde.compare.problems import gmm2d, rms
from scoresde.evaluation.affine_laws import affine
from solvers import Euler, ExpEuler, GridPath, SeededNoise, WhiteNoise
from tests.helpers import papers
from tests.helpers.methods import FIXED

F64 = torch.float64
MIX = exact.GaussianMixture(
    torch.tensor([[-1.0, 0.3], [0.8, -0.6], [0.2, 1.1]], dtype=F64), torch.tensor([0.05, 0.2, 0.01], dtype=F64)
)
STEPS = 12
PAPERS = {
    "ddim": (catalogue.ddim, papers.ddim),
    "ddim eta 0.6": (lambda n: catalogue.ddim(n, eta=0.6), lambda *a: papers.ddim(*a, eta=0.6)),
    "ddpm": (catalogue.ddpm, papers.ddpm),
    "euler_ancestral": (catalogue.euler_ancestral, papers.euler_ancestral),
    "edm_heun": (catalogue.edm_heun, papers.edm_heun),
    "dpm_solver_1": (catalogue.dpm_solver_1, papers.ddim),
    "dpm_solver_2": (catalogue.dpm_solver_2, papers.dpm_solver_2),
    "dpm_solver_3": (catalogue.dpm_solver_3, papers.dpm_solver_3),
    "dpm_solver_pp_2s": (catalogue.dpm_solver_pp_2s, papers.dpm_solver_pp_2s),
    "dpm_solver_pp_2m": (catalogue.dpm_solver_pp_2m, papers.dpm_solver_pp_2m),
    "dpm_solver_pp_2m sde": (
        lambda n: catalogue.dpm_solver_pp_2m(n, eta=1.0),
        lambda *a: papers.dpm_solver_pp_2m(*a, sde=True),
    ),
    "unipc 1": (lambda n: catalogue.unipc(n, 1), lambda *a: papers.unipc(*a, order=1)),
    "unipc 2": (lambda n: catalogue.unipc(n, 2), lambda *a: papers.unipc(*a, order=2)),
    "unipc 3": (catalogue.unipc, papers.unipc),
    "deis 1": (lambda n: catalogue.deis(n, 1), lambda *a: papers.deis(*a, order=1)),
    "deis 3": (catalogue.deis, papers.deis),
    "lms": (catalogue.lms, papers.lms),
    "ddpm large": (lambda n: catalogue.ddpm(n, large=True), papers.ddpm_large),
    "dpm_solver_pp_3m": (catalogue.dpm_solver_pp_3m, papers.dpm_solver_pp_3m),
    "dpm_solver_pp_3m sde": (
        lambda n: catalogue.dpm_solver_pp_3m(n, eta=1.0),
        lambda *a: papers.dpm_solver_pp_3m(*a, sde=True),
    ),
    "dpm_solver_pp_3m corrected": (
        lambda n: catalogue.dpm_solver_pp_3m(n, corrected=True),
        lambda *a: papers.dpm_solver_pp_3m(*a, weight=2.0),
    ),
    "ipndm": (catalogue.ipndm, papers.ipndm),
    "pndm": (catalogue.pndm, papers.pndm),
    "reverse_diffusion": (catalogue.reverse_diffusion, papers.reverse_diffusion),
    "er_sde": (catalogue.er_sde, papers.er_sde),
    "sa_solver": (catalogue.sa_solver, papers.sa_solver),
    "sa_solver tau 0.5": (lambda n: catalogue.sa_solver(n, 0.5, 2), lambda *a: papers.sa_solver(*a, tau=0.5, order=2)),
}
WRAPPED = {
    "edm_stochastic": (catalogue.edm_stochastic, papers.edm_stochastic),
    "restart": (catalogue.restart, papers.restart),
    "predictor_corrector": (catalogue.predictor_corrector, papers.predictor_corrector),
    "annealed_langevin": (lambda n: catalogue.annealed_langevin(n, steps=5), papers.annealed_langevin),
}


class Normals:
    """Increments whose normals are given, one a step; in the lam clock a step of |dt| has dW = sqrt|dt| z."""

    def __init__(self, z: torch.Tensor):
        self.z, self.step = z, 0

    def __call__(self, t0: torch.Tensor, t1: torch.Tensor) -> torch.Tensor:
        self.step += 1
        return self.z[self.step - 1] * (t1 - t0).abs().sqrt()


@pytest.mark.parametrize("name", PAPERS)
def test_a_catalogue_line_is_its_paper(name: str) -> None:
    """Twelve steps on a mixture, from the same noise: 1e-10."""
    make, paper = PAPERS[name]
    method = make(STEPS)
    sde = VPSDE()
    lams = method.grid(STEPS + 1, float(sde.lam(1.0)), float(sde.lam(1e-3)))
    x = SeededNoise(1).normal(0, range(1), (16, 2), F64)[0] * torch.exp(-lams[0])
    z = SeededNoise(1).normal(1, range(STEPS), (16, 2), F64)
    one = torch.tensor(1.0, dtype=F64)
    expected = paper(lambda y, s: MIX(y, one, torch.tensor(s, dtype=F64)).x0, x, lams, z)
    edm = EDM()
    stochastic = callable(method.eta) or method.eta > 0
    got = sampling.transport(
        MIX, x, method, edm, float(edm.time(lams[0])), float(edm.time(lams[-1])), Normals(z) if stochastic else None
    )
    assert (got.y - expected).abs().max() < 1e-10 * (1 + expected.abs().max())


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapped_line_is_its_paper(name: str) -> None:
    """The same for what draws noise beside the equation's: churn, restarts, Langevin steps."""
    make, paper = WRAPPED[name]
    method, sde, edm, source = make(STEPS), VPSDE(), EDM(), SeededNoise(1)
    lams = method.grid(STEPS + 1, float(sde.lam(1.0)), float(sde.lam(1e-3)))
    x = source.normal(0, range(1), (16, 2), F64)[0] * torch.exp(-lams[0])
    one = torch.tensor(1.0, dtype=F64)

    def draw(stream: int, index: int) -> torch.Tensor:
        return source.normal(stream, range(index, index + 1), (16, 2), F64)[0]

    expected = paper(lambda y, s: MIX(y, one, torch.tensor(s, dtype=F64)).x0, x, lams, draw)
    got = sampling.transport(MIX, x, method, edm, float(edm.time(lams[0])), float(edm.time(lams[-1])), source)
    assert (got.y - expected).abs().max() < 1e-10 * (1 + expected.abs().max())
    assert got.calls == method.transport_calls


def test_ddim_is_euler_and_exponential_euler_in_three_frames() -> None:
    """Euler along EDM = ExpEuler along LogSNR (x0) = ExpEuler along UnitNoise (eps)."""
    x = sampling.encode(MIX, MIX.sample(8, 1), catalogue.probability_flow(1e-8)) * 80
    frames = [(EDM(), Split.EPS, Euler()), (LogSNR(), Split.X0, ExpEuler()), (UnitNoise(), Split.EPS, ExpEuler())]
    ends = [
        sampling.transport(MIX, x, Method(p, s, solver, grids.karras, 9), EDM(), 80.0, 0.002).y
        for p, s, solver in frames
    ]
    assert (ends[0] - ends[1]).abs().max() < 1e-12
    assert (ends[0] - ends[2]).abs().max() < 1e-12


WEAK = {
    "ddpm": (catalogue.ddpm, 1),
    "ddpm large": (lambda n: catalogue.ddpm(n, large=True), 1),
    "ddim eta 0.5": (lambda n: catalogue.ddim(n, 0.5), 1),
    "euler_ancestral": (catalogue.euler_ancestral, 1),
    "euler_maruyama": (catalogue.euler_maruyama, 1),
    "reverse_diffusion": (catalogue.reverse_diffusion, 1),
    "er_sde": (catalogue.er_sde, 1),
    "sa_solver": (catalogue.sa_solver, 2),
    "sa_solver tau 0.5": (lambda n: catalogue.sa_solver(n, 0.5), 2),
    "dpm_solver_pp_2m sde": (lambda n: catalogue.dpm_solver_pp_2m(n, 1.0), 2),
    "dpm_solver_pp_3m sde": (lambda n: catalogue.dpm_solver_pp_3m(n, 1.0), 2),
}


@pytest.mark.parametrize("name", WEAK)
def test_weak_order_in_exact_law(name: str) -> None:
    """Variance of the chain on N(0, 1/4) by its exact law, no Monte Carlo: slope within 0.15 of the order claimed."""
    make, order = WEAK[name]
    data, errors = exact.Gaussian(torch.zeros(1, dtype=F64), 0.25), []
    for n in (128, 256, 512):
        maps = affine(lambda x, noise, n=n: sampling.transport(data, x, make(n), LogSNR(), -1.5, 3.0, noise).y, 1)
        variance = maps.law(torch.zeros(1, dtype=F64), torch.tensor([[0.25 + math.exp(3.0)]], dtype=F64))[1].item()
        errors.append(abs(variance - (0.25 + math.exp(-6.0))))
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(slope - order) < 0.15 for slope in slopes), (errors, slopes)


@pytest.mark.parametrize("process", [VPSDE(), Angle(), RectifiedFlow(t_max=0.98), LogSNR(), EDM()], ids=repr)
def test_one_model_runs_along_any_process(process) -> None:
    """The flow of one model is one map: adaptive solves along every process agree."""
    x = sampling.encode(MIX, MIX.sample(8, 2), catalogue.probability_flow(1e-10)) * 30.0
    here, there = (
        sampling.transport(MIX, x, catalogue.probability_flow(1e-9, process=p), EDM(), 30.0, 0.01).y
        for p in (Angle(), process)
    )
    assert (here - there).abs().max() < 1e-5


@pytest.mark.parametrize("name", sorted(FIXED))
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        pytest.param(torch.float32, (2,), id="f32-2"),
        pytest.param(F64, (1, 8, 8), id="f64-1x8x8"),
        pytest.param(F64, (2,), id="f64-2", marks=pytest.mark.slow),
        pytest.param(torch.float32, (1, 8, 8), id="f32-1x8x8", marks=pytest.mark.slow),
    ],
)
def test_every_entry_is_finite_and_spends_what_it_declares(
    name: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    """N = 1..20 levels."""
    size = torch.Size(shape).numel()
    model = exact.GaussianMixture(torch.linspace(-1, 1, 2 * size, dtype=F64).reshape(2, size), 0.1)
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    for n in range(1, 21):
        calls.clear()
        method = FIXED[name](n)
        x = sample(model, (3, *shape), method, dtype=dtype)
        assert x.isfinite().all()
        assert (x.shape, x.dtype) == ((3, *shape), dtype)
        assert len(calls) == method.calls


@pytest.mark.parametrize("name", sorted({*catalogue.fixed_step_methods(), "probability_flow"}))
def test_every_entry_says_what_it_is(name: str) -> None:
    """Its docstring names order and reference; its repr is a key."""
    make = getattr(catalogue, name)
    said = make.__doc__
    assert "rder" in said or "adaptive" in said
    assert any(
        word in said for word in ("arXiv", "Karras", "k-diffusion", "Roessler", "any process", "benchmarks.recommended")
    )
    method = make(5) if name in catalogue.fixed_step_methods() else make()
    assert hash(method) == hash(make(5) if name in catalogue.fixed_step_methods() else make())
    assert "object at" not in repr(method)


def test_transport_goes_there_and_back() -> None:
    x = MIX.sample(16, 3)
    method = catalogue.probability_flow(1e-10)
    there = sampling.transport(MIX, x, method, VPSDE(), 1e-3, 1.0)
    back = sampling.transport(MIX, there.y, method, VPSDE(), 1.0, 1e-3)
    assert (back.y - x).abs().max() < 1e-6
    assert there.evals.shape == (16,)


def test_transport_saves_states_in_the_callers_terms() -> None:
    """Along any coordinates, the saved states of a fine solve are those of the process asked about."""
    x = 80 * SeededNoise(0).normal(0, range(1), (8, 2), F64)[0]
    saved = sampling.transport(MIX, x, catalogue.unipc(200), EDM(), 80.0, 0.002, save=True)
    assert saved.ts is not None
    assert saved.ys is not None
    assert len(saved.ts) == 201
    middle = sampling.transport(MIX, x, catalogue.probability_flow(1e-10), EDM(), 80.0, float(saved.ts[100]))
    assert (saved.ys[100] - middle.y).abs().max() < 2e-3
    assert torch.equal(saved.ys[-1], saved.y)
    assert torch.equal(saved.y, sampling.transport(MIX, x, catalogue.unipc(200), EDM(), 80.0, 0.002).y)


def test_a_latent_decodes_to_its_sample() -> None:
    """decode(z) is what sample makes of its own noise; encode undoes it as the steps shrink."""
    z = VPSDE().prior((8, 2), seed=4, dtype=F64) / VPSDE().sigma(1.0)
    assert torch.equal(sampling.decode(MIX, z, catalogue.ddim(10)), sample(MIX, (8, 2), catalogue.ddim(10), seed=4))
    errors = []
    for n in (100, 400):
        x = sampling.decode(MIX, z, catalogue.ddim(n), denoise=False)
        errors.append((sampling.encode(MIX, x, catalogue.ddim(n)) - z).abs().max().item())
    assert errors[1] < errors[0] / 3
    tight = catalogue.probability_flow(1e-10)
    assert (sampling.encode(MIX, sampling.decode(MIX, z, tight, denoise=False), tight) - z).abs().max() < 1e-5


def test_spherical_interpolation_keeps_norms() -> None:
    a, b = SeededNoise(5).normal(0, range(2), (4, 1, 6, 6), F64)
    a, b = a / a.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1), b / b.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    for w in (0.0, 0.3, 1.0):
        norms = sampling.interpolate(a, b, w).flatten(1).norm(dim=1)
        assert (norms - 1).abs().max() < 1e-12
    assert (sampling.interpolate(a, b, 0.0) - a).abs().max() < 1e-14
    assert (sampling.interpolate(a, b, 1.0) - b).abs().max() < 1e-14
    assert (sampling.interpolate(a, a, 0.4) - a).abs().max() < 1e-15


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": torch.full((2, 2), torch.nan)}, "`x`"),
        ({"method": catalogue.ddpm(5)}, "`noise`"),
        ({"t0": "80"}, "`t0`"),
        ({"method": catalogue.probability_flow(), "save": True}, "`save`"),
        ({"method": catalogue.ddpm(5), "noise": WhiteNoise(torch.Generator()), "t0": 0.002, "t1": 80.0}, "`steps`"),
    ],
)
def test_bad_transports_are_named(change: dict, said: str) -> None:
    call = {
        "x": torch.ones(2, 2, dtype=F64),
        "method": catalogue.ddim(5),
        "process": EDM(),
        "t0": 80.0,
        "t1": 0.002,
        **change,
    }
    with pytest.raises((ValueError, TypeError), match=said):
        sampling.transport(MIX, **call)


def test_pure_noise_is_a_legal_start_of_a_flow_and_not_of_an_sde() -> None:
    """alpha = 0: along RectifiedFlow the velocity form never divides; a stochastic method is refused by name."""
    flow = RectifiedFlow()
    model = exact.GaussianMixture(MIX.means, 0.05, process=flow)
    method = Method(flow, Split.FLOW, Euler(), grids.UniformTime(flow), 40)
    assert sample(model, (64, 2), method).isfinite().all()
    with pytest.raises(ValueError, match="eta"):
        sample(model, (4, 2), Method(flow, Split.X0, ExpEuler(), grids.UniformTime(flow), 5, 1.0))


def test_a_grid_path_couples_methods() -> None:
    """One Brownian path, two step counts: the finer solve is nearer to the finest."""
    lams = torch.linspace(-3.0, 4.0, 257, dtype=F64)
    x = SeededNoise(2).normal(0, range(1), (256, 2), F64)[0] * torch.exp(-lams[0])
    path = GridPath(x, lams, torch.Generator().manual_seed(0))
    ends = [
        sampling.transport(MIX, x, catalogue.ddim(n, 1.0, grids.uniform_lambda), LogSNR(), -3.0, 4.0, path).y
        for n in (256, 64, 16)
    ]
    errors = [(end - ends[0]).square().mean().sqrt() for end in ends[1:]]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.slow
def test_best_is_ahead_of_published_lines_over_budgets() -> None:
    """On gmm2d at 5, 10, 20 and 50 calls, in the data's unit, the geometric mean of its error over that of the best of
    nine lines: below 0.75."""
    problem = gmm2d()
    moments = problem.denoiser.moments
    assert moments is not None
    x, answer = problem.start(), problem.reference()[0]

    def error(method: Method) -> float:
        return rms(sampling.transport(problem.denoiser, x, method, EDM(), problem.high, problem.low).y - answer)

    quadratic, lam = grids.quadratic, grids.uniform_lambda
    ratios = []
    for n in (5, 10, 20, 50):
        lines = [catalogue.deis(n, k, g) for k in (2, 3) for g in (quadratic, lam)] + [
            catalogue.unipc(n, k, g) for k in (2, 3) for g in (quadratic, lam)
        ]
        ratios.append(error(catalogue.best(n, moments.scale)) / min(map(error, [*lines, catalogue.ipndm(n)])))
    assert math.prod(ratios) ** 0.25 < 0.75, ratios

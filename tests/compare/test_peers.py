"""Other libraries' samplers: each adapter against a closed form, each catalogue line against its peer, and where peers
are wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scoresde import EDM, LogSNR, Method, RectifiedFlow, Split, UnitNoise, catalogue, grids, sampling
from scoresde.compare import peers, problems
from scoresde.samplers.reverse import reverse
from solvers import Euler, ExpAdams, ExpAdamsPC, ExpEuler, ExpMidpoint, Heun, SeededNoise, solve

pytestmark = pytest.mark.peers

F64 = torch.float64
ONE = torch.tensor(1.0, dtype=F64)
MANY = problems.gaussian3()
GAUSS, MIX = (replace(p, n=32) for p in (MANY, problems.mixture1d()))
ENDS = EDM().lam(torch.tensor([80.0, 0.002], dtype=F64)).tolist()
ORDERS = {
    "ddim": 1,
    "euler": 1,
    "heun": 2,
    "dpm_2": 2,
    "lms": 3,
    "dpmpp_2m": 2,
    "dpmpp_2s": 2,
    "dpmpp_3m": 2,
    "unipc_2": 3,
    "unipc_3": 3,
}


def named(every: tuple[peers.Peer, ...]) -> list:
    return [
        pytest.param(
            p, id=p.name, marks=pytest.mark.skipif(peers.absent(p.library), reason=f"{p.library} is not installed")
        )
        for p in every
    ]


def peer(name: str) -> peers.Peer:
    found = next(p for p in (*peers.DETERMINISTIC, *peers.STOCHASTIC) if p.name == name)
    if peers.absent(found.library):
        pytest.skip(f"{found.library} is not installed")
    return found


def levels(n: int, grid: grids.Grid = grids.uniform_lambda) -> Tensor:
    s = torch.exp(-grid(n + 1, *ENDS))
    s[0], s[-1] = 80.0, 0.002
    return s


def model(problem: problems.Problem, calls: list[int] | None = None):
    def denoised(x: Tensor, s: Tensor) -> Tensor:
        if calls is not None:
            calls.append(len(x))
        return problem.denoiser(x, ONE, s).x0

    return denoised


@pytest.mark.parametrize("p", named(peers.DETERMINISTIC))
def test_an_adapter_reaches_the_closed_form(p: peers.Peer) -> None:
    """Gaussian data, 80 and 160 steps: the error falls at the rate of the method, and each step costs what is
    declared."""
    kind = p.name.split(":")[1].removesuffix("_full")
    order = ORDERS.get(kind) or int(kind[-1])
    x, (answer, _), calls, errors = GAUSS.start(), GAUSS.reference(), [], []
    for n in (80, 160):
        calls.clear()
        errors.append(problems.rms(p.solve(model(GAUSS, calls), x, levels(n)) - answer))
        assert len(calls) == p.calls * n
    assert math.log2(errors[0] / errors[1]) > order - 0.25
    assert errors[1] < (0.07, 0.02, 5e-3)[order - 1]


@pytest.mark.parametrize("p", named(peers.adaptive(1e-5)))
def test_an_adaptive_adapter_reaches_the_closed_form(p: peers.Peer) -> None:
    """At tolerance 1e-5: within 100 tolerances of the answer."""
    assert problems.rms(p.solve(model(GAUSS), GAUSS.start(), levels(1)) - GAUSS.reference()[0]) < 1e-3


@pytest.mark.parametrize("p", named(peers.STOCHASTIC))
def test_a_stochastic_adapter_has_the_right_law(p: peers.Peer) -> None:
    """Gaussian data, 160 steps (40 where a Brownian tree makes them dear), 1024 samples, seeds fixed.

    Variances within 25 % (bias below 6 %, four standard errors 18 %), means within 5 standard errors.
    A factor of two in the noise, or none of it, moves some variance by 40 % or more."""
    y = p.solve(model(MANY), MANY.start(1), levels(40 if "sde" in p.name else 160), seed=1)
    data = MANY.denoiser
    z = (y - data.mean) @ data.basis / data.values.sqrt()
    assert (z.var(0) - 1).abs().max() < 0.25
    assert z.mean(0).abs().max() < 5 / 32


@pytest.mark.parametrize(
    "name", ["torchode:dopri5", "torchsde:euler", "scipy:RK45", "k-diffusion:dpmpp_2m", "diffusers:heun", "azula:vAB_2"]
)
def test_peers_take_images(name: str) -> None:
    """The same flow, its three numbers as (1, 1, 3): the same states."""
    p = next((p for p in peers.adaptive(1e-3) if p.name == name), None) or peer(name)
    if peers.absent(p.library):
        pytest.skip(f"{p.library} is not installed")
    flat, x = p.solve(model(GAUSS), GAUSS.start(), levels(6)), GAUSS.start().reshape(-1, 1, 1, 3)
    shaped = p.solve(lambda y, s: GAUSS.denoiser(y.reshape(-1, 3), ONE, s).x0.reshape(y.shape), x, levels(6))
    assert torch.equal(shaped.reshape(flat.shape), flat)


def test_the_peers_leave_the_global_generator_alone() -> None:
    p = peer("k-diffusion:euler_ancestral")
    before = torch.get_rng_state()
    first, again, other = (p.solve(model(GAUSS), GAUSS.start(), levels(5), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


PARITY = [
    ("diffusers:ddim", LogSNR(), Split.X0, ExpEuler()),
    ("diffusers:euler", EDM(), Split.EPS, Euler()),
    ("diffusers:heun", EDM(), Split.EPS, Heun()),
    ("diffusers:dpmpp_2m_full", LogSNR(), Split.X0, ExpAdams(2, midpoint=True)),
    ("diffusers:unipc_2_full", LogSNR(), Split.X0, ExpAdamsPC(2, midpoint=True)),
    ("diffusers:unipc_3_full", LogSNR(), Split.X0, ExpAdamsPC(3, midpoint=True)),
    ("diffusers:deis_3_full", UnitNoise(), Split.EPS, ExpAdams(3)),
    ("k-diffusion:euler", EDM(), Split.EPS, Euler()),
    ("k-diffusion:heun", EDM(), Split.EPS, Heun()),
    ("k-diffusion:dpm_2", UnitNoise(), Split.EPS, ExpMidpoint()),
    ("k-diffusion:lms", EDM(), Split.EPS, ExpAdams(4)),
    ("k-diffusion:dpmpp_2m", LogSNR(), Split.X0, ExpAdams(2, midpoint=True)),
    ("k-diffusion:dpmpp_2s", LogSNR(), Split.X0, ExpMidpoint()),
    *((f"azula:zAB_{k}", EDM(), Split.EPS, ExpAdams(k)) for k in (2, 3)),
    *((f"azula:vAB_{k}", RectifiedFlow(), Split.FLOW, ExpAdams(k)) for k in (2, 3)),
    *((f"azula:zEAB_{k}", UnitNoise(), Split.EPS, ExpAdams(k)) for k in (2, 3)),
    *((f"azula:xEAB_{k}", LogSNR(), Split.X0, ExpAdams(k)) for k in (2, 3)),
]


@pytest.mark.parametrize(("name", "process", "split", "solver"), PARITY, ids=[row[0] for row in PARITY])
@pytest.mark.parametrize("grid", [grids.karras, grids.uniform_lambda], ids=["karras", "lambda"])
def test_our_line_is_the_peers(name: str, process, split, solver, grid) -> None:
    """A mixture, 12 steps on two grids, from the same start: 1e-6 of the state's size."""
    n, x = 12, MIX.start()
    theirs = peer(name).solve(model(MIX), x, levels(n, grid))
    ours = sampling.transport(MIX.denoiser, x, Method(process, split, solver, grid, n), EDM(), 80.0, 0.002).y
    assert (ours - theirs).abs().max() < 1e-6 * (1 + ours.abs().max())


class Given:
    """Normals of each step, as a path of ours in the lam clock and as a noise sampler of k-diffusion's."""

    def __init__(self, z: Tensor):
        self.z, self.step = z, -1

    def next(self) -> Tensor:
        self.step += 1
        return self.z[self.step]

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        return self.next() * (t1 - t0).abs().sqrt()


@pytest.mark.parametrize(
    ("sampler", "make"),
    [
        ("euler_ancestral", catalogue.euler_ancestral),
        ("dpmpp_2m_sde", lambda n, grid: catalogue.dpm_solver_pp_2m(n, 1.0, grid)),
    ],
)
def test_a_stochastic_line_is_k_diffusions_given_its_noise(sampler: str, make) -> None:
    """The same normals through both, 12 steps: 1e-6."""
    peer("k-diffusion:euler")
    n, x = 12, MIX.start()
    z = SeededNoise(3).normal(1, range(n), tuple(x.shape), F64)
    given = Given(z)
    theirs = peers.k_diffusion(sampler, noise_sampler=lambda s0, s1: given.next())(
        model(MIX), x, levels(n, grids.karras), 0
    )
    ours = sampling.transport(MIX.denoiser, x, make(n, grid=grids.karras), EDM(), 80.0, 0.002, Given(z)).y
    assert given.step == n - 1
    assert (ours - theirs).abs().max() < 1e-6 * (1 + ours.abs().max())


def as_released(scheduler: str, n: int, **options) -> tuple[Tensor, Tensor]:
    """A diffusers scheduler with its own tables on Gaussian data: its levels and its last state (frame x0 + s eps)."""
    diffusers = pytest.importorskip("diffusers")
    made = getattr(diffusers, scheduler)(beta_start=1e-4, beta_end=0.02, prediction_type="sample", **options)
    made.set_timesteps(n)
    abar = made.alphas_cumprod.double()
    every = ((1 - abar) / abar).sqrt()
    s = made.sigmas.double() if hasattr(made, "sigmas") else torch.cat([every[made.timesteps], every[:1]])
    x = GAUSS.start() / 80 * s[0] / (1 + s[0] ** 2).sqrt()
    for k, t in enumerate(made.timesteps):
        x = made.step(model(GAUSS)(x * (1 + s[k] ** 2).sqrt(), s[k]), t, x).prev_sample
    return s, x * (1 + s[-1] ** 2).sqrt()


quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers' own, under NumPy 2


@quiet
@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize(
    ("scheduler", "options", "solver"),
    [
        (
            "DDIMScheduler",
            {"clip_sample": False, "timestep_spacing": "leading", "steps_offset": 0, "set_alpha_to_one": False},
            ExpEuler(),
        ),
        (
            "DPMSolverMultistepScheduler",
            {"final_sigmas_type": "sigma_min", "lower_order_final": False},
            ExpAdams(2, midpoint=True),
        ),
    ],
    ids=["ddim", "dpmpp_2m"],
)
def test_our_line_is_diffusers_on_its_own_table(n: int, scheduler: str, options: dict, solver) -> None:
    """Nothing of the peer replaced: its discrete levels, float32 tables and all; relative 1e-6 of the state's size."""
    s, theirs = as_released(scheduler, n, **options)
    s = s if s[-1] < s[-2] else s[:-1]  # DDIM's last index is its first: the last step stays
    ours = solve(reverse(LogSNR(), GAUSS.denoiser, 0.0, Split.X0), GAUSS.start() / 80 * s[0], solver, -s.log()).y
    assert (ours - theirs).abs().max() < 1e-6 * (1 + ours.abs().max())


def slope(run, coarse: int = 60) -> float:
    answer = GAUSS.reference()[0]
    first, second = (problems.rms(run(n) - answer) for n in (coarse, 2 * coarse))
    return math.log2(first / second)


@pytest.mark.parametrize("name", ["diffusers:dpmpp_3m_full"])
def test_published_third_order_multistep_is_second_order(name: str) -> None:
    """DPM-Solver++(3M) as released halves its error two times a doubling; integrating the same interpolant exactly is
    third order."""
    theirs = slope(lambda n: peer(name).solve(model(GAUSS), GAUSS.start(), levels(n)))
    ours = slope(
        lambda n: sampling.transport(GAUSS.denoiser, GAUSS.start(), catalogue.exp_adams(n, 3), EDM(), 80.0, 0.002).y
    )
    assert 1.8 < theirs < 2.2
    assert ours > 2.7


@quiet
def test_diffusers_deis_of_order_3_gets_worse_with_more_steps() -> None:
    """As released, its levels are float32 and their logarithms cancel: the error grows; with levels in float64 it
    falls."""
    pytest.importorskip("diffusers")
    errors, mended = [], []
    for n in (80, 320):
        s, theirs = as_released("DEISMultistepScheduler", n, solver_order=3)
        start = GAUSS.start() / 80 * s[0]
        values, mean, basis = GAUSS.denoiser.values, GAUSS.denoiser.mean, GAUSS.denoiser.basis
        answer = mean + ((start - mean) @ basis * ((values + s[-1] ** 2) / (values + s[0] ** 2)).sqrt()) @ basis.T
        errors.append(problems.rms(theirs - answer))
        mended.append(
            problems.rms(peers.diffusers("DEISMultistepScheduler", solver_order=3)(model(GAUSS), start, s, 0) - answer)
        )
    assert errors[1] > 3 * errors[0]
    assert mended[1] < mended[0] / 10


def test_azulas_rosenbrock_adams_is_first_order() -> None:
    """REAB of order 3: one symbol in its last line (alpha_s with sigma_t) leaves order 1."""
    if peers.absent("azula"):
        pytest.skip("azula is not installed")
    run = peers.azula("REAB", order=3)
    assert 0.85 < slope(lambda n: run(model(GAUSS), GAUSS.start(), levels(n), 0)) < 1.15

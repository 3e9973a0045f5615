"""Samples depend on (seed, index) alone, endings are right, and every method spends what it declares."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scoresde import VPSDE, Denoiser, Eps, Method, catalogue, exact, grids, sample, sampling
from scoresde.cli.progress import counting
from scoresde.networks import MLP
from scoresde.processes.coordinates import LogSNR
from scoresde.processes.forward import RectifiedFlow
from scoresde.runtime.torch_state import seeded
from scoresde.samplers.reverse import Split, reverse
from solvers.solution import NonFiniteError

F64 = torch.float64
RING = exact.GaussianMixture(
    torch.tensor([[math.cos(a), math.sin(a)] for a in torch.arange(8) * math.pi / 4], dtype=F64), 0.0025
)
METHODS = [
    catalogue.ddim(6),
    catalogue.ddim(6, eta=0.4),
    catalogue.ddpm(6),
    catalogue.euler_maruyama(6),
    catalogue.sra1(6),
    catalogue.edm_heun(6),
    catalogue.probability_flow(1e-4),
]


def network(dtype: torch.dtype = torch.float32) -> Denoiser:
    with seeded(0):
        return Denoiser(MLP(2, 32, 2), VPSDE(), time=lambda lam: 1000 * VPSDE().time(lam)).to(dtype)


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_sample_is_a_function_of_seed_and_index(method: Method, dtype: torch.dtype) -> None:
    """Bit-equal in chunks of 1, 2, 7, 32 and all, and from any first index."""
    whole = sample(RING, (33, 2), method, seed=4, dtype=dtype)
    for batch in (1, 2, 7, 32):
        assert torch.equal(sample(RING, (33, 2), method, seed=4, dtype=dtype, batch=batch), whole)
    assert torch.equal(sample(RING, (5, 2), method, seed=4, dtype=dtype, first=20), whole[20:25])
    assert not torch.equal(sample(RING, (33, 2), method, seed=5, dtype=dtype), whole)


@pytest.mark.parametrize("method", METHODS[:-1], ids=repr)
def test_a_network_answers_alike_in_any_batch(method: Method) -> None:
    """Matrix products differ by rounding only."""
    whole, parts = (sample(network(), (32, 2), method, batch=b) for b in (None, 5))
    assert ((whole - parts).abs() <= 1e-5 * (1 + whole.abs())).all()


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_global_random_state_is_not_touched(method: Method) -> None:
    """The same seed gives the same bits."""
    before = torch.get_rng_state()
    sample(RING, (3, 2), method)
    assert torch.equal(before, torch.get_rng_state())


FIXED = [
    catalogue.ddim,
    lambda n: catalogue.ddim(n, eta=0.3),
    catalogue.ddpm,
    catalogue.euler_maruyama,
    catalogue.sra1,
    catalogue.edm_heun,
]


@pytest.mark.parametrize("make", FIXED)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_every_number_of_levels_is_finite_and_costs_what_it_declares(make, dtype: torch.dtype) -> None:
    for n in range(1, 21):
        model = network(dtype)
        with counting(model.network) as calls:
            x = sample(model, (2, 2), make(n))
        assert x.isfinite().all()
        assert x.dtype == dtype
        assert calls.batches == make(n).calls
        assert calls.rows == 2 * calls.batches


@pytest.mark.parametrize(
    ("method", "calls"),
    [(catalogue.ddim(20), 20), (catalogue.ddpm(100), 100), (catalogue.edm_heun(10), 19), (catalogue.sra1(51), 101)],
)
def test_budgets_are_those_of_the_papers(method: Method, calls: int) -> None:
    assert method.calls == calls
    assert catalogue.probability_flow().calls is None


def test_one_level_is_one_denoising_of_the_prior() -> None:
    x = sample(RING, (4, 2), catalogue.ddim(1), seed=2)
    z = sample(RING, (4, 2), catalogue.ddim(1), seed=2, denoise=False)
    sigma = torch.tensor(80.0, dtype=F64)
    assert (RING(z, torch.tensor(1.0, dtype=F64), sigma).x0 - x).abs().max() < 1e-14  # sigma comes back as exp(log 80)
    assert (z / sigma * VPSDE().sigma(1.0) - VPSDE().prior((4, 2), seed=2, dtype=F64)).abs().max() < 1e-14


def test_methods_agree_with_each_other_when_they_converge() -> None:
    """The ODE methods reach one answer from one seed: that of the adaptive solve at tolerance 1e-9."""
    truth = sample(RING, (64, 2), catalogue.probability_flow(1e-9))
    for method, error in ((catalogue.ddim(2000), 3e-3), (catalogue.edm_heun(600), 2e-4)):
        assert (sample(RING, (64, 2), method) - truth).square().mean().sqrt() < error


def test_ddim_with_full_noise_is_ddpm_and_partial_noise_lies_between() -> None:
    """The per-step eta of DDIM meets both ends continuously."""
    full, near = (sample(RING, (16, 2), catalogue.ddim(12, eta=eta)) for eta in (1.0, 1 - 1e-9))
    assert torch.equal(full, sample(RING, (16, 2), catalogue.ddpm(12)))
    assert (full - near).abs().max() < 1e-6
    none, tiny = (sample(RING, (16, 2), catalogue.ddim(12, eta=eta)) for eta in (0.0, 1e-9))
    assert (none - tiny).abs().max() < 1e-6


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_trajectory_ends_where_the_sample_is_denoised(method: Method) -> None:
    states = list(sampling.trajectory(RING, (5, 2), method, seed=3))
    lam, x = states[-1]
    scale = (1 + torch.exp(-2 * lam)).sqrt().reshape(-1, *[1] * (lam.dim()))
    end = sample(RING, (5, 2), method, seed=3, denoise=False)
    assert ((x * scale - end).abs() < 1e-10).all()
    assert method.n is None or len(states) == method.n


def test_sampling_evaluates_and_restores_the_mode_of_each_module() -> None:
    class Watch(nn.Module):
        seen: list[bool]

        def __init__(self) -> None:
            super().__init__()
            self.seen, self.frozen = [], nn.Dropout().eval()

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            self.seen.append(self.training or torch.is_grad_enabled())
            return x

    model = Denoiser(Watch(), VPSDE())
    model.network.train()
    model.network.frozen.eval()
    sample(model, (2, 2), catalogue.ddim(3))
    assert model.network.seen == [False] * 3
    assert model.network.training
    assert not model.network.frozen.training


def test_plain_normals_come_from_the_generator() -> None:
    draw = [
        sample(RING, (4, 2), catalogue.ddpm(5), seed=None, generator=torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    ]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_the_range_is_that_of_the_training_process() -> None:
    """A model trained to sigma/alpha 0.0105 is not asked about 0.002."""
    asked: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
            asked.append(lam[0])
            return x

    sde = VPSDE()
    sample(Denoiser(Spy(), sde, time=lambda lam: lam), (1, 2), catalogue.edm_heun(8), dtype=F64)
    assert abs(min(asked) - sde.lam(sde.t_max)) < 1e-6
    assert abs(max(asked) - sde.lam(sde.t_min)) < 1e-6


@pytest.mark.parametrize("grid", [grids.uniform_time, grids.quadratic, grids.uniform_lambda, grids.karras], ids=repr)
def test_grids_are_strictly_monotone_with_exact_ends(grid: grids.Grid) -> None:
    for n in (1, 2, 3, 20, 1000):
        lam = grid(n, -5.0, 4.5)
        assert lam.dtype == F64
        assert len(lam) == n
        assert lam[0] == -5.0
        assert (lam.diff() > 0).all()
        assert n == 1 or lam[-1] == 4.5
    with pytest.raises(ValueError, match="`lam_last`"):
        grid(3, 1.0, 1.0)


def test_coefficients_are_worked_out_once() -> None:
    """A grid's levels come again with every chunk and every call: nothing is worked out for them again, and the
    samples are the same bits."""
    asked: list[float] = []

    def clock(lam: torch.Tensor) -> torch.Tensor:
        asked.append(float(lam))
        return 1000 * VPSDE().time(lam)

    def network(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x) * (c / 1000).unsqueeze(1)

    for method, count in ((catalogue.ddim(12), 12), (catalogue.edm_heun(7), 7), (catalogue.ddpm(9), 9)):
        asked.clear()
        denoiser = Denoiser(network, VPSDE(), time=clock)
        whole = sample(denoiser, (6, 2), method, seed=1)
        assert len(asked) == count
        assert torch.equal(sample(denoiser, (6, 2), method, seed=1, batch=2), whole)
        assert torch.equal(sample(Denoiser(network, VPSDE(), time=clock), (6, 2), method, seed=1), whole)
        assert len(asked) == 2 * count


def test_what_is_kept_serves_gradients_too() -> None:
    """Coefficients first worked out in inference mode are ordinary ones: a gradient through the same level is the
    difference quotient."""
    x = torch.linspace(-1, 1, 8, dtype=F64).reshape(4, 2)
    t, along = torch.tensor(0.371, dtype=F64), torch.tensor([1e-6, 0.0], dtype=F64)
    for process, split in ((LogSNR(), Split.X0), (RectifiedFlow(), Split.FLOW), (VPSDE(), Split.EPS)):
        drift = reverse(process, RING, 0.0, split).drift
        with torch.inference_mode():
            drift(t, x)
        y = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(drift(t, y).sum(), y)
        difference = (drift(t, x + along) - drift(t, x - along)).sum(1) / 2e-6
        assert (difference - slope[:, 0]).abs().max() < 1e-4 * (1 + slope.abs().max())


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["probability_flow", "unipc", "ddpm"])
def test_a_network_that_is_not_finite_is_told_as_that(name: str, value: float) -> None:
    """With fixed and with adaptive steps: the first step of an adaptive solve is a finite time, whatever f is there."""
    model = Denoiser(lambda x, t: x * value, VPSDE(), Eps())
    method = catalogue.probability_flow(1e-3) if name == "probability_flow" else getattr(catalogue, name)(4)
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        sample(model, (3, 2), method)


def test_one_sample_that_is_not_finite_leaves_the_others_alone() -> None:
    """Adaptive steps are each sample's own: with `strict` the error counts one sample of three."""

    def broken(x: Tensor, t: Tensor) -> Tensor:
        return torch.where(torch.arange(3)[: len(x), None] == 1, torch.full_like(x, math.nan), 0.5 * x)

    model = Denoiser(broken, VPSDE(), Eps())
    with pytest.raises(NonFiniteError, match=r"in 1 of 3 samples \(first: 1\)"):
        sample(model, (3, 2), catalogue.probability_flow(1e-3))

"""What stands between solver and model: the analytical first call, and levels that the model is told."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde import EDM, VPSDE, Denoiser, Method, Moments, RectifiedFlow, catalogue, exact, sample, sampling
from scoresde.denoisers.denoiser import BaseDenoiser
from scoresde.denoisers.gaussian import MomentsGaussian
from scoresde.denoisers.moments import Cosines
from scoresde.samplers.sampling import decode
from scoresde.samplers.transforms import AnalyticalFirstCall, ToldLevels
from solvers import SeededNoise
from tests.helpers.methods import FIXED

F64 = torch.float64
MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
ROOT = torch.tensor([[1.0, 0.0, 0.0], [0.4, 0.5, 0.0], [-0.2, 0.1, 0.3]], dtype=F64)
GAUSSIAN = exact.Gaussian(MEAN, ROOT @ ROOT.T, EDM())
SHAPE = (16, 3)
DETERMINISTIC = [
    name for name, make in FIXED.items() if make(4).calls is not None and not (make(4).stochastic or make(4).wrap)
]


class Counted(BaseDenoiser):
    """A denoiser, the rows it was asked for, and the levels sigma/alpha of its calls."""

    def __init__(self, inner: BaseDenoiser):
        super().__init__()
        self.process, self.inner, self.levels = inner.process, inner, list[float]()

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any = None):
        self.levels.append(float(sigma / alpha))
        return self.inner(x, alpha, sigma, cond)


def latents(count: int = 16) -> Tensor:
    """Draws of N(0, I)."""
    return SeededNoise(3).normal(0, range(1), (count, 3), F64, "cpu")[0]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_gaussian_of_moments_is_the_gaussian(alpha: float) -> None:
    """x0 and eps of the closed form with these moments."""
    x, a, s = 2 * latents(), torch.tensor(alpha, dtype=F64), torch.tensor(0.7, dtype=F64)
    ours, theirs = MomentsGaussian(GAUSSIAN.moments, x)(x, a, s), GAUSSIAN(x, a, s)
    assert (ours.x0 - theirs.x0).abs().max() < 1e-12
    assert (ours.eps - theirs.eps).abs().max() < 1e-12


def test_images_along_cosines() -> None:
    """One standard deviation for all is the isotropic Gaussian, whatever the basis."""
    x, a, s = latents(8).reshape(2, 3, 4, 1), torch.tensor(0.6, dtype=F64), torch.tensor(0.5, dtype=F64)
    along = MomentsGaussian(Moments(torch.zeros(3, 4, 1, dtype=F64), torch.full((3, 4, 1), 0.8), Cosines()), x)
    plain = MomentsGaussian(Moments(0.0, 0.8), x)
    assert (along(x, a, s).x0 - plain(x, a, s).x0).abs().max() < 1e-7


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_first_call_costs_nothing_and_is_exact_on_a_gaussian(name: str) -> None:
    """Every deterministic line of the catalogue: one call less, and on Gaussian data the same samples."""
    method = FIXED[name](6)
    free = replace(method, transforms=(AnalyticalFirstCall(GAUSSIAN.moments),))
    model = Counted(GAUSSIAN)
    assert method.calls is not None
    there = decode(model, latents(), free)
    assert len(model.levels) == free.calls == method.calls - 1
    assert (there - decode(GAUSSIAN, latents(), method)).abs().max() < 1e-10


def test_transport_and_sample_count_alike() -> None:
    """n calls of `sample` and of a transport, which has one level more."""
    free = replace(catalogue.unipc(6), transforms=(AnalyticalFirstCall(GAUSSIAN.moments),))
    model = Counted(GAUSSIAN)
    sampling.transport(model, 80 * latents(), free, EDM(), 80.0, 0.002)
    assert len(model.levels) == free.transport_calls == 5


def test_it_answers_at_the_first_level_alone_also_from_pure_noise() -> None:
    """Along RectifiedFlow from alpha = 0, where lam is minus infinity."""
    data = exact.Gaussian(MEAN, 0.5, RectifiedFlow())
    method = replace(catalogue.euler(5), transforms=(AnalyticalFirstCall(data.moments),))
    model = Counted(data)
    y = sample(model, SHAPE, method)
    assert len(model.levels) == 4
    assert all(math.isfinite(level) for level in model.levels)
    assert (y - sample(data, SHAPE, catalogue.euler(5))).abs().max() < 1e-12


def test_told_levels() -> None:
    """The model sees e^shift times the level; x0 is its own, and the rest is that of the true level."""
    told = ToldLevels((-1.0, 1.0), (0.2, -0.4))
    model = Counted(GAUSSIAN)
    x = latents()
    around = told.around(model, -4.0, x)
    for lam, shift in ((-3.0, 0.2), (-1.0, 0.2), (0.0, -0.1), (0.5, -0.25), (1.0, -0.4), (9.0, -0.4)):
        alpha, sigma = torch.tensor(1.0, dtype=F64), torch.tensor(math.exp(-lam), dtype=F64)
        p = around(x, alpha, sigma)
        assert math.isclose(model.levels[-1], math.exp(shift - lam), rel_tol=1e-12)
        assert (p.x0 - GAUSSIAN(x, alpha, sigma * math.exp(shift)).x0).abs().max() < 1e-12
        assert (alpha * p.x0 + sigma * p.eps - x).abs().max() < 1e-10 * (1 + float(sigma))


def test_a_shift_of_zero_changes_nothing() -> None:
    method = catalogue.unipc(6)
    told = replace(method, transforms=(ToldLevels((-2.0, 3.0), (0.0, 0.0)),))
    assert torch.equal(decode(GAUSSIAN, latents(), told), decode(GAUSSIAN, latents(), method))


def test_a_network_is_told_in_its_own_scale() -> None:
    """A network of a VP process gets the time of the told level and an input of the scale that belongs to it."""
    seen: list[tuple[float, float]] = []

    def network(x: Tensor, t: Tensor) -> Tensor:
        seen.append((float(t[0]), float(x.std())))
        return x

    model = Denoiser(network, VPSDE())
    x = torch.randn(4096, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    told = ToldLevels((0.0,), (math.log(2.0),)).around(model, -4.0, x)
    told(x * 2**0.5, torch.tensor(1.0, dtype=F64), torch.tensor(1.0, dtype=F64))
    t, spread = seen[0]
    assert math.isclose(float(VPSDE().sigma(t) / VPSDE().alpha(t)), 2.0, rel_tol=1e-5)
    assert math.isclose(spread, 2**0.5 * float(VPSDE().alpha(t)), rel_tol=0.05)


BAD: dict[str, Any] = {
    "`lams` must hold": lambda: ToldLevels((1.0, 1.0), (0.0, 0.0)),
    "`shifts` must hold 2": lambda: ToldLevels((0.0, 1.0), (0.0,)),
    "`shifts` must": lambda: ToldLevels((0.0, 1.0), (0.0, math.inf)),
    "`moments` must be Moments": lambda: AnalyticalFirstCall(1.0),  # pyright: ignore[reportArgumentType]
    "`transforms` must hold transforms": lambda: replace(catalogue.ddim(4), transforms=(3,)),
    "`transforms` must not replace a model call": lambda: replace(
        catalogue.probability_flow(), transforms=(AnalyticalFirstCall(Moments(0.0, 1.0)),)
    ),
    "`transforms` must not replace a model call where steps are adaptive, wrapped": lambda: replace(
        catalogue.edm_stochastic(4), transforms=(AnalyticalFirstCall(Moments(0.0, 1.0)),)
    ),
    "`compile` must be False for a first call": lambda: replace(
        catalogue.ddim(4), transforms=(AnalyticalFirstCall(Moments(0.0, 1.0)),)
    ).compiled(),
    "`n` must be 2 levels or more": lambda: replace(catalogue.ddim(1), final_denoise=False),
    "`moments` must be of samples like the state": lambda: sample(
        GAUSSIAN, SHAPE, replace(catalogue.ddim(4), transforms=(AnalyticalFirstCall(Moments(torch.zeros(5), 1.0)),))
    ),
}


@pytest.mark.parametrize("said", BAD, ids=lambda s: s[:40])
def test_what_cannot_be(said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        BAD[said]()


def test_a_method_that_ends_with_a_step() -> None:
    """n levels are n - 1 calls in `sample`, which returns the state at the last level, and in `transport`."""
    method: Method = replace(catalogue.unipc(7), final_denoise=False)
    model = Counted(GAUSSIAN)
    y = decode(model, latents(), method)
    assert len(model.levels) == method.calls == method.transport_calls == 6
    assert torch.equal(y, decode(GAUSSIAN, latents(), catalogue.unipc(7), denoise=False))
    moved = sampling.transport(model, 80 * latents(), method, EDM(), 80.0, 0.002)
    assert moved.calls == 6
    assert (moved.y - y).abs().max() < 1e-12
    assert "nothing is denoised after it" in method.describe()

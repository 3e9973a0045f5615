"""The discrete chain: its levels, its posterior, its bound, and diffusers' schedulers on the same noise."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from scoresde import (
    VPSDE,
    Denoiser,
    Eps,
    LogSNR,
    Method,
    RectifiedFlow,
    Split,
    V,
    catalogue,
    ddpm,
    exact,
    sample,
    sampling,
)
from scoresde.evaluation.elbo import elbo, gaussian_bound
from scoresde.samplers.grids import Trailing, UniformTime
from scoresde.samplers.reverse import reverse
from solvers import Euler, ExpEuler, Heun, SeededNoise, solve
from tests.helpers.given_noise import GivenNoise

F64 = torch.float64
MEAN, VAR = torch.tensor([1.0, -0.5, 2.0], dtype=F64), torch.tensor([0.25, 1.0, 4.0], dtype=F64)
SCHEDULES = {
    "linear": (ddpm.linear, {"beta_schedule": "linear"}),
    "scaled_linear": (ddpm.scaled_linear, {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}),
    "cosine": (ddpm.cosine, {"beta_schedule": "squaredcos_cap_v2"}),
    "sigmoid": (ddpm.sigmoid, {"beta_schedule": "sigmoid"}),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_levels_are_those_of_diffusers(name: str) -> None:
    """Theirs are float32 products: 1e-6."""
    make, config = SCHEDULES[name]
    chain = make(1000)
    t = torch.arange(1, 1001, dtype=F64) / 1000
    assert (chain.alpha(t) ** 2 - DDPMScheduler(1000, **config).alphas_cumprod).abs().max() < 1e-6
    assert ((chain.time(chain.lam(t)) - t).abs() / t).max() < 1e-10
    assert (chain.betas.cumsum(0).diff() > 0).all()


def test_rates_are_derivatives_between_levels() -> None:
    chain = ddpm.linear(50)
    t = ((torch.arange(50, dtype=F64) + 0.37) / 50).requires_grad_()
    (alpha_rate,) = torch.autograd.grad(chain.alpha(t).sum(), t)
    (sigma_rate,) = torch.autograd.grad(chain.sigma(t).sum(), t)
    assert ((chain.alpha_rate(t) - alpha_rate) / alpha_rate).abs().max() < 1e-10
    assert ((chain.sigma_rate(t) - sigma_rate) / sigma_rate).abs().max() < 1e-10
    assert (chain.alpha(t) ** 2 + chain.sigma(t) ** 2 - 1).abs().max() < 1e-14


def test_the_chain_tends_to_the_sde_at_rate_one() -> None:
    """max |log abar - 2 log alpha(i/T)| falls like 1/T."""
    sde, gaps = VPSDE(), []
    for steps in (100, 1000, 10_000):
        chain = ddpm.linear(steps)
        t = torch.arange(1, steps + 1, dtype=F64) / steps
        gaps.append((chain.log_alpha(t) - sde.log_alpha(t)).abs().max().item())
    slopes = [math.log10(b / a) for a, b in zip(gaps[1:], gaps[:-1], strict=True)]
    assert slopes == pytest.approx([1.0, 1.0], abs=0.1)
    bridge = ddpm.of(sde, 200)
    t = torch.arange(1, 201, dtype=F64) / 200
    assert (bridge.log_alpha(t) - sde.log_alpha(t)).abs().max() < 1e-14


@pytest.mark.parametrize("i", [2, 30, 100])
def test_the_posterior_is_bayes(i: int) -> None:
    """q(x_{i-1} | x_i, x_0) from the joint Gaussian of (x_{i-1}, x_i) given x_0."""
    chain = ddpm.linear(100)
    now, before, beta = math.exp(chain.log_abar[i - 1]), math.exp(chain.log_abar[i - 2]), chain.betas[i - 1].item()
    gain = math.sqrt(1 - beta) * (1 - before) / (1 - now)
    c_0, c_x, variance = ddpm.posterior(chain, i)
    assert c_x == pytest.approx(gain, rel=1e-12)
    assert c_0 == pytest.approx(math.sqrt(before) - gain * math.sqrt(now), rel=1e-9)
    assert variance == pytest.approx((1 - before) - gain**2 * (1 - now), rel=1e-8)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("count", [10, 50])
def test_diffusers_on_the_same_noise(eta: float, count: int) -> None:
    """DDIMScheduler (eta 0) and DDPMScheduler on trailing steps of the 1000-level chain equal ours to 1e-5
    of the state."""
    chain, data = ddpm.linear(1000), exact.Gaussian(MEAN, VAR)
    options = {"clip_sample": False, "timestep_spacing": "trailing"}
    scheduler = DDIMScheduler(1000, set_alpha_to_one=False, **options) if eta == 0 else DDPMScheduler(1000, **options)
    scheduler.set_timesteps(count)
    levels = (scheduler.timesteps + 1).double() / 1000
    x = SeededNoise(0).normal(0, range(1), (8, 3), F64)[0] * chain.sigma(levels[0])
    z = SeededNoise(0).normal(1, range(count), (8, 3), F64)
    y = x.clone()
    for k, t in enumerate(scheduler.timesteps[:-1]):
        level = levels[k]
        e = data(y, chain.alpha(level), chain.sigma(level)).eps
        if eta == 0:
            y = scheduler.step(e, t, y, eta=0.0).prev_sample
        else:
            generator = GivenNoise(z[k])
            y = generator.step(scheduler, e, t, y)
    lams = chain.lam(levels)
    eq = reverse(LogSNR(), data, eta, Split.X0)

    def increments(t0: torch.Tensor, t1: torch.Tensor) -> torch.Tensor:
        return z[int((lams == t0).nonzero())] * (t1 - t0).abs().sqrt()

    ours = solve(
        eq, x / chain.alpha(levels[0]), ExpEuler(), lams, noise=None if eta == 0 else increments
    ).y * chain.alpha(levels[-1])
    assert (ours - y).abs().max() < 1e-5 * y.abs().max()


def test_the_bound_is_unbiased_and_a_bound() -> None:
    """Its mean over data and draws is the closed form, within 5 standard errors, and lies above -log p."""
    chain, data = ddpm.linear(100), exact.Gaussian(MEAN, VAR)
    x0 = data.sample(20_000, seed=7)
    bound = elbo(data, chain, x0, seed=8)
    expected = gaussian_bound(chain, MEAN, VAR)
    for part, value in zip((bound.prior, bound.steps.sum(0), bound.reconstruction), expected, strict=True):
        assert abs(part.mean() - value) < 5 * part.std() / math.sqrt(len(x0)) + 1e-12
    entropy = 0.5 * (torch.log(2 * math.pi * VAR) + 1).sum().item()
    assert sum(expected) > entropy


def test_the_bound_tightens_as_the_chain_grows() -> None:
    """The gap to the entropy falls with T: small posterior variances are optimal only in the limit."""
    entropy = 0.5 * (torch.log(2 * math.pi * VAR) + 1).sum().item()
    gaps = [sum(gaussian_bound(ddpm.linear(steps), MEAN, VAR)) - entropy for steps in (50, 200, 1000, 4000)]
    assert all(0 < b < a for a, b in pairwise(gaps))


@pytest.mark.parametrize(
    "betas", [torch.tensor([0.1, 1.2]), torch.tensor([0.0, 0.1]), torch.zeros(0), torch.ones(2, 2) / 2]
)
def test_bad_betas_are_named(betas: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="betas"):
        ddpm.chain(betas)


def test_zero_terminal_snr_is_diffusers_rescaling() -> None:
    """Lin et al. 2023: their float32 levels to 1e-6; the first level kept, no signal at the last, everything finite
    there but lam."""
    chain = ddpm.zero_terminal_snr(ddpm.linear(1000))
    t = torch.arange(1, 1001, dtype=F64) / 1000
    assert (chain.alpha(t) ** 2 - DDIMScheduler(1000, rescale_betas_zero_snr=True).alphas_cumprod).abs().max() < 1e-6
    assert chain.alpha(t[0]) == ddpm.linear(1000).alpha(t[0])
    assert (chain.alpha(1.0), chain.sigma(1.0), chain.lam(1.0), chain.betas[-1]) == (0.0, 1.0, -math.inf, 1.0)
    assert float(chain.time(torch.tensor(-math.inf, dtype=F64))) == 1.0
    assert all(math.isfinite(rate(1.0)) for rate in (chain.alpha_rate, chain.sigma_rate, chain.variance_rate))
    assert (ddpm.chain(chain.betas).alpha(t) - chain.alpha(t)).abs().max() < 1e-12
    c_0, c_x, variance = ddpm.posterior(chain, 1000)
    assert (c_0, c_x) == (pytest.approx(chain.alpha(t[-2]).item(), rel=1e-12), 0.0)
    assert variance == pytest.approx(1 - c_0**2, rel=1e-12)


def test_sampling_begins_without_signal() -> None:
    """At alpha = 0 eps says nothing of x0 and is refused with the remedy; V starts the flow, along the chain and along
    RectifiedFlow alike in the limit; DDIM there is Euler along RectifiedFlow, exactly; noise in the equation is
    refused."""
    chain = ddpm.zero_terminal_snr(ddpm.linear(50))
    data = exact.Gaussian(MEAN, VAR, process=chain)
    one = torch.ones((), dtype=F64)

    def network(read: str):
        return lambda x, t: getattr(data(x, chain.alpha(t), chain.sigma(t)), read)

    z = SeededNoise(0).normal(0, range(1), (16, 3), F64)[0]
    eps, v = (Denoiser(network(read), chain, table) for read, table in (("eps", Eps()), ("v", V())))
    with pytest.raises(ValueError, match=r"`x0` .* use V"):
        _ = eps(z, 0 * one, one).x0
    assert (v(z, 0 * one, one).x0 - MEAN).abs().max() < 1e-12
    ends = []
    for process in (chain, RectifiedFlow()):
        method = Method(process, Split.FLOW, Heun(), UniformTime(process), 400)
        ends.append(sample(v, (16, 3), method, dtype=F64))
        with pytest.raises(ValueError, match=r"`x0` .* use V"):
            sample(eps, (16, 3), method, dtype=F64)
        with pytest.raises(ValueError, match="eta"):
            sample(v, (16, 3), Method(process, Split.X0, ExpEuler(), UniformTime(process), 5, 1.0))
    assert (ends[0] - ends[1]).abs().max() < 2e-3
    levels = torch.arange(10, 0, -1, dtype=F64) / 10  # every fifth level
    x = z
    for t0, t1 in pairwise(levels):
        p = v(x, chain.alpha(t0), chain.sigma(t0))
        x = chain.alpha(t1) * p.x0 + chain.sigma(t1) * p.eps
    straight = sampling.transport(
        v, z, Method(RectifiedFlow(), Split.FLOW, Euler(), UniformTime(chain), 9), chain, 1.0, float(levels[-1])
    )
    assert (straight.y - x).abs().max() < 1e-12
    assert sample(v, (2, 3), catalogue.ddim(5)).isfinite().all()  # which begins just inside
    for make in (catalogue.ddim, catalogue.edm_heun, catalogue.dpm_solver_2):
        with pytest.raises(ValueError, match=r"`method` .* RectifiedFlow"):
            sample(v, (2, 3), make(5, grid=Trailing(chain)))

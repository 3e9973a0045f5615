"""Learned variances: their optimum on Gaussian data in closed form, the loss that finds it, and the sampler that uses
it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from scoresde import EDM, VPSDE, Denoiser, Eps, V, catalogue, ddpm, exact, grids, sample, sampling
from scoresde.data.samples import Dataset
from scoresde.denoisers.denoiser import LearnedRange
from scoresde.evaluation.elbo import elbo, gaussian_bound
from scoresde.interop import pipelines
from scoresde.interop.scheduler import MethodScheduler
from scoresde.networks import DiT
from scoresde.runs.config import Config, Hybrid, NetworkConfig
from scoresde.runs.toml import parse
from scoresde.samplers.wrappers.variance import LearnedVariance
from scoresde.storage.files import CheckpointError
from scoresde.training import Objective, Training, fit
from scoresde.training.losses import DSM, ChainBound
from solvers import ExpMidpoint, SeededNoise
from tests.helpers.given_noise import GivenNoise
from tests.helpers.in_process import called
from tests.helpers.pipelines import normals, written

F64 = torch.float64
MEAN, VAR = torch.tensor([0.3, -0.5], dtype=F64), torch.tensor([0.25, 0.8], dtype=F64)


def best(chain: ddpm.DiscreteVP, i: int, var: Tensor = VAR) -> Tensor:
    """log of the variance of x_{i-1} given x_i for data of variance `var`, from their joint Gaussian."""
    now, before = (math.exp(chain.log_abar[k - 1]) if k else 1.0 for k in (i, i - 1))
    v_now, v_before, keep = now * var + 1 - now, before * var + 1 - before, math.sqrt(now / before)
    return torch.log(v_before - (keep * v_before) ** 2 / v_now)


def share(chain: ddpm.DiscreteVP, i: int, var: Tensor = VAR) -> Tensor:
    """The v of that variance."""
    small, large = ddpm.log_variances(chain, i)
    return (best(chain, i, var) - small) / (large - small)


def gaussian(chain: ddpm.DiscreteVP, spread: float | None = None) -> Denoiser:
    """The true mean of N(MEAN, VAR), and the best variances or a constant spread."""
    data = exact.Gaussian(MEAN, VAR)

    def network(x: Tensor, t: Tensor) -> Tensor:
        eps = data(x, chain.alpha(t), chain.sigma(t)).eps
        i = round(float(t[0]) * chain.steps)
        s = 2 * share(chain, i) - 1 if spread is None else torch.full((2,), spread, dtype=F64)
        return torch.cat([eps, s.expand(x.shape)], 1)

    return Denoiser(network, chain, LearnedRange(Eps()))


@pytest.mark.parametrize("i", [2, 17, 50])
def test_the_best_variance_lies_between_where_data_are_no_wider_than_noise(i: int) -> None:
    """v is 0 for a point, 1 for unit variance, increasing between, and beyond 1 for wider data; beta~ and beta are the
    posterior's and the chain's."""
    chain = ddpm.linear(50)
    small, large = ddpm.log_variances(chain, i)
    assert small == pytest.approx(math.log(ddpm.posterior(chain, i)[2]), rel=1e-12)
    assert large == pytest.approx(math.log(chain.betas[i - 1].item()), rel=1e-9)
    v = share(chain, i, torch.tensor([1e-12, 0.1, 0.5, 1.0, 4.0], dtype=F64))
    assert v[0] == pytest.approx(0.0, abs=1e-6)
    assert v[3] == pytest.approx(1.0, abs=1e-9)
    assert (v.diff() > 0).all()


@pytest.mark.parametrize("steps", [5, 50])
def test_the_bound_is_tight_at_true_means_and_variances(steps: int) -> None:
    """For any number of steps: entropy + KL(q(x_T) || N(0, I)), in closed form; and the estimate is that, within 5
    standard errors."""
    chain = ddpm.chain(torch.linspace(0.01, 0.4, steps, dtype=F64))
    entropy = 0.5 * (torch.log(2 * math.pi * VAR) + 1).sum().item()
    abar = math.exp(chain.log_abar[-1])
    last, shift = abar * VAR + 1 - abar, abar * MEAN**2
    mismatch = 0.5 * (last + shift - 1 - last.log()).sum().item()
    parts = gaussian_bound(chain, MEAN, VAR, learned=True)
    assert sum(parts) == pytest.approx(entropy + mismatch, rel=1e-10)
    x0 = exact.Gaussian(MEAN, VAR).sample(4000, seed=7)
    bound = elbo(gaussian(chain), chain, x0, seed=8)
    for part, value in zip((bound.prior, bound.steps.sum(0), bound.reconstruction), parts, strict=True):
        assert abs(part.mean() - value) < 5 * part.std() / math.sqrt(len(x0)) + 1e-12


def test_no_fixed_variance_is_below() -> None:
    """On the same draws; s = -1 is "small" to rounding, except at the first level where the fixed one is beta; s = 1
    is "large"."""
    chain = ddpm.linear(50)
    x0 = exact.Gaussian(MEAN, VAR).sample(500, seed=1)
    learned, small, large = (elbo(gaussian(chain, s), chain, x0, seed=2) for s in (None, -1.0, 1.0))
    fixed = elbo(exact.Gaussian(MEAN, VAR), chain, x0, seed=2)
    assert (small.steps - fixed.steps).abs().max() < 1e-9 * fixed.steps.abs().max()
    assert (large.reconstruction - fixed.reconstruction).abs().max() < 1e-9
    for other in (small, large, fixed):
        assert (other.total - learned.total).mean() > 5 * (other.total - learned.total).std() / math.sqrt(len(x0))
    assert sum(gaussian_bound(chain, MEAN, VAR, learned=True)) < sum(gaussian_bound(chain, MEAN, VAR))


class Heads(torch.nn.Module):
    """A mean a x and a spread b, one number each to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (torch.nn.Parameter(torch.tensor(v, dtype=F64)) for v in (0.7, 0.2))

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        return torch.cat([self.a * x, self.b.expand(x.shape)], 1)


def test_the_mean_does_not_feel_the_bound() -> None:
    """The gradient of Hybrid on the mean head is that of DSM, bit for bit; on the variance head that of the bound,
    weighted."""
    chain, x0 = ddpm.chain(torch.linspace(0.01, 0.3, 20, dtype=F64)), exact.Gaussian(MEAN, VAR).sample(64, 1)
    eps, level = SeededNoise(2).normal(0, range(1), (64, 2), F64)[0], 1 + torch.arange(64) % 20
    t = chain.t_min + (chain.t_max - chain.t_min) * (level - 0.5) / 20
    network = Heads()
    model = Denoiser(network, chain, LearnedRange(Eps()))

    def slopes(loss: Tensor) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(loss.sum(), (network.a, network.b), allow_unused=True)

    hybrid, simple, bound = (
        slopes(Hybrid(0.3)(model, x0, t, eps)),
        slopes(DSM()(model, x0, level / 20, eps)),
        slopes(ChainBound()(model, x0, t, eps)),
    )
    assert hybrid[0] is not None
    assert hybrid[1] is not None
    assert torch.equal(hybrid[0], simple[0])
    assert simple[1] == 0
    assert bound[0].abs() > 1e-3
    assert float(hybrid[1]) == pytest.approx(0.3 * float(bound[1]), rel=1e-12)
    assert hybrid[1].abs() > 1e-3


def test_a_continuous_process_is_trained_at_the_levels_of_its_chain() -> None:
    """Hybrid on VPSDE is Hybrid on ddpm.of(VPSDE()), given the same network of the noise level."""
    x0, eps = exact.Gaussian(MEAN, VAR).sample(30, 1), SeededNoise(2).normal(0, range(1), (30, 2), F64)[0]
    values = []
    for process in (VPSDE(), ddpm.of(VPSDE(), 30)):
        t = process.t_min + (process.t_max - process.t_min) * (torch.arange(30, dtype=F64) + 0.5) / 30
        values.append(Hybrid(steps=30)(Denoiser(Heads(), process, LearnedRange(V()), time=lambda lam: lam), x0, t, eps))
    assert (values[0] - values[1]).abs().max() < 1e-9 * values[0].abs().max()


def test_images_in_single_precision() -> None:
    """One float32 number per sample of a batch, each that of the sample alone."""
    x0, eps = SeededNoise(4).normal(6, range(2), (3, 2, 4, 4), torch.float32)
    model = Denoiser(lambda x, t: torch.cat([x.sin(), x.cos()], 1), VPSDE(), LearnedRange(Eps()))
    t = torch.tensor([0.0015, 0.5, 0.9], dtype=F64)
    losses = Hybrid()(model, x0, t, eps)
    assert losses.dtype == torch.float32
    alone = torch.cat([Hybrid()(model, x0[i : i + 1], t[i : i + 1], eps[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(losses, alone, rtol=1e-5, atol=1e-5)


def test_training_finds_the_best_variance() -> None:
    """A small network on N(0, 1/4), beginning at v near 1/2: the log-variance within 0.03 of the best at every level
    from 2 on, v itself within 0.04 where log beta - log beta~ exceeds 0.15; nearer the prior the two hardly differ,
    and v is hardly felt."""
    chain = ddpm.chain(torch.linspace(0.02, 0.5, 10, dtype=F64))
    x, z = (
        0.5 * SeededNoise(0).normal(0, range(1), (8192, 1), torch.float32)[0],
        SeededNoise(1).normal(0, range(1), (512, 1), torch.float32)[0],
    )
    objective, training = Objective(Hybrid(weight=0.3)), Training(steps=800, batch=256, lr=1e-2)
    model = Config(
        process=chain,
        network=NetworkConfig(variance=True, widths=(32,), fourier=0),
        objective=objective,
        training=training,
    ).denoiser((1,))
    wanted = torch.cat([share(chain, i, torch.tensor([0.25], dtype=F64)) for i in range(2, 11)])
    gap = torch.tensor(
        [large - small for small, large in (ddpm.log_variances(chain, i) for i in range(2, 11))], dtype=F64
    )

    def error() -> Tensor:
        v: list[Tensor] = []
        for i in range(2, 11):
            alpha, sigma = chain.alpha(i / 10), chain.sigma(i / 10)
            with torch.no_grad():
                v.append(
                    (model(x[:512] * alpha.float() + z * sigma.float(), alpha, sigma).variance_logit.mean() + 1) / 2
                )
        return (torch.stack(v) - wanted).abs()

    before = error()
    for _ in fit(model, Dataset(x), training, objective=objective):
        pass
    after = error()
    assert (before * gap).max() > 0.3
    assert (after * gap).max() < 0.03
    assert after[gap > 0.15].max() < 0.04
    assert (gap > 0.15).sum() == 6


@pytest.mark.parametrize("steps", [4, 20])
def test_the_sampler_is_exact_in_law_at_true_means_and_variances(steps: int) -> None:
    """From the true marginal at T to that at level 1, however few the steps: variance to 1e-12 (unit impulses, no
    Monte Carlo), as many calls as steps; with either fixed variance it is off."""
    chain = ddpm.chain(torch.linspace(0.05, 0.6, steps, dtype=F64))
    method, start = catalogue.improved_ddpm(steps - 1, grids.UniformTime(chain)), torch.zeros(steps + 1, 2, dtype=F64)
    start[1] = 1.0
    seen: list[int] = []

    def variance(spread: float | None) -> Tensor:
        count = iter(range(2, steps + 1))

        def impulse(t0: Tensor, t1: Tensor) -> Tensor:
            out = torch.zeros_like(start)
            out[next(count)] = (t1 - t0).abs().sqrt()
            return out

        model = gaussian(chain, spread)
        model.register_forward_pre_hook(lambda *_: seen.append(1))
        y = sampling.transport(model, start, method, chain, 1.0, 1 / steps, impulse).y
        abar = math.exp(chain.log_abar[-1])
        return (y[1] - y[0]) ** 2 * (abar * VAR + 1 - abar) + (y[2:] - y[0]).square().sum(0)

    abar = math.exp(chain.log_abar[0])
    target = abar * VAR + 1 - abar
    assert (variance(None) - target).abs().max() < 1e-12
    assert len(seen) == steps - 1 == method.transport_calls
    for spread in (-1.0, 1.0):
        assert ((variance(spread) - target).abs() > 1e-3).all()


def odd(x: Tensor, t: Tensor) -> Tensor:
    """A network of no merit, whose spread leaves [-1, 1] here and there."""
    c = t.float().to(x.dtype).reshape(-1, *[1] * (x.dim() - 1)) / 1000
    return torch.cat([torch.tanh(x) * (0.5 + c), 1.3 * torch.sin(3 * x + c)], 1)


@pytest.mark.parametrize("count", [10, 50])
def test_diffusers_on_the_same_noise(count: int) -> None:
    """DDPMScheduler(variance_type="learned_range") on trailing steps, its tables in float64: 1e-6 of the state and
    less."""
    chain = ddpm.linear(1000)
    model = Denoiser(odd, chain, LearnedRange(Eps()), time=pipelines.Timesteps(chain))
    scheduler = DDPMScheduler(1000, variance_type="learned_range", clip_sample=False, timestep_spacing="trailing")
    scheduler.alphas_cumprod = chain.alpha(torch.arange(1, 1001, dtype=F64) / 1000) ** 2
    scheduler.set_timesteps(count)
    levels = (scheduler.timesteps + 1).double() / 1000
    x = SeededNoise(0).normal(0, range(1), (8, 2), F64)[0] * chain.sigma(levels[0])
    z, y = SeededNoise(0).normal(1, range(count), (8, 2), F64), x.clone()
    for k, t in enumerate(scheduler.timesteps[:-1]):
        y = GivenNoise(z[k]).step(scheduler, odd(y, t), t, y)
    given = iter(z)
    method, lams = catalogue.improved_ddpm(count), chain.lam(levels)
    plan = sampling.Plan(model, method, None, lams, x, lambda t0, t1: next(given) * (t1 - t0).abs().sqrt())
    ours = plan.run(x / chain.alpha(levels[0]))[-1].y * chain.alpha(levels[-1])
    assert (ours - y).abs().max() < 1e-6 * y.abs().max()
    assert ours.isfinite().all()


@pytest.mark.parametrize(
    "make",
    [catalogue.improved_ddpm, lambda n: replace(catalogue.improved_ddpm(n), solver=ExpMidpoint())],
    ids=["euler", "midpoint"],
)
def test_it_runs_in_a_schedulers_place(make) -> None:
    """Driven from outside it gives what our own solve gives, asking as often as it says."""
    config = DDPMScheduler(1000, variance_type="learned_range").config
    scheduler, x = MethodScheduler(make, config, seed=3), normals(2).double()
    scheduler.set_timesteps(5)
    z, asked = x, 0
    for t in scheduler.timesteps:
        x, asked = scheduler.step(odd(x, t), t, x).prev_sample, asked + 1
    chain, method = scheduler.process, make(5)
    model = Denoiser(odd, chain, LearnedRange(Eps()), time=pipelines.Timesteps(chain))
    plan = sampling.Plan(model, method, None, sampling.method_levels(model, method), z, SeededNoise(3))
    start = z * (method.process.alpha(plan.times[0]) ** 2 + method.process.sigma(plan.times[0]) ** 2).sqrt()
    ours = plan.end(plan.run(start)[-1].y, True)
    assert asked == method.calls
    assert (ours - x).abs().max() < 1e-9 * (1 + x.abs().max())


def test_pipelines_of_learned_range_both_ways(tmp_path: Path) -> None:
    """A UNet2DModel of twice the channels loads, samples and is saved again; which variance_type fits which network is
    checked by name."""
    body = written(tmp_path / "p", DDPMScheduler(1000, variance_type="learned_range"), out_channels=2)
    model = pipelines.load(tmp_path / "p")
    assert model.table == LearnedRange(Eps())
    x, t = normals(2), 500 / 1000
    with torch.no_grad():
        p, theirs = model(x, model.process.alpha(t), model.process.sigma(t)), body(x, torch.tensor(499)).sample
    assert torch.equal(p.eps, theirs[:, :1])
    assert torch.equal(p.variance_logit, theirs[:, 1:])
    assert (
        called(
            "sample",
            str(tmp_path / "p"),
            "--method",
            "improved_ddpm",
            "--steps",
            "4",
            "--n",
            "2",
            "--out",
            str(tmp_path / "x.npz"),
        )
        == 0
    )
    assert np.array_equal(
        np.load(tmp_path / "x.npz")["x"], sample(model, (2, 1, 8, 8), catalogue.improved_ddpm(4)).numpy()
    )
    pipelines.save(model, tmp_path / "again", 8)
    back = pipelines.load(tmp_path / "again")
    assert back.table == model.table
    for k, (kind, channels, said) in enumerate(
        (("fixed_small", 2, "alone"), ("learned_range", 1, "twice as many"), ("learned", 2, "without bounds"))
    ):
        written(tmp_path / str(k), DDPMScheduler(1000, variance_type=kind), out_channels=channels)
        with pytest.raises(CheckpointError, match=said):
            pipelines.load(tmp_path / str(k))


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_it_is_trained_and_sampled_by_the_commands(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """network.variance and the loss Hybrid; every other method takes the mean; a run without variances says so in one
    line."""
    text = (
        f"[network]\nkind = '{kind}'\nwidths = [8{', 8' * (kind == 'unet')}]\nvariance = true\n[loss]\nname"
        " = 'Hybrid'\n[training]\nsteps = 2\nbatch = 16\n"
    )
    (tmp_path / "c.toml").write_text(text)
    (tmp_path / "plain.toml").write_text(text.replace("variance = true", "").replace("'Hybrid'", "'DSM'"))
    (tmp_path / "wrong.toml").write_text(text.replace("variance = true", ""))
    for name in ("c", "plain"):
        assert called("train", str(tmp_path / f"{name}.toml"), "--out", str(tmp_path / name)) == 0
    for method in ("improved_ddpm", "ddpm", "unipc"):
        assert (
            called(
                "sample",
                str(tmp_path / "c"),
                "--method",
                method,
                "--steps",
                "3",
                "--n",
                "2",
                "--out",
                str(tmp_path / f"{method}.npz"),
            )
            == 0
        )
        assert np.isfinite(np.load(tmp_path / f"{method}.npz")["x"]).all()
    assert called("doctor", str(tmp_path / "c"), "--n", "16") in (0, 3)
    capsys.readouterr()
    for arguments in (
        ("sample", str(tmp_path / "plain"), "--method", "improved_ddpm"),
        ("train", str(tmp_path / "wrong.toml"), "--out", str(tmp_path / "no")),
    ):
        assert called(*arguments) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "variance = true" in error


def test_what_does_not_fit_is_named() -> None:
    """Output of the wrong width, noiseless methods, processes without a chain, a configuration that is neither true
    nor false."""
    x, one = torch.ones(3, 2), torch.tensor(0.6)
    with pytest.raises(ValueError, match=r"twice the channels .* \(3, 4\), got \(3, 2\)"):
        Denoiser(lambda x, t: x, VPSDE(), LearnedRange(Eps()))(x, one, one)
    with pytest.raises(ValueError, match="`eta`"):
        replace(catalogue.ddim(4), wrap=(LearnedVariance(),))
    model = Denoiser(lambda x, t: torch.cat([x, x], 1), EDM(), LearnedRange(Eps()))
    with pytest.raises(ValueError, match="`process` must be variance-preserving"):
        Hybrid()(model, x, torch.tensor([1.0, 2.0, 3.0]), x)
    with pytest.raises(ValueError, match=r"network\.variance"):
        parse({"network": {"variance": 1}})
    assert DiT(1, 8, width=8, depth=1, outputs=2)(torch.ones(2, 1, 8, 8), torch.ones(2)).shape == (2, 2, 8, 8)

"""Losses and noise levels: at the true score of Gaussian data every loss has its closed form and no gradient, by
quadrature."""

from __future__ import annotations

import dataclasses
import inspect
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtr
from torch import Tensor

from scoresde import EDM, VESDE, VPSDE, X0, CosineVP, Denoiser, Eps, RectifiedFlow, Score, SubVPSDE, V, ddpm, exact
from scoresde.evaluation.elbo import gaussian_bound
from scoresde.training.cross_entropy import CrossEntropy
from scoresde.training.evidence import ELBO
from scoresde.training.losses import (
    DSM,
    ChainBound,
    FlowMatching,
    Hybrid,
    KarrasWeighted,
    Loss,
    MaximumLikelihood,
    MinSNR,
    PlainV,
    PlainX0,
    Regression,
)
from scoresde.training.noise_levels import Importance, LogitNormal, LogNormal, NoiseLevels, Uniform, stratified
from scoresde.training.norms import Absolute, Huber, Norm, Square
from scoresde.training.sliced import Sliced, signs
from solvers import SeededNoise
from tests.helpers.parameterised import Net
from tests.helpers.problems import F64, classes

VP = VPSDE()
CHAIN = ddpm.linear(40)
MEAN, VAR = 1.0, 0.25
NORMS = [Square(), Absolute(), Huber(0.7)]
EACH = [
    cls for cls in classes(Loss, "scoresde") if not inspect.isabstract(cls) and cls not in (Hybrid, CrossEntropy, ELBO)
]  # of two heads: test_variance; of a classifier: test_classifier
LOSSES = [
    cls(**more)
    for cls in EACH
    for more in ([{"norm": norm} for norm in NORMS] if issubclass(cls, Regression) else [{}])
]
PROCESSES = [VP, SubVPSDE(), VESDE(), CosineVP(), EDM(), RectifiedFlow(), CHAIN]


def gaussian(
    process, loss: Loss, lam: float, a: float = 1.0, b: float = 0.0
) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
    """E loss over data N(MEAN, VAR) at one level by quadrature, for s = -A (x - B) with A = a/V, B = b + alpha MEAN;
    then (A, B) and t.

    Nodes stand in x and in z = (eps - E[eps|x])/std: Gauss-Hermite in x, an even trapezoid in z, so that kinks at z =
    0 are met from both sides."""
    t = process.time(torch.tensor(lam, dtype=F64))
    at = (
        (1 + ((t - CHAIN.t_min) / (1 - CHAIN.t_min) * CHAIN.steps).floor()) / CHAIN.steps
        if isinstance(loss, ChainBound)
        else t
    )
    alpha, sigma = process.alpha(at), process.sigma(at)
    total = alpha**2 * VAR + sigma**2
    x_nodes, x_weights = np.polynomial.hermite_e.hermegauss(6)
    z_nodes = np.linspace(-9, 9, 3600)
    weights = torch.from_numpy(
        np.outer(x_weights / x_weights.sum(), stats.norm.pdf(z_nodes) * (z_nodes[1] - z_nodes[0])).ravel()
    )
    centred = total.sqrt() * torch.from_numpy(np.repeat(x_nodes, 3600)).reshape(-1, 1)
    eps = sigma / total * centred + (alpha**2 * VAR / total).sqrt() * torch.from_numpy(np.tile(z_nodes, 6)).reshape(
        -1, 1
    )
    x0 = (centred + alpha * MEAN - sigma * eps) / alpha
    A, B = (a / total).clone().requires_grad_(), (b + alpha * MEAN).clone().requires_grad_()
    model = Denoiser.from_score(lambda x, time: -A * (x - B), process)
    return (weights * loss(model, x0, t.expand(len(x0)), eps)).sum(), (A, B), t


def possible(process, loss: Loss) -> bool:
    return process is CHAIN or not isinstance(loss, ChainBound)


PAIRS = [(process, loss) for process in PROCESSES for loss in LOSSES if possible(process, loss)]


@pytest.mark.parametrize(("process", "loss"), PAIRS, ids=lambda v: repr(v))
def test_the_gradient_vanishes_at_the_true_score(process, loss):
    """Every loss there is: zero at A = 1/V, B = alpha MEAN, and only there."""
    value, parameters, _ = gaussian(process, loss, 0.5)
    here = torch.stack(torch.autograd.grad(value, parameters))
    value, parameters, _ = gaussian(process, loss, 0.5, a=1.1, b=0.1)
    off = torch.stack(torch.autograd.grad(value, parameters))
    assert bool((here.abs() < 1e-10).all())
    assert bool((off.abs() > 1e-2).all())


def eps_factor(loss: Regression, process, t: Tensor) -> Tensor:
    """Size of the loss's residual for a residual of 1 in eps."""
    ratio = process.sigma(t) / process.alpha(t)
    return {
        DSM: 1.0,
        MaximumLikelihood: 1.0,
        KarrasWeighted: ratio,
        MinSNR: ratio,
        PlainX0: ratio,
        PlainV: (1 + ratio**2).sqrt(),
        FlowMatching: 1 + ratio,
    }[type(loss)]


def weight(loss: Regression, process, t: Tensor) -> Tensor:
    """w(t), written anew: the rate of lam by autograd."""
    snr, time = (process.alpha(t) / process.sigma(t)) ** 2, t.clone().requires_grad_()
    (rate,) = torch.autograd.grad(process.lam(time), time)
    one = torch.tensor(1.0, dtype=F64)
    return {
        MaximumLikelihood: (process.t_max - process.t_min) * rate.abs(),
        KarrasWeighted: (1 / snr + 0.25) / (0.25 / snr),
        MinSNR: torch.minimum(snr, 5 * one),
    }.get(type(loss), one)


def expected(norm: Norm, std: float) -> float:
    """E rho(std z), z standard normal."""
    if isinstance(norm, Square):
        return std**2
    if isinstance(norm, Absolute):
        return std * math.sqrt(2 / math.pi)
    assert isinstance(norm, Huber)
    c = norm.delta / std
    inside = std**2 * (2 * ndtr(c) - 1 - 2 * c * stats.norm.pdf(c))
    outside = 2 * norm.delta * (2 * std * stats.norm.pdf(c) - norm.delta * ndtr(-c))
    return inside + outside


@pytest.mark.parametrize(
    ("process", "loss"), [pair for pair in PAIRS if isinstance(pair[1], Regression)], ids=lambda v: repr(v)
)
@pytest.mark.parametrize("lam", [2.0, -1.0])
def test_the_value_at_the_true_score_is_the_closed_form(process, loss, lam):
    """Sampling: the residual of eps is normal with the posterior's variance alpha^2 v/(alpha^2 v +
    sigma^2)."""
    value, _, t = gaussian(process, loss, lam)
    alpha, sigma = process.alpha(t), process.sigma(t)
    std = (alpha**2 * VAR / (alpha**2 * VAR + sigma**2)).sqrt() * eps_factor(loss, process, t)
    want = weight(loss, process, t) * expected(loss.norm, std.item())
    torch.testing.assert_close(value.detach(), want, rtol=1e-10 if isinstance(loss.norm, Square) else 1e-5, atol=1e-14)


@pytest.mark.parametrize("t", [0.05, 0.3, 0.8])
def test_the_value_by_sampling(t: float):
    """E|sigma s + eps|^2 = sum alpha^2 lam / v. One million draws; |z| < 5 fails by chance once in 1.7
    million."""
    n = 1_000_000
    mean, var = torch.tensor([1.0, -0.5, 2.0], dtype=F64), torch.tensor([0.25, 1.0, 4.0], dtype=F64)
    z = SeededNoise(3).normal(6, range(2), (n, 3), F64)
    losses = DSM()(exact.Gaussian(mean, var, VP), mean + z[0] * var.sqrt(), torch.tensor(t, dtype=F64), z[1])
    alpha2, sigma2 = VP.alpha(t) ** 2, VP.sigma(t) ** 2
    assert abs(losses.mean() - (alpha2 * var / (alpha2 * var + sigma2)).sum()) < 5 * losses.std() / math.sqrt(n)


def hermite(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """(weights, x0, eps) over data N(MEAN, VAR) and standard noise, exact for polynomials below degree 2n; columns."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    w = torch.from_numpy(np.outer(weights, weights).ravel() / weights.sum() ** 2)
    return (
        w,
        MEAN + math.sqrt(VAR) * torch.from_numpy(np.repeat(nodes, n)).reshape(-1, 1),
        torch.from_numpy(np.tile(nodes, n)).reshape(-1, 1),
    )


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_sliced_agrees_with_denoising(process):
    """Stein's identity for a cubic score far from the truth: equal value and gradient in the parameters, by exact
    quadrature."""
    w, x0, eps = hermite(8)
    t = torch.full((len(w),), 0.3 * process.t_max, dtype=F64)
    p = torch.tensor([0.3, -0.2, 0.05], dtype=F64, requires_grad=True)
    model = Denoiser(lambda x, time: p[0] + p[1] * x + p[2] * x**3, process)
    pair = [(w * loss(model, x0, t, eps)).sum() for loss in (DSM(), Sliced(), Sliced(probes=3))]
    gradients = [torch.autograd.grad(value, p)[0] for value in pair]
    for value, gradient in zip(pair[1:], gradients[1:], strict=True):
        torch.testing.assert_close(value, pair[0], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_probes_are_signs_with_unit_covariance_and_no_memory_of_eps(dtype):
    """+-1; means, products of any two elements or probes, and products with eps vanish: 5.5 standard errors of 20 000
    draws, for 300 sums (1e-5)."""
    n, shape = 20_000, (2, 3)
    eps = SeededNoise(5).normal(6, range(1), (n, *shape), F64)[0].to(dtype)
    v = signs(eps, 2)
    assert v.shape == (2, n, *shape)
    assert v.dtype == dtype
    assert bool((v.abs() == 1).all())
    assert torch.equal(v, signs(eps, 2))
    assert torch.equal(v[:, 7:9], signs(eps[7:9], 2))
    rows = v.transpose(0, 1).reshape(n, 12).double()
    table = torch.cat([rows, torch.ones(n, 1), eps.reshape(n, 6).double()], 1)
    moments = rows.T @ table / n - torch.eye(12, 19)
    assert moments.abs().max() < 5.5 / math.sqrt(n)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not isinstance(loss, ChainBound)], ids=repr)
def test_the_loss_does_not_depend_on_the_parameterisation(loss):
    """One score predicted as eps, x0, v or score has one loss."""
    t = torch.linspace(0.2, 0.8, 6, dtype=F64)
    x0, eps = SeededNoise(2).normal(6, range(2), (6, 3), F64)
    values = [loss(Denoiser(Net(VP, type(table)), VP, table), x0, t, eps) for table in (Eps(), X0(), V(), Score())]
    for other in values[1:]:
        torch.testing.assert_close(other, values[0], rtol=1e-12, atol=1e-12)


def test_the_chain_bound_averages_to_the_whole_bound():
    """Over all levels and the quadrature nodes of Gaussian data, the mean of the terms is L_T + sum L_i + L_0 in
    closed form."""
    w, x0, eps = hermite(4)
    truth = exact.Gaussian(torch.tensor([MEAN]), VAR, CHAIN)
    t = CHAIN.t_min + (CHAIN.t_max - CHAIN.t_min) * (torch.arange(CHAIN.steps, dtype=F64) + 0.5) / CHAIN.steps
    value = sum((w * ChainBound()(truth, x0, s.expand(len(w)), eps)).sum() for s in t) / CHAIN.steps
    assert value.item() == pytest.approx(
        sum(gaussian_bound(CHAIN, torch.tensor([MEAN], dtype=F64), torch.tensor([VAR], dtype=F64))), rel=1e-10
    )


@pytest.mark.parametrize(
    "process", [VP, SubVPSDE(), VESDE(), CosineVP(), EDM(), RectifiedFlow(t_max=0.99), CHAIN], ids=repr
)
def test_maximum_likelihood_is_the_information_gained(process):
    """Over Importance levels, at the true score: int lam' v e^{2 lam}/(1 + v e^{2 lam}) = half the gain in log(1 + v
    SNR), whatever the schedule."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    t, weight = Importance()(torch.from_numpy(0.5 * nodes + 0.5), process)
    truth, (w, x0, eps) = exact.Gaussian(torch.tensor([MEAN]), VAR, process), hermite(2)
    values = torch.stack([(w * MaximumLikelihood()(truth, x0, s.expand(len(w)), eps)).sum() for s in t])
    got = (torch.from_numpy(0.5 * weights) * weight * values).sum()
    ends = torch.tensor([process.t_noise, process.t_data], dtype=F64)
    gain = torch.log1p(VAR * torch.exp(2 * process.lam(ends)))
    torch.testing.assert_close(got, 0.5 * (gain[1] - gain[0]), rtol=1e-8, atol=0)


# -- levels
# ----------------------------------------------------------------------------------------------------------------

DISTRIBUTIONS = [cls() for cls in classes(NoiseLevels, "scoresde") if not inspect.isabstract(cls)]


@pytest.mark.parametrize(
    ("levels", "process"),
    [
        (d, p)
        for d in DISTRIBUTIONS
        for p in PROCESSES
        if (d, p) not in ((LogitNormal(), EDM()), (Importance(), RectifiedFlow()))
    ],
    ids=repr,
)
def test_levels_are_monotone_inside_the_range(levels, process):
    """Quantile functions: monotone in u and inside [t_min, t_max]."""
    u = torch.linspace(1e-9, 1 - 1e-9, 999, dtype=F64)
    t, weight = levels(u, process)
    assert t.shape == weight.shape == u.shape
    assert bool((t >= process.t_min).all() & (t <= process.t_max).all())
    assert bool((t.diff() >= 0).all())
    assert len(t.unique()) > 990
    assert bool((weight > 0).all())


@pytest.mark.parametrize("process", [VP, EDM(), RectifiedFlow()], ids=repr)
def test_log_normal_levels_are_the_truncated_normal(process):
    """Against SciPy's truncated normal in log(sigma/alpha)."""
    u = torch.linspace(0.001, 0.999, 101, dtype=F64)
    t, weight = LogNormal(-0.4, 1.0)(u, process)
    low, high = (-process.lam(torch.tensor(end, dtype=F64)).item() for end in (process.t_min, process.t_max))
    want = stats.truncnorm.ppf(u.numpy(), (low + 0.4) / 1.0, (high + 0.4) / 1.0, -0.4, 1.0)
    np.testing.assert_allclose(-process.lam(t).numpy(), want, rtol=0, atol=1e-9)
    assert torch.equal(weight, torch.ones_like(u))


def test_logit_normal_is_log_normal_along_straight_paths():
    """Where sigma/alpha = t/(1 - t) both are one distribution; elsewhere the logit of t is the normal one."""
    u, flow = torch.linspace(0.001, 0.999, 101, dtype=F64), RectifiedFlow()
    torch.testing.assert_close(LogitNormal(0.3, 0.8)(u, flow)[0], LogNormal(0.3, 0.8)(u, flow)[0], rtol=1e-12, atol=0)
    want = stats.truncnorm.ppf(u.numpy(), (math.log(1e-3 / 0.999) - 0.3) / 0.8, math.inf, 0.3, 0.8)
    np.testing.assert_allclose(torch.logit(LogitNormal(0.3, 0.8)(u, VP)[0]).numpy(), want, atol=1e-9)
    with pytest.raises(ValueError, match=r"`process` must have t in \[0, 1\]"):
        LogitNormal()(u, EDM())


@pytest.mark.parametrize("process", [VP, SubVPSDE(), VESDE(), CosineVP(), EDM(t_min=0.1, t_max=3.0)], ids=repr)
def test_importance_weights_give_uniform_means(process):
    """E[weight f(t)] over Importance is E f(t) over Uniform, and weight * MaximumLikelihood is the range of lam times
    DSM."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    u, w = torch.from_numpy(0.5 * nodes + 0.5), torch.from_numpy(0.5 * weights)
    t, weight = Importance()(u, process)
    for f in (torch.ones_like, lambda t: t / process.t_max, lambda t: (3 * t / process.t_max).cos()):
        got, want = (w * weight * f(t)).sum(), (w * f(Uniform()(u, process)[0])).sum()
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    x0, eps = SeededNoise(2).normal(6, range(2), (400, 3), F64)
    model = Denoiser(lambda x, time: x.tanh(), process)
    span = abs(process.lam(process.t_min) - process.lam(process.t_max))
    torch.testing.assert_close(
        weight * MaximumLikelihood()(model, x0, t, eps), span * DSM()(model, x0, t, eps), rtol=1e-9, atol=0
    )


def test_uniforms_are_spread_over_the_batch():
    """One in every cell, so that the mean of a linear function has variance 1/(12 B^3); 4000 batches, standard error
    of it 2.2 %."""
    u = SeededNoise(0).uniform(5, range(4000), (64, 1))[..., 0]
    spread = torch.stack([stratified(row) for row in u])
    assert torch.equal((spread * 64).floor(), torch.arange(64.0, dtype=F64).expand(4000, -1))
    assert spread.mean(1).var() == pytest.approx(1 / (12 * 64**3), rel=0.12)
    u = u[0]
    t, weight = Uniform()(stratified(u), VP)
    assert torch.equal(t, VP.t_min + (VP.t_max - VP.t_min) * stratified(u))
    assert weight.unique().tolist() == [1.0]


# -- edges
# -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not isinstance(loss, ChainBound)], ids=repr)
def test_images_in_single_precision(loss):
    """(B, C, H, W) in float32 with float64 times: one float32 number per sample, each that of the sample alone, with a
    gradient for the network."""
    x0, eps = SeededNoise(4).normal(6, range(2), (3, 2, 4, 4), torch.float32)
    gain = torch.tensor(0.5, requires_grad=True)
    model = Denoiser(lambda x, time: gain * x.sin(), VP)
    t = torch.tensor([0.2, 0.5, 0.9], dtype=F64)
    losses = loss(model, x0, t, eps)
    assert losses.shape == (3,)
    assert losses.dtype == torch.float32
    alone = torch.cat([loss(model, x0[i : i + 1], t[i : i + 1], eps[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(losses, alone, rtol=1e-5, atol=1e-5)
    losses.sum().backward()
    assert gain.grad.isfinite()
    assert gain.grad != 0


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_loss_is_a_value(loss):
    """Frozen, hashable, equal to its like."""
    again = dataclasses.replace(loss)
    assert again == loss
    assert hash(again) == hash(loss)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.norm = Square()


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: Huber(0.0), ValueError, "delta"),
        (lambda: KarrasWeighted(-1.0), ValueError, "sigma_data"),
        (lambda: MinSNR("5"), TypeError, "gamma"),
        (lambda: MinSNR(norm=abs), TypeError, "norm"),
        (lambda: DSM(norm="l1"), TypeError, "norm"),
        (lambda: Sliced(probes=0), ValueError, "probes"),
        (lambda: Sliced(probes=1.0), TypeError, "probes"),
        (lambda: LogNormal(std=0.0), ValueError, "std"),
        (lambda: LogitNormal(mean=math.nan), ValueError, "mean"),
        (lambda: Importance()(torch.full((2,), 0.5, dtype=F64), RectifiedFlow()), ValueError, "process"),
        (
            lambda: DSM()(exact.Gaussian(torch.zeros(1), 1.0), torch.ones(2, 1), torch.tensor(0.5), torch.ones(2, 1)),
            ValueError,
            "denoiser",
        ),
        (
            lambda: ChainBound()(
                exact.Gaussian(torch.zeros(1), 1.0, VP), torch.ones(2, 1), torch.tensor(0.5), torch.ones(2, 1)
            ),
            TypeError,
            "denoiser",
        ),
    ],
)
def test_bad_values_are_named(call, error, name):
    with pytest.raises(error, match=f"`{name}`"):
        call()

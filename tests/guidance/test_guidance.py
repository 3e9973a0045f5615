"""Guidance against closed forms on Gaussians, and laws that every guided denoiser keeps."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scoresde import VPSDE, X0, Denoiser, RectifiedFlow, catalogue, exact, guidance, sample
from scoresde.networks.mlp import MLP
from scoresde.runtime.torch_state import seeded
from scoresde.samplers.ranges import method_levels
from scoresde.samplers.transport import transport
from tests.helpers.problems import F64

VP = VPSDE()
MIX = exact.GaussianMixture(
    torch.tensor([[0.0], [1.5]], dtype=F64), torch.tensor([1.0, 0.25], dtype=F64), torch.tensor([0.5, 0.5]).double(), VP
)


class Pair(nn.Module):
    """x0 of N(0, 1) without a label, of N(1.5, 0.25) with one; it keeps count of what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.plain = exact.Gaussian(torch.zeros(1, dtype=F64), 1.0)
        self.classed = exact.Gaussian(torch.full((1,), 1.5, dtype=F64), 0.25)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        self.asked.append(len(x))
        alpha, sigma = VP.alpha(t), VP.sigma(t)
        classed = self.classed(x, alpha, sigma).x0
        return torch.where(cond.reshape(-1, 1) >= 0, classed, self.plain(x, alpha, sigma).x0)


def model() -> Denoiser:
    return Denoiser(Pair(), VP, X0())


GOLDEN = {
    0.0: (0.0, 0.9999568143),
    0.5: (0.9158808886, 0.5000689532),
    1.0: (1.4949879573, 0.2500797579),
    2.0: (2.0653522309, 0.0625425862),
    4.0: (2.2740635508, 0.0039117440),
    8.0: (2.1448624039, 0.0000153024),
}


@pytest.mark.parametrize("scale", GOLDEN)
def test_the_guided_flow_of_a_gaussian_is_the_closed_form(scale: float) -> None:
    """Affine: two starts say mean and standard deviation at the end. rtol 1e-9 gives 1e-7."""
    guided = guidance.ClassifierFree(model(), scale)
    sigma = float(VP.sigma(torch.tensor(1.0, dtype=F64)))
    starts = torch.tensor([[0.0], [sigma]], dtype=F64)
    ends = transport(
        guided, starts, catalogue.probability_flow(1e-10, atol=1e-12), VP, 1.0, 1e-3, cond=torch.zeros(2).long()
    ).y
    mean, variance = GOLDEN[scale]
    assert float(ends[0]) == pytest.approx(mean, abs=1e-7)
    assert float(ends[1] - ends[0]) ** 2 == pytest.approx(variance, rel=1e-6)


def test_calls_are_counted_truly() -> None:
    """Scale 1 and levels outside the interval cost one network evaluation a sample, the rest two in one batch."""
    denoiser = model()
    network: Any = denoiser.network

    def asked(**options: Any) -> list[int]:
        network.asked.clear()
        scale = options.pop("scale", 2.0)
        sample(guidance.ClassifierFree(denoiser, scale, **options), (3, 1), catalogue.ddim(4), cond=0)
        return list(network.asked)

    calls = len(asked(scale=1.0))
    assert asked(scale=1.0) == [3] * calls
    assert asked() == [6] * calls
    assert asked(batched=False) == [3] * 2 * calls
    levels = method_levels(denoiser, catalogue.ddim(4))
    inside = asked(interval=(float(levels[1]) - 0.01, float(levels[2]) + 0.01))
    assert sorted(inside) == [3] * (calls - 2) + [6] * 2


@pytest.mark.parametrize("scale", [0.0, 0.7, 3.0])
def test_forms_of_a_scale_are_one(scale: float) -> None:
    forms = (
        scale,
        torch.full((5,), scale, dtype=F64),
        lambda lam: scale,
        lambda lam: torch.as_tensor(scale, dtype=F64) + 0 * lam,
    )
    drawn = [
        sample(guidance.ClassifierFree(model(), form), (5, 1), catalogue.unipc(5), cond=1, dtype=F64) for form in forms
    ]
    for x in drawn[1:]:
        torch.testing.assert_close(x, drawn[0], rtol=1e-9, atol=1e-9)


def test_each_sample_has_its_scale() -> None:
    scales = torch.tensor([0.5, 1.0, 4.0])
    together = sample(guidance.ClassifierFree(model(), scales), (3, 1), catalogue.ddim(6), cond=0)
    for i, scale in enumerate(scales.tolist()):
        alone = sample(guidance.ClassifierFree(model(), scale), (1, 1), catalogue.ddim(6), cond=0, first=i)
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize(
    "method", [catalogue.ddim(5), catalogue.ddpm(5), catalogue.edm_heun(3), catalogue.best(5)], ids=repr
)
def test_scale_one_is_the_model(method: Any) -> None:
    """Of every way to guide, with any method, to rounding."""
    plain = model()
    label = torch.zeros(4).long()
    wanted = sample(plain, (4, 1), method, cond=label)

    for guided in (
        guidance.ClassifierFree(plain, 1.0),
        guidance.APG(plain, 1.0),
        guidance.CFGZeroStar(plain, 1.0),
        guidance.AutoGuidance(plain, model(), 1.0),
        guidance.Clip(plain, -100.0, 100.0),
        guidance.DynamicThreshold(plain, 1.0, 100.0),
        guidance.Embedding(plain, lambda x: x, torch.ones(1), 0.0),
    ):
        torch.testing.assert_close(sample(guided, (4, 1), method, cond=label), wanted)


def test_projected_guidance_without_projection_is_the_ordinary() -> None:
    x, a, s = torch.randn(4, 1, dtype=F64), torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    label = torch.zeros(4).long()
    ordinary = guidance.ClassifierFree(model(), 3.0)(x, a, s, label).x0
    torch.testing.assert_close(guidance.APG(model(), 3.0, eta=1.0)(x, a, s, label).x0, ordinary)


def test_projection_on_nothing_is_nothing() -> None:
    """Where the conditional x0 is 0 no direction is parallel to it: the whole difference counts."""
    means = torch.tensor([[1.0], [-1.0], [3.0]], dtype=F64)
    model = exact.Labelled(exact.GaussianMixture(means, 0.1), torch.tensor([0, 0, 1]))
    x, a, s = torch.zeros(2, 1, dtype=F64), torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    label = torch.zeros(2).long()
    assert model(x, a, s, label).x0.abs().max() == 0
    ordinary = guidance.ClassifierFree(model, 3.0)(x, a, s, label).x0
    torch.testing.assert_close(guidance.APG(model, 3.0, eta=0.0)(x, a, s, label).x0, ordinary)


def test_momentum_is_the_running_average_of_the_paper() -> None:
    """d_t + beta (d_(t-1) + beta ...), over falling levels; anew where they rise."""
    label = torch.zeros(4).long()
    guided = guidance.APG(model(), 3.0, eta=1.0, momentum=-0.6)
    levels = [(0.3, 0.95), (0.6, 0.8), (0.8, 0.6)]

    for _ in range(2):
        average = torch.zeros(4, 1, dtype=F64)
        for alpha, sigma in levels:
            x = torch.randn(4, 1, dtype=F64)
            a, s = torch.tensor(alpha, dtype=F64), torch.tensor(sigma, dtype=F64)
            toward, base = (guidance.ClassifierFree(model(), w)(x, a, s, label).x0 for w in (1.0, 0.0))
            average = toward - base - 0.6 * average
            torch.testing.assert_close(guided(x, a, s, label).x0, toward + 2 * average)

    torch.testing.assert_close(*(sample(guided, (4, 1), catalogue.ddim(5), cond=label) for _ in range(2)))


def test_zero_star_is_its_formula() -> None:
    """On (8, 3) numbers, against the paper's three lines written out; no move where lam is low."""
    network = nn.Linear(3, 3).double()
    denoiser = Denoiser(lambda x, t, cond: network(x) + cond.reshape(-1, 1), RectifiedFlow(), X0())
    a, s = torch.tensor(0.3, dtype=F64), torch.tensor(0.7, dtype=F64)
    x = torch.randn(8, 3, dtype=F64)
    cond = torch.rand(8, dtype=F64) + 1
    u_null = denoiser(x, a, s, 0 * cond).velocity
    u = denoiser(x, a, s, cond).velocity
    fit = (u * u_null).sum(1, keepdim=True) / (u_null * u_null).sum(1, keepdim=True)
    wanted = fit * u_null + 2.5 * (u - fit * u_null)
    torch.testing.assert_close(guidance.CFGZeroStar(denoiser, 2.5)(x, a, s, cond).velocity, wanted)
    still = guidance.CFGZeroStar(denoiser, 2.5, zero_below=0.0)(x, a, s, cond)
    torch.testing.assert_close(still.velocity, torch.zeros_like(x), rtol=0, atol=1e-12)


def test_plus_plus_is_its_recursion() -> None:
    """DDIM with x0 of the guided and eps of the unconditional branch, written out."""
    method = catalogue.ddim(6)
    denoiser = model()
    levels = method_levels(denoiser, method)
    guided = guidance.ClassifierFree(denoiser, guidance.plus_plus(0.6, levels))
    z = torch.randn(5, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(5).long()
    t = VP.time(levels)
    x = z * VP.sigma(t[0])
    state = x.clone()

    for t0, t1 in pairwise(t):
        null = denoiser(state, VP.alpha(t0), VP.sigma(t0), label - 1)
        cond = denoiser(state, VP.alpha(t0), VP.sigma(t0), label)
        state = VP.alpha(t1) * torch.lerp(null.x0, cond.x0, 0.6) + VP.sigma(t1) * null.eps

    got = x
    for t0, t1 in pairwise(t):
        there = guided(got, VP.alpha(t0), VP.sigma(t0), label)
        got = VP.alpha(t1) * there.x0 + VP.sigma(t1) * there.eps

    torch.testing.assert_close(got, state, rtol=1e-9, atol=1e-9)


def test_a_classifier_leads_by_bayes() -> None:
    """With the exact log p(c | x_t) at scale 1 it is the class' own denoiser."""
    labelled = exact.Labelled(MIX, torch.tensor([0, 1]))

    def log_prob(x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        return labelled.of(1).log_prob(x, alpha, sigma) - MIX.log_prob(x, alpha, sigma)

    guided = guidance.Classifier(MIX, log_prob)
    x, a, s = torch.randn(6, 1, dtype=F64), torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    torch.testing.assert_close(guided(x, a, s).x0, labelled.of(1)(x, a, s).x0, rtol=1e-10, atol=1e-10)
    alone = sample(labelled, (6, 1), catalogue.ddim(8), cond=torch.ones(6).long())
    torch.testing.assert_close(sample(guided, (6, 1), catalogue.ddim(8)), alone, rtol=1e-6, atol=1e-6)


def test_a_classifier_that_knows_no_noise_is_told_of() -> None:
    guided = guidance.Classifier(MIX, lambda x, alpha, sigma, cond: -x.square().sum(1))
    with pytest.warns(UserWarning, match="does not know the noise level"):
        sample(guided, (2, 1), catalogue.ddim(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample(guided, (2, 1), catalogue.ddim(3))  # once is enough


@pytest.mark.parametrize("on", ["x0", "x"])
def test_an_embedding_leads_along_its_gradient(on: str) -> None:
    """The linear encoder has the gradient target, through x0 times d x0/dx: here a known number."""
    single = exact.Gaussian(torch.zeros(2, dtype=F64), 0.5)
    target = torch.tensor([1.0, -2.0], dtype=F64)
    a, s = torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    x = torch.randn(3, 2, dtype=F64)
    slope = 0.6 * 0.5 / (0.36 * 0.5 + 0.64) if on == "x0" else 1.0
    guided = guidance.Embedding(single, lambda x: x, target, 3.0, on=on)(x, a, s)
    torch.testing.assert_close(guided.x0, single(x, a, s).x0 + 3.0 * (0.64 / 0.6) * slope * target)


def test_rescaled_samples_have_the_conditional_spread() -> None:
    network = nn.Linear(3, 3).double()
    denoiser = Denoiser(lambda x, t, cond: network(x) + cond.reshape(-1, 1) * x, VP, X0())
    x, a, s = torch.randn(5, 3, dtype=F64), torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    cond = torch.ones(5, dtype=F64)
    wanted = denoiser(x, a, s, cond).x0.std(1, correction=0)
    guided = guidance.ClassifierFree(denoiser, 4.0, rescale=1.0)(x, a, s, cond)
    torch.testing.assert_close(guided.x0.std(1, correction=0), wanted)
    torch.testing.assert_close(a * guided.x0 + s * guided.eps, x)


def test_bounds_hold() -> None:
    a, s = torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    wide = exact.Gaussian(torch.zeros(50, dtype=F64), 25.0)
    x = torch.randn(4, 50, dtype=F64) * 5
    assert float(guidance.Clip(wide)(x, a, s).x0.abs().max()) <= 1 + 1e-12
    assert float(guidance.DynamicThreshold(wide)(x, a, s).x0.abs().max()) <= 1 + 1e-12


def test_they_compose() -> None:
    """Thresholded autoguidance of a classifier-free pair, along an adaptive flow, is finite and within its bounds."""
    pair = guidance.ClassifierFree(model(), 3.0)
    whole = guidance.Clip(guidance.AutoGuidance(pair, model(), 2.0), -4.0, 4.0)
    x = sample(whole, (4, 1), catalogue.probability_flow(1e-3), cond=torch.zeros(4).long())
    assert float(x.abs().max()) <= 4 + 1e-5


BAD: dict[str, tuple[Any, str]] = {
    "nan": (lambda: guidance.ClassifierFree(model(), float("nan")), "`scale` must"),
    "negative": (lambda: guidance.ClassifierFree(model(), -1.0), "`scale` must"),
    "negative one": (lambda: guidance.ClassifierFree(model(), torch.tensor([1.0, -1.0])), "`scale` must"),
    "shape": (lambda: guidance.ClassifierFree(model(), torch.ones(2, 2)), "`scale` must"),
    "batch": (
        lambda: sample(guidance.ClassifierFree(model(), torch.ones(3) * 2), (4, 1), catalogue.ddim(2), cond=0),
        "`scale` must .* got 3 for a batch of 4",
    ),
    "interval": (lambda: guidance.ClassifierFree(model(), 2.0, interval=(1.0, -1.0)), "`interval` must rise"),
    "interval type": (lambda: guidance.ClassifierFree(model(), 2.0, interval=3.0), "`interval` must be two"),
    "rescale": (lambda: guidance.ClassifierFree(model(), 2.0, rescale=2.0), "`rescale` must"),
    "one number": (
        lambda: sample(guidance.ClassifierFree(model(), 2.0, rescale=0.5), (2, 1), catalogue.ddim(2), cond=0),
        "`rescale` must be 0",
    ),
    "no condition": (lambda: sample(guidance.ClassifierFree(model(), 2.0), (2, 1), catalogue.ddim(2)), "`cond` must"),
    "null": (
        lambda: sample(guidance.ClassifierFree(model(), 2.0, null=3), (2, 1), catalogue.ddim(2), cond=3),
        "`null` must differ",
    ),
    "no labels": (
        lambda: guidance.ClassifierFree(Denoiser(lambda x, t: x, VP), 2.0),
        "`denoiser` must take a condition",
    ),
    "no denoiser": (lambda: guidance.ClassifierFree(lambda x, t: x, 2.0), "`denoiser` must be a denoiser"),
    "no weak": (lambda: guidance.AutoGuidance(model(), "weak", 2.0), "`weak` must be a denoiser"),
    "clip": (lambda: guidance.Clip(model(), 1.0, 1.0), "`high` must"),
    "quantile": (lambda: guidance.DynamicThreshold(model(), 0.0), "`quantile` must"),
    "on": (lambda: guidance.Embedding(model(), lambda x: x, torch.ones(1), on="eps"), "`on` must"),
    "log_prob": (lambda: guidance.Classifier(model(), lambda x: x), "`log_prob` must"),
    "log_prob's shape": (
        lambda: sample(guidance.Classifier(MIX, lambda x, a, s, c: x), (2, 1), catalogue.ddim(2)),
        "`log_prob` must return one number a sample",
    ),
    "no gradient": (
        lambda: sample(guidance.Classifier(MIX, lambda x, a, s, c: torch.zeros(len(x))), (2, 1), catalogue.ddim(2)),
        "`log_prob` must be differentiable",
    ),
    "function": (
        lambda: sample(guidance.ClassifierFree(model(), lambda lam: -3.0), (2, 1), catalogue.ddim(2), cond=0),
        "`scale` must",
    ),
    "function's NaN": (
        lambda: sample(guidance.ClassifierFree(model(), lambda lam: float("nan")), (2, 1), catalogue.ddim(2), cond=0),
        "`scale` must",
    ),
    "interval's text": (lambda: guidance.ClassifierFree(model(), 2.0, interval=("a", "b")), "`interval` must hold"),
    "zero_below": (lambda: guidance.CFGZeroStar(model(), 2.0, zero_below=float("nan")), "`zero_below` must"),
    "levels": (lambda: guidance.plus_plus(0.5, [1.0, 2.0]), "`levels` must be a torch.Tensor"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        call()


@pytest.mark.slow
def test_guided_steps_compile() -> None:
    """One graph a step, and the eager answer to rounding, with an interval and around each other too."""
    with seeded(0):
        network = MLP(2, 32, 2, classes=3)

    plain = Denoiser(network, VP, time=lambda lam: 1000 * VP.time(lam))
    pair = guidance.ClassifierFree(plain, 2.0)

    for guided in (
        pair,
        guidance.ClassifierFree(plain, 2.0, interval=(-1.0, 2.0)),
        guidance.AutoGuidance(pair, plain, 1.5),
        guidance.Clip(plain),
    ):
        drawn = [sample(guided, (4, 2), catalogue.ddim(4), cond=1, compile=compile) for compile in (False, True)]
        torch.testing.assert_close(drawn[1], drawn[0], rtol=1e-4, atol=1e-4)

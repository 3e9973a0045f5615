"""Training: the loss has the score as its minimum, the average is the closed sum, a run is a function of its seed."""

from __future__ import annotations

import dataclasses
import math
import unittest.mock
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from scoresde import EDM, VPSDE, Denoiser, Eps, RectifiedFlow, exact
from scoresde.data.samples import Dataset
from scoresde.denoisers.denoiser import KarrasPreconditioning
from scoresde.evaluation.judge import frechet_gaussian
from scoresde.networks import MLP, DiT, UNet
from scoresde.runtime.torch_state import seeded
from scoresde.training import NonFiniteLossError, Objective, Training, fit
from scoresde.training.losses import DSM, FlowMatching, KarrasWeighted, Loss, MaximumLikelihood, MinSNR, PlainV, PlainX0
from scoresde.training.noise_levels import Importance, LogNormal, Uniform, stratified
from scoresde.training.norms import Huber
from scoresde.training.sliced import Sliced
from scoresde.training.state import average, begin, power_average
from solvers import SeededNoise

F64 = torch.float64
SDE = VPSDE()


def test_average_is_the_closed_sum() -> None:
    """W_n = d^n w_1 + (1 - d) sum d^(n-k) w_k; the first update copies."""
    with seeded(0):
        net = nn.Linear(3, 2).double()
    decay, history = 0.9, []
    ema = average(net, decay, ramp=False)
    draws = SeededNoise(1).normal(0, range(1), (100, 6), F64)[0]
    for row in draws:
        with torch.no_grad():
            net.weight.copy_(row.reshape(2, 3))
        ema.update()
        history.append(row.reshape(2, 3))
    expected = decay**99 * history[0] + (1 - decay) * sum(decay ** (99 - k) * w for k, w in enumerate(history) if k > 0)
    assert (ema.module.weight - expected).abs().max() < 1e-12


@pytest.mark.parametrize("width", [0.03, 0.1, 0.25])
def test_power_average_is_the_closed_sum_and_has_its_width(width: float) -> None:
    """The power function: weights (k^p - (k-1)^p)/n^p, whose standard deviation over n is the width asked
    for, to 1/n."""
    n = 1000
    with seeded(0):
        net = nn.Linear(1, n, bias=False).double()
    averaged = power_average(net, width)
    for k in range(n):  # step k sets the k-th weight to one: the average then holds each step's share
        with torch.no_grad():
            net.weight.copy_((torch.arange(n) == k).double().unsqueeze(1))
        averaged.update()
    share = averaged.module.weight.detach().flatten()
    at = torch.arange(1, n + 1, dtype=F64) / n
    mean = (share * at).sum()
    assert share.sum() == pytest.approx(1, abs=1e-12)
    assert ((share * (at - mean) ** 2).sum().sqrt() - width).abs() < 2 / n
    power = math.log(float(share.cumsum(0)[n // 2 - 1])) / math.log(0.5)
    assert (share - (at**power - (at - 1 / n) ** power)).abs().max() < 1e-12


class GaussianScore(nn.Module):
    """The eps of a Gaussian with unknown mean and covariance, linear in x."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))
        self.root = nn.Parameter(torch.eye(2))

    def forward(self, x: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
        t = SDE.time(lam)
        alpha, sigma = SDE.alpha(t).reshape(-1, 1), SDE.sigma(t).reshape(-1, 1)
        noisy = alpha.unsqueeze(-1) ** 2 * (self.root @ self.root.T) + sigma.unsqueeze(-1) ** 2 * torch.eye(2)
        return sigma * torch.linalg.solve(noisy, x - alpha * self.mean)


def test_linear_score_learns_a_gaussian() -> None:
    """W2 between the learned and the true law at most 0.05 after 2000 steps."""
    mean, cov = torch.tensor([0.5, -0.3], dtype=F64), torch.tensor([[0.6, 0.25], [0.25, 0.3]], dtype=F64)
    data = Dataset(exact.Gaussian(mean, cov).sample(20_000, seed=5).float())
    model = Denoiser(GaussianScore(), SDE, Eps(), time=lambda lam: lam)
    for _ in fit(model, data, Training(steps=2000, batch=256, lr=1e-2)):
        pass
    root = model.network.root.detach().double()
    w2 = math.sqrt(max(0.0, frechet_gaussian(model.network.mean.detach().double(), root @ root.T, mean, cov)))
    assert w2 < 0.05


def _points() -> Dataset:
    return Dataset(exact.Gaussian(torch.zeros(2), 1.0).sample(200, seed=1).float())


def _model(seed: int = 0) -> Denoiser:
    with seeded(seed):
        return Denoiser(MLP(2, 16, 2), SDE, time=lambda lam: 1000 * SDE.time(lam))


def test_a_run_is_a_function_of_its_seed_and_leaves_the_global_state() -> None:
    """Training: two runs are equal to the bit, another seed is not, torch's own generator does not
    move."""
    before = torch.get_rng_state()
    losses = [[p.loss for p in fit(_model(), _points(), Training(steps=5, batch=32, seed=seed))] for seed in (0, 0, 1)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    assert torch.equal(before, torch.get_rng_state())


def test_training_lowers_the_loss() -> None:
    """400 steps of the MLP on a mixture end well below where they start, and above the floor of the true score."""
    truth = exact.GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), 0.05, process=SDE)
    data = Dataset(truth.sample(2000, seed=2).float())
    losses = [p.loss for p in fit(_model(), data, Training(steps=400, batch=128))]
    x0, u = data.x.double(), SeededNoise(9).uniform(5, range(1), (2000, 1)).flatten()
    eps = SeededNoise(9).normal(6, range(1), (2000, 2), F64)[0]
    floor = DSM()(truth, x0, Uniform()(stratified(u), SDE)[0], eps).mean().item() / 2
    tail = sum(losses[-50:]) / 50
    assert floor * 0.9 < tail < 0.6 * losses[0]


def test_a_loss_that_is_not_finite_stops_before_the_weights() -> None:
    model = _model()
    bad = dataclasses.replace(_points())
    bad.x[7] = 1e38  # finite, so that it passes the data check; its square is not
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(NonFiniteLossError, match="step 1"):
        for _ in fit(model, bad, Training(steps=3, batch=200)):
            pass
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_of_a_batch_make_the_batch(accumulate: int) -> None:
    """64 at once or in parts, the same noise: losses, gradients and weights agree to 1e-6 in float64."""
    answers = []
    for parts in (1, accumulate):
        model = _model().double()
        state = begin(model.network, Training(steps=5, batch=64))
        data = Dataset(exact.Gaussian(torch.zeros(2), 1.0).sample(200, seed=1).double())
        steps = list(fit(model, data, Training(steps=5, batch=64, accumulate=parts), state))
        answers.append(
            (
                torch.tensor([[p.loss, p.grad_norm] for p in steps]),
                torch.cat([p.detach().flatten() for p in model.parameters()]),
            )
        )
    assert (answers[0][0] - answers[1][0]).abs().max() < 1e-6
    assert (answers[0][1] - answers[1][1]).abs().max() < 1e-6


@pytest.mark.parametrize(("accumulate", "batch"), [(3, 64), (65, 64)])
def test_a_batch_that_does_not_divide_is_refused(accumulate: int, batch: int) -> None:
    with pytest.raises(ValueError, match=f"`batch` must divide into 1 processes x {accumulate} parts"):
        next(fit(_model(), _points(), Training(batch=batch, accumulate=accumulate)))


@pytest.mark.parametrize(("precision", "close"), [("bfloat16", 0.1), ("float16", 0.02)])
def test_half_precision_stays_inside_the_network(precision: str, close: float) -> None:
    """Losses follow those in single precision; weights, average and optimiser stay single."""
    want = [p.loss for p in fit(_model(), _points(), Training(steps=20, batch=64))]
    model = _model()
    training = Training(steps=20, batch=64, precision=precision)
    state = begin(model.network, training)
    got = [p.loss for p in fit(model, _points(), training, state) if not p.skipped]
    assert len(got) >= 18
    assert got != want
    assert abs(sum(got) / len(got) - sum(want) / len(want)) < close
    assert {v.dtype for k, v in state.tensors().items() if k != "counts"} == {torch.float32}


def test_labels_reach_the_network_and_some_are_hidden() -> None:
    """The share hidden is that asked for, to 5 standard errors of 4000 draws; the rest are the labels of the
    samples."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Listening(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor, c: torch.Tensor, cond: Any = None) -> torch.Tensor:
            seen.append((x.detach(), cond))
            return self.scale * x

    centres = torch.tensor([[-9.0, 0.0], [0.0, 0.0], [9.0, 0.0]])
    labels = torch.arange(300) % 3
    data = Dataset(centres[labels], labels)
    model = Denoiser(Listening(), SDE)
    list(
        fit(
            model,
            data,
            Training(steps=20, batch=200, label_dropout=0.2),
            objective=Objective(levels=LogNormal(-4.0, 0.1)),
        )
    )
    x, cond = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert abs((cond == -1).double().mean() - 0.2) < 5 * math.sqrt(0.2 * 0.8 / 4000)
    kept = cond >= 0
    assert torch.equal((x[kept, 0] / 9).round().long() + 1, cond[kept])
    with pytest.raises(ValueError, match="`label_dropout`"):
        next(fit(model, _points(), Training(batch=8, label_dropout=0.1)))


EVERY = [
    DSM(),
    MaximumLikelihood(),
    KarrasWeighted(),
    MinSNR(),
    PlainX0(),
    PlainV(),
    FlowMatching(),
    Sliced(),
    DSM(norm=Huber()),
]


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_fit_minimises_what_it_is_given(loss: Loss) -> None:
    """Each step's loss is the objective at that step's draws, computed by hand; the weight of importance sampling is
    in it."""
    model, objective = _model(), Objective(loss, Importance())
    training = Training(steps=1, batch=32)
    u = SeededNoise(0).uniform(5, range(1), (32, 2))[0, :, 0]
    t, weight = Importance()((torch.arange(32) + u) / 32, SDE)
    eps = SeededNoise(0).normal(6, range(1), (32, 2), torch.float32)[0]
    x0 = _points().batch(0, 32, 0)[0]
    want = (weight * loss(model, x0, t, eps).detach()).mean().item() / 2
    progress = next(fit(model, _points(), training, objective=objective))
    assert progress.loss == pytest.approx(want, rel=1e-5)
    assert torch.equal(progress.t, t)


def test_compiled_training_is_the_same() -> None:
    """torch.compile, here without code generation, sees the same draws and moves the same weights."""
    model, other = _model(), _model()
    list(fit(other, _points(), Training(steps=3, batch=32)))
    with unittest.mock.patch("torch.compile", partial(torch.compile, backend="eager")):
        list(fit(model, _points(), Training(steps=3, batch=32, compile=True)))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLP(5, 16, 1, fourier=8, classes=3),
        lambda: UNet(2, (8, 8), 1, classes=3),
        lambda: DiT(2, 7, width=16, depth=1, heads=2, classes=3),
        lambda: DiT(2, 7, width=16, depth=1, heads=2, classes=3, checkpointing=True),
        lambda: UNet(2, (8, 8), 1, classes=3, checkpointing=True),
    ],
)
def test_conditional_networks(make: Callable[[], Any]) -> None:
    """Labels matter, -1 is no label, samples do not see one another, every parameter learns, and bad labels are
    named."""
    with seeded(0):
        net = make()
        for p in net.parameters():  # transformers start as zero
            nn.init.normal_(p, std=0.1)
    shape = (4, 5) if isinstance(net, MLP) else (4, 2, 7, 6)
    x = SeededNoise(0).normal(6, range(1), shape, torch.float32)[0]
    c, labels = torch.tensor([1.0, 10.0, 100.0, 900.0]), torch.tensor([0, 1, 2, -1])
    y = net(x, c, labels)
    assert y.shape == x.shape
    assert torch.allclose(y[3:], net(x[3:], c[3:], None), atol=1e-5)
    assert torch.allclose(y[:2], net(x[:2], c[:2], labels[:2]), atol=1e-5)
    assert all((net(x[:1], c[:1], torch.tensor([k])) - y[:1]).abs().max() > 1e-5 for k in (1, 2, -1))
    y.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in net.parameters())
    for bad in (torch.tensor([0, 1, 2, 3]), torch.tensor([0.0, 1, 2, 2]), torch.tensor([0, 1]), [0, 1, 2, 0]):
        with pytest.raises(ValueError, match="`labels`"):
            net(x, c, bad)


def test_checkpointed_activations_change_nothing() -> None:
    gradients = []
    for checkpointing in (False, True):
        with seeded(0):
            net = UNet(1, (8, 8), 1, checkpointing=checkpointing)
        net(torch.ones(2, 1, 8, 8), torch.ones(2)).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_karras_preconditioning_has_unit_variance() -> None:
    """Input and target of F have unit variance at every level for data of variance s_d^2, and F = 0 gives the best
    linear denoiser."""
    table, sd = KarrasPreconditioning(0.5), 0.5
    for process in (SDE, EDM(), RectifiedFlow()):
        t = torch.linspace(process.t_min, process.t_max, 7, dtype=F64)
        alpha, sigma = process.alpha(t), process.sigma(t)
        total = alpha**2 * sd**2 + sigma**2
        assert torch.allclose(table.to_input(alpha, sigma) ** 2 * total, torch.ones_like(t), atol=1e-12)
        skip, out = table.to_x0(alpha, sigma)
        assert torch.allclose(skip, alpha * sd**2 / total)
        target = ((1 - skip * alpha) ** 2 * sd**2 + skip**2 * sigma**2) / out**2  # of (x0 - skip x)/out
        assert torch.allclose(target, torch.ones_like(t), atol=1e-9)

"""Denoisers: four parameterisations of one score, frames, singular ends, precision, and networks that answer
wrongly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scoresde import EDM, VESDE, VPSDE, X0, Denoiser, Eps, Process, Score, V, exact
from scoresde.denoisers.prediction import Prediction
from tests.helpers.parameterised import Net, noise_of
from tests.helpers.problems import F64, G3, PROCESSES


def middle(process: Process, count: int = 5) -> Tensor:
    return torch.linspace(0.3, 0.7, count, dtype=F64) * (process.t_max - process.t_min) + process.t_min


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@pytest.mark.parametrize("table", [Eps(), X0(), V(), Score()], ids=repr)
def test_one_score_in_four_parameterisations(process, table):
    """Whatever the network predicts, x0, eps, score, v and velocity are those of the eps it stands for."""
    t = middle(process)
    alpha, sigma = process.alpha(t), process.sigma(t)
    x = torch.randn(5, 3, dtype=F64, generator=torch.Generator().manual_seed(1)) * (alpha + sigma)[:, None]
    p = Denoiser(Net(process, type(table)), process, table)(x, alpha, sigma)
    a, s = alpha[:, None], sigma[:, None]
    eps = noise_of(x, t)
    x0 = (x - s * eps) / a
    size = (x.abs() / a).max().item() + 1
    for got, want, scale in (
        (p.eps, eps, size / (s / a).min().item() + 1),
        (p.x0, x0, size),
        (p.score, -eps / s, size / (s / a).min().item() / s.min().item()),
        (p.v, (a * eps - s * x0) / torch.hypot(a, s), size + 1),
        (p.velocity, eps - x0, size + 1),
    ):
        assert (got - want).abs().max() < 1e-12 * scale


@pytest.mark.parametrize("table", [Eps(), X0(), V(), Score()], ids=repr)
@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_any_frame(process, table):
    """A denoiser is homogeneous: scaling (x, alpha, sigma) changes no x0 and no eps, and divides the score; the
    network sees its own frame."""
    t = middle(process)
    alpha, sigma = process.alpha(t), process.sigma(t)
    x = torch.randn(5, 3, dtype=F64, generator=torch.Generator().manual_seed(1)) * (alpha + sigma)[:, None]
    denoiser = Denoiser(Net(process, type(table)), process, table)
    p = denoiser(x, alpha, sigma)
    for c in (1 / alpha, 1 / sigma, 3.0):
        scale = c[:, None] if isinstance(c, Tensor) else c
        q = denoiser(x * scale, alpha * c, sigma * c)
        torch.testing.assert_close(q.x0, p.x0, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(q.eps, p.eps, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(q.score * scale, p.score, rtol=1e-9, atol=1e-9)


def test_the_network_sees_its_process():
    """x comes at the variance of the training process, the noise level as `time` of half the log-SNR, one value per
    sample."""
    seen: list[tuple[Tensor, Tensor]] = []

    class Spy(nn.Module):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            seen.append((x, c))
            return x

    vp = VPSDE()
    denoiser = Denoiser(Spy(), vp, time=lambda lam: 1000 * vp.time(lam))
    t = torch.tensor([0.2, 0.8], dtype=F64)
    alpha, sigma = vp.alpha(t), vp.sigma(t)
    x = torch.ones(2, 4, 4, dtype=F64)
    denoiser(x / alpha.reshape(-1, 1, 1), torch.ones(2, dtype=F64), sigma / alpha)  # the frame of EDM
    torch.testing.assert_close(seen[0][0], x, rtol=1e-12, atol=0)
    torch.testing.assert_close(seen[0][1], 1000 * t, rtol=1e-10, atol=0)
    denoiser(x, vp.alpha(0.5), vp.sigma(0.5))
    assert seen[1][1].shape == (2,)


def test_from_score_gives_the_score_back():
    """A plain score(x, t) wrapped is the same score, in its own frame and others."""
    vp = VPSDE()
    denoiser = Denoiser.from_score(G3.score(vp), vp)
    x = torch.randn(6, 3, dtype=F64, generator=torch.Generator().manual_seed(2))
    for t in (0.01, 0.5, 1.0):
        want = G3(x, vp.alpha(t), vp.sigma(t))
        torch.testing.assert_close(denoiser(x, vp.alpha(t), vp.sigma(t)).score, want.score, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(
            denoiser.score(vp)(x, torch.full((6, 1), t, dtype=F64)), want.score, rtol=1e-10, atol=1e-10
        )
    edm, ratio = EDM(), vp.sigma(0.5) / vp.alpha(0.5)
    torch.testing.assert_close(denoiser.score(edm)(x, ratio), G3(x, 1.0, ratio.item()).score, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("table", "good", "bad"),
    [
        (Eps(), ("eps",), ("x0", "v", "velocity")),
        (Score(), ("eps", "score"), ("x0", "velocity")),
    ],
)
def test_no_answer_is_made_of_infinities(table, good, bad):
    """At alpha = 0 (pure noise) eps and score say nothing of x0: asking raises and says what to do; V answers
    everything."""

    class Constant(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return torch.ones_like(x)

    x, zero, one = torch.ones(2, 3, dtype=F64), torch.tensor(0.0, dtype=F64), torch.tensor(1.0, dtype=F64)
    a, s = table.to_x0(zero, one), table.to_eps(zero, one)
    p = Prediction(x, torch.ones_like(x), zero, one, a, s)
    for name in good:
        assert getattr(p, name).isfinite().all()
    for name in bad:
        with pytest.raises(ValueError, match="cannot be computed at alpha = 0 or sigma = 0"):
            getattr(p, name)
    p = Prediction(x, torch.ones_like(x), zero, one, V().to_x0(zero, one), V().to_eps(zero, one))
    for name in ("x0", "eps", "score", "v", "velocity"):
        assert getattr(p, name).isfinite().all()


def test_no_noise_no_eps_from_x0():
    """At sigma = 0 an x0 prediction says nothing of eps, and no score exists."""
    one, zero, x = torch.tensor(1.0, dtype=F64), torch.tensor(0.0, dtype=F64), torch.ones(2, 3, dtype=F64)
    p = Prediction(x, x, one, zero, X0().to_x0(one, zero), X0().to_eps(one, zero))
    assert torch.equal(p.x0, x)
    for name in ("eps", "score"):
        with pytest.raises(ValueError, match="cannot be computed at alpha = 0"):
            getattr(p, name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64])
@pytest.mark.parametrize("state", [torch.float32, F64])
def test_the_network_keeps_its_precision_and_the_state_its_own(dtype, state, device):
    """x is cast to the network's dtype and its answer back; the noise level stays float32 or wider, so that neighbours
    differ."""
    levels: list[Tensor] = []

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            assert x.dtype == dtype
            levels.append(c)
            return self.inner(x)

    vp = VPSDE()
    denoiser = Denoiser(Linear().to(device, dtype), vp, time=lambda lam: 1000 * vp.time(lam))
    x = torch.ones(2, 3, dtype=state, device=device)
    t = torch.tensor([0.9872, 0.9885], dtype=F64)
    p = denoiser(x, vp.alpha(t), vp.sigma(t))
    assert p.x0.dtype == p.eps.dtype == p.score.dtype == state
    assert levels[0].dtype == (F64 if dtype == F64 else torch.float32)
    assert abs(levels[0][1] - levels[0][0] - 1.3) < 1e-3


def test_a_plain_function_serves_as_network():
    """Any callable (x, c_noise) will do; it has no dtype of its own and gets the state's."""
    vp = VPSDE()
    x = torch.ones(2, 3)
    p = Denoiser(lambda x, c: torch.zeros_like(x), vp)(x, vp.alpha(0.5), vp.sigma(0.5))
    assert torch.equal(p.eps, torch.zeros(2, 3))


def test_condition_reaches_the_network():
    """cond is handed on when it is given, and only then."""

    class Conditional(nn.Module):
        def forward(self, x: Tensor, c: Tensor, cond: Tensor | None = None) -> Tensor:
            return torch.zeros_like(x) if cond is None else cond.to(x.dtype)[:, None] * torch.ones_like(x)

    vp = VPSDE()
    denoiser = Denoiser(Conditional(), vp)
    x = torch.ones(2, 3)
    assert denoiser(x, vp.alpha(0.5), vp.sigma(0.5)).eps.sum() == 0
    assert denoiser(x, vp.alpha(0.5), vp.sigma(0.5), torch.tensor([1, 2])).eps[:, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            lambda x: x[:1],
            ValueError,
            r"`network` must return the shape of its input \(2, 3\), got \(1, 3\); nothing is broadcast",
        ),
        (lambda x: x[:, :1], ValueError, r"got \(2, 1\)"),
        (lambda x: x.sum(), ValueError, r"got \(\)"),
        (lambda x: (x, x), TypeError, "`network` must return a tensor, got tuple"),
        (lambda x: None, TypeError, "`network` must return a tensor, got NoneType"),
    ],
)
def test_wrong_answers_are_named(answer, kind, message):
    """Rows 37 and 38: nothing broadcasts, nothing is unpacked by guessing."""

    class Wrong(nn.Module):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return answer(x)

    vp = VPSDE()
    with pytest.raises(kind, match=message):
        Denoiser(Wrong(), vp)(torch.ones(2, 3), vp.alpha(0.5), vp.sigma(0.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Denoiser(3, VPSDE()), "`network` must be a callable"),
        (lambda: Denoiser(nn.Identity(), "vp"), "`process` must be a Process"),
        (lambda: Denoiser(nn.Identity(), VPSDE(), "eps"), "`table` must be"),
        (lambda: Denoiser.from_score(None, VPSDE()), "`score` must be a callable"),
    ],
)
def test_wrong_parts_are_named(make, message):
    """At construction."""
    with pytest.raises(TypeError, match=message):
        make()


def test_levels_of_the_wrong_count_are_named():
    """Three noise levels for a batch of four raise, with both shapes."""
    vp = VPSDE()
    with pytest.raises(ValueError, match=r"got shape \(3,\) for a batch of shape \(4, 3\)"):
        G3(torch.ones(4, 3), vp.alpha(torch.full((3,), 0.5)), vp.sigma(0.5))


def test_prediction_is_one_combination():
    """mix(c, p, q) = c x + p x0 + q eps, without cancellation: at tiny sigma the VE flow keeps its digits."""
    x = torch.randn(4, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    p = G3(x, 0.8, 0.6)
    c = torch.tensor(0.3, dtype=F64)
    torch.testing.assert_close(
        p.combine(x=c, x0=2 * c, eps=-c), 0.3 * x + 0.6 * p.x0 - 0.3 * p.eps, rtol=1e-13, atol=1e-13
    )
    torch.testing.assert_close(p.combine(x0=1.0), p.x0)
    ve = VESDE()
    narrow = exact.Gaussian(torch.zeros(3, dtype=F64), 1e-6)
    drift = ve.probability_flow(narrow).drift(torch.tensor(0.5, dtype=F64), x)
    want = 0.5 * ve.g2(0.5) * x / (1e-6 + ve.sigma(0.5) ** 2)
    torch.testing.assert_close(drift, want, rtol=1e-12, atol=0)
    assert math.isfinite(drift.sum())

"""Closed-form denoisers: against automatic differentiation of the log density, in far tails, in any frame, batch and
size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scoresde import exact
from scoresde.denoisers import mixture
from tests.helpers.problems import F64, G3, G3_BASIS, G3_MEAN, G3_TURNED, G3_VARIANCES, M3, M3_MEANS, M3_STD, PROCESSES

K, D = 5, 3
_g = torch.Generator().manual_seed(1)
MEANS = 3 * torch.randn(K, D, dtype=F64, generator=_g)
DIAGONAL = exact.GaussianMixture(
    MEANS, 0.05 + torch.rand(K, D, dtype=F64, generator=_g), torch.rand(K, dtype=F64, generator=_g) + 0.1
)
ROUND = exact.GaussianMixture(MEANS, torch.linspace(0.1, 2, K, dtype=F64))
EQUAL = exact.GaussianMixture(MEANS, 0.3)
CLOUD = exact.Empirical(MEANS.reshape(K, 1, D), 0.2)
MODELS = {
    "gaussian": G3,
    "turned": G3_TURNED,
    "m3": M3,
    "mixture": DIAGONAL,
    "round": ROUND,
    "equal": EQUAL,
    "empirical": CLOUD,
}
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
LEVELS = [(1.0, 0.05), (0.7, 0.7), (0.05, 1.0), (1.0, 60.0), (0.0, 1.0)]


def width(model) -> int:
    return model.means.shape[1] if isinstance(model, exact.GaussianMixture) else len(model.mean)


def points(model, scale: float, count: int = 40) -> Tensor:
    return scale * torch.randn(count, width(model), dtype=F64, generator=torch.Generator().manual_seed(2))


@models
@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
def test_score_is_the_gradient_of_the_log_density(model, alpha, sigma):
    """eps = -sigma score and, where alpha > 0, Tweedie's x0 = (x + sigma^2 score)/alpha."""
    x = points(model, 3 * alpha + sigma).requires_grad_()
    (score,) = torch.autograd.grad(model.log_prob(x, alpha, sigma).sum(), x)
    p = model(x.detach(), alpha, sigma)
    scale = score.abs().max()
    assert ((p.score - score) / scale).abs().max() < 1e-10
    torch.testing.assert_close(p.eps, -sigma * p.score, rtol=1e-9, atol=1e-12)
    if alpha > 0.5:
        x0 = (x.detach() + sigma**2 * score) / alpha
        torch.testing.assert_close(p.x0, x0, rtol=1e-8, atol=1e-9 * (1 + sigma**2))


@models
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_far_tails_are_finite(model, dtype):
    """At 50 standard deviations everything is finite and points back: the nearest component answers alone."""
    for alpha, sigma in ((1.0, 0.05), (0.7, 0.7), (1.0, 60.0)):
        reach = 50 * (2 * alpha + sigma)
        x = torch.cat([reach * torch.ones(1, width(model)), -reach * torch.ones(1, width(model))]).to(dtype)
        p = model(x, alpha, sigma)
        for part in (p.x0, p.eps, p.score, p.v, model.log_prob(x, alpha, sigma)):
            assert part.isfinite().all()
        assert bool((p.score * x < 0).all())
    right, left = M3(torch.tensor([[50.0], [-50.0]], dtype=F64), 1.0, 0.1).score[:, 0]
    for got, x, mean, std in ((right, 50.0, M3_MEANS[1], M3_STD[1]), (left, -50.0, M3_MEANS[1], M3_STD[1])):
        assert got == pytest.approx(-(x - mean) / (std**2 + 0.01), rel=1e-12)  # the widest component rules both tails


@models
def test_homogeneity(model):
    """Scaling (x, alpha, sigma) together leaves x0, eps, v, velocity as they are and divides the score."""
    x, alpha, sigma = points(model, 2.0), 0.8, 0.5
    p = model(x, alpha, sigma)
    for c in (1e-3, 7.0, 1e4):
        q = model(c * x, c * alpha, c * sigma)
        for name in ("x0", "eps", "v", "velocity"):
            torch.testing.assert_close(getattr(q, name), getattr(p, name), rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(c * q.score, p.score, rtol=1e-9, atol=1e-10)


@models
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_answers_do_not_depend_on_the_batch(model, dtype, device):
    """Bit for bit, alone or together, with one noise level for all or one each."""
    model = model.to(device)
    x = points(model, 2.0, 33).to(device, dtype)
    sigma = torch.linspace(0.1, 5, 33, dtype=F64, device=device)
    for alpha, level in ((0.9, torch.tensor(0.4, dtype=F64)), (0.9, sigma)):
        whole = model(x, alpha, level)
        for size in (1, 2, 7):
            for i in range(0, 33, size):
                part = model(x[i : i + size], alpha, level[i : i + size] if level.dim() else level)
                assert torch.equal(part.x0, whole.x0[i : i + size])
                assert torch.equal(part.score, whole.score[i : i + size])
    model.to("cpu")


@models
def test_dtype_and_shape(model):
    """Any shape with the right count of numbers; the answer has the shape and dtype of x; a wrong count is named."""
    d = width(model)
    for dtype in (torch.float32, F64):
        x = points(model, 1.0, 4).to(dtype).reshape(4, 1, d, 1)
        p = model(x, torch.tensor([1.0, 0.9, 0.5, 0.2], dtype=F64), 0.5)
        for part in (p.x0, p.eps, p.score, p.v):
            assert (part.shape, part.dtype) == (x.shape, dtype)
    with pytest.raises(ValueError, match=f"`x` must hold {d} numbers"):
        model(torch.zeros(2, d + 1), 1.0, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_large_mixtures_agree_with_small_ones(dtype, monkeypatch):
    """Beyond 4096 numbers sums become matrix products: the same answers, to rounding, shared variance or not."""
    g = torch.Generator().manual_seed(0)
    data = torch.randn(1500, 6, dtype=F64, generator=g)
    shared, own = exact.GaussianMixture(data, 0.04), exact.GaussianMixture(data, 0.04 * torch.ones(1500, dtype=F64))
    x = torch.randn(9, 6, dtype=dtype, generator=g)
    tolerance = {"rtol": 2e-4, "atol": 2e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    for alpha, sigma in ((1.0, 0.3), (0.6, 0.8), (0.0, 1.0), (1.0, 50.0)):
        large = shared(x, alpha, sigma)
        monkeypatch.setattr(mixture, "BROADCAST", 10**9)
        small = shared(x, alpha, sigma)
        monkeypatch.undo()
        torch.testing.assert_close(large.x0, small.x0, **tolerance)
        torch.testing.assert_close(large.eps, small.eps, **tolerance)
        torch.testing.assert_close(own(x, alpha, sigma).x0, small.x0, **tolerance)
        monkeypatch.setattr(mixture, "_CHUNK", 3 * data.numel())
        assert torch.equal(own(x, alpha, sigma).x0, own(x, alpha, sigma).x0)
        torch.testing.assert_close(own(x, alpha, sigma).x0, small.x0, **tolerance)
        monkeypatch.undo()


def test_full_covariance():
    """A turned Gaussian is the diagonal one in turned coordinates; its density is torch's."""
    x, alpha, sigma = points(G3, 3.0), 0.8, 0.6
    turned, straight = G3_TURNED(x @ G3_BASIS.T, alpha, sigma), G3(x, alpha, sigma)
    torch.testing.assert_close(turned.x0, straight.x0 @ G3_BASIS.T, rtol=1e-12, atol=1e-12)
    cov = alpha**2 * G3_BASIS @ torch.diag(G3_VARIANCES) @ G3_BASIS.T + sigma**2 * torch.eye(3, dtype=F64)
    want = torch.distributions.MultivariateNormal(alpha * (G3_BASIS @ G3_MEAN), (cov + cov.T) / 2).log_prob(x)
    torch.testing.assert_close(G3_TURNED.log_prob(x, alpha, sigma), want, rtol=1e-12, atol=1e-12)


def test_density_integrates_to_one():
    """On a fine grid, at every level, by the trapezoidal rule (exponentially accurate for analytic densities)."""
    for alpha, sigma in ((1.0, 0.0), (0.8, 0.6), (0.1, 1.0)):
        x = torch.linspace(-12, 12, 20_001, dtype=F64)[:, None]
        mass = M3.log_prob(x, alpha, sigma).exp().sum() * (x[1] - x[0])
        assert abs(mass - 1) < 1e-12


@models
def test_samples_have_the_moments(model):
    """20 000 draws: every mean within 5 standard errors, every variance within 5 by its own fourth moment; sample i is
    (seed, i)'s."""
    n = 20_000
    x = model.sample(n, seed=5)
    assert (x.shape, x.dtype) == ((n, width(model)), F64)
    if isinstance(model, exact.GaussianMixture):
        w = model.log_weights.exp()[:, None]
        mean = (w * model.means).sum(0)
        variance = (w * (model.variances + model.means**2)).sum(0) - mean**2
    else:
        basis = model.basis
        mean, variance = model.mean, (basis**2 * model.values).sum(1)
    assert ((x.mean(0) - mean).abs() < 5 * (variance / n).sqrt()).all()
    square = (x - mean) ** 2
    assert ((square.mean(0) - variance).abs() < 5 * square.std(0) / math.sqrt(n)).all()
    assert torch.equal(model.sample(10, seed=5), x[:10])
    assert not torch.equal(model.sample(10, seed=6), x[:10])


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_score_along_a_process(process):
    """`score(process)` is the callable (x, t) of the process' own frame, with t a number or one per sample."""
    t = 0.3 * process.t_min + 0.7 * process.t_max
    x = points(M3, 1.0, 6) * (process.alpha(t) + process.sigma(t))
    score = M3.score(process)
    want = M3(x, process.alpha(t), process.sigma(t)).score
    torch.testing.assert_close(score(x, torch.tensor(t, dtype=F64)), want, rtol=1e-12, atol=0)
    torch.testing.assert_close(score(x, torch.full((6,), t, dtype=F64)), want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: exact.Gaussian(torch.zeros(2, 2), 1.0), ValueError, "`mean` must have shape"),
        (lambda: exact.Gaussian([0.0], 1.0), TypeError, "`mean` must be a torch"),
        (lambda: exact.Gaussian(torch.zeros(2), -1.0), ValueError, "`cov` must be positive"),
        (lambda: exact.GaussianMixture(torch.zeros(3), 1.0), ValueError, "`means` must have shape"),
        (lambda: exact.GaussianMixture(torch.zeros(3, 2), torch.ones(4)), ValueError, "`variances` must be"),
        (lambda: exact.GaussianMixture(torch.zeros(3, 2), -0.1), ValueError, "`variances` must be"),
        (
            lambda: exact.GaussianMixture(torch.zeros(3, 2), 1.0, torch.tensor([1.0, -1.0, 1.0])),
            ValueError,
            "`weights` must be",
        ),
        (lambda: exact.GaussianMixture(torch.zeros(3, 2), 1.0, torch.ones(2)), ValueError, "`weights` must be"),
        (lambda: exact.Empirical(torch.zeros(3, 2), 0.0), ValueError, "`std` must be"),
        (lambda: exact.Empirical(torch.tensor([[float("nan")]]), 0.1), ValueError, "`data` must be finite"),
    ],
)
def test_bad_arguments(make, kind, message):
    """Named at construction."""
    with pytest.raises(kind, match=message):
        make()


def test_weights_need_not_be_normalised():
    """Weights are shares."""
    one, ten = (exact.GaussianMixture(MEANS, 0.3, w * torch.arange(1.0, K + 1, dtype=F64)) for w in (1.0, 10.0))
    x = points(one, 2.0)
    torch.testing.assert_close(one(x, 1.0, 0.5).x0, ten(x, 1.0, 0.5).x0, rtol=1e-13, atol=1e-13)


def test_a_covariance_of_few_samples_is_taken() -> None:
    """Its eigenvalues are 0 up to rounding where there are fewer samples than dimensions; a negative one is refused."""
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = exact.Gaussian(x.mean(0), x.T.cov())
    assert float(data.values.min()) == 0
    torch.testing.assert_close(data.basis * data.values @ data.basis.T, x.T.cov(), rtol=0, atol=1e-12)

    with pytest.raises(ValueError, match="`cov` must be positive semi-definite, got the eigenvalue -1"):
        exact.Gaussian(torch.zeros(2, dtype=torch.float64), torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64)))

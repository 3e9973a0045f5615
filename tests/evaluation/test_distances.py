"""Distances between sample sets against closed forms between Gaussians, their floors, their intervals, and other
libraries (T-MET)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scoresde import exact
from scoresde.evaluation import distances, kernel_distance
from scoresde.evaluation.distances import (
    METRICS,
    energy,
    estimate,
    frechet_floor,
    kid,
    mmd,
    mmd_gaussian,
    precision_recall,
    sliced,
    sliced_gaussian,
    unit_directions,
)
from scoresde.evaluation.judge import frechet, frechet_gaussian

F64 = torch.float64
MEAN_A, MEAN_B = torch.tensor([0.5, -0.2], dtype=F64), torch.tensor([-0.1, 0.4], dtype=F64)
COV_A, COV_B = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=F64), torch.tensor([[0.6, -0.2], [-0.2, 1.2]], dtype=F64)
A, B = exact.Gaussian(MEAN_A, COV_A), exact.Gaussian(MEAN_B, COV_B)


def circle(count: int) -> Tensor:
    """Equispaced directions of half a turn."""
    angle = math.pi * torch.arange(count, dtype=F64) / count
    return torch.stack([angle.cos(), angle.sin()], 1)


CIRCLE = circle(64)


def test_frechet_of_commuting_gaussians() -> None:
    """Diagonal covariances: |dm|^2 + sum (std_a - std_b)^2, and the same turned."""
    a, b = torch.tensor([0.3, 2.0], dtype=F64), torch.tensor([1.1, 0.7], dtype=F64)
    turn = torch.linalg.qr(COV_A)[0]
    known = float((MEAN_A - MEAN_B).square().sum() + (a.sqrt() - b.sqrt()).square().sum())
    assert abs(frechet_gaussian(MEAN_A, turn @ a.diag() @ turn.T, MEAN_B, turn @ b.diag() @ turn.T) - known) < 1e-12


def test_mmd_of_gaussians_is_its_integral() -> None:
    """The closed form against a quadrature of E k over the law of x - y, 1e-10."""
    from scipy import integrate

    gap, c = MEAN_A - MEAN_B, COV_A + COV_B
    values, basis = torch.linalg.eigh(c)

    def mean_kernel(m: Tensor, v: Tensor) -> float:
        out = 1.0
        for mean, variance in zip(m.tolist(), v.tolist(), strict=True):

            def joint(z: float, m: float = mean, v: float = variance) -> float:
                return math.exp(-z * z / 0.98 - (z - m) ** 2 / (2 * v)) / math.sqrt(2 * math.pi * v)

            out *= integrate.quad(joint, -20, 20, epsabs=1e-13)[0]
        return out

    own = [mean_kernel(torch.zeros(2), torch.linalg.eigvalsh(2 * cov)) for cov in (COV_A, COV_B)]
    known = own[0] + own[1] - 2 * mean_kernel(gap @ basis, values)
    assert abs(mmd_gaussian(MEAN_A, COV_A, MEAN_B, COV_B, 0.7) - known) < 1e-10


def test_sliced_of_gaussians() -> None:
    """In the plane equispaced directions integrate the sphere to rounding; equal covariances leave |dm|/sqrt(d)."""
    values = [sliced_gaussian(MEAN_A, COV_A, MEAN_B, COV_B, d) for d in (CIRCLE, circle(640))]
    assert abs(values[0] - values[1]) < 1e-10
    assert abs(sliced_gaussian(MEAN_A, COV_A, MEAN_B, COV_A, CIRCLE) - float((MEAN_A - MEAN_B).norm()) / 2**0.5) < 1e-10


def _folded(m: float, v: float) -> float:
    """E|N(m, v)|."""
    return math.sqrt(2 * v / math.pi) * math.exp(-m * m / 2 / v) + m * math.erf(m / math.sqrt(2 * v))


@pytest.mark.parametrize("name", ["energy", "mmd", "sliced", "frechet"])
def test_samples_reach_the_population(name: str) -> None:
    """Twelve pairs of 2000 samples, seeds fixed: the mean within 5 standard errors (chance below 1e-6) of the closed
    form plus the floor's bias.

    energy and mmd are measured unbiased; sliced squared and frechet carry the bias of two exact sets, below 0.01
    here."""
    runs = [(A.sample(2000, 2 * s), B.sample(2000, 2 * s + 1)) for s in range(12)]
    if name == "energy":
        runs = [(x[:, :1], y[:, :1]) for x, y in runs]
        known, bias = 2 * _folded(0.6, 1.6) - _folded(0.0, 2.0) - _folded(0.0, 1.2), 0.0
        values = [energy(x, y, unbiased=True) for x, y in runs]
    elif name == "mmd":
        known, bias = mmd_gaussian(MEAN_A, COV_A, MEAN_B, COV_B, 0.7), 0.0
        values = [mmd(x, y, 0.7, unbiased=True) for x, y in runs]
    elif name == "sliced":
        known, bias = sliced_gaussian(MEAN_A, COV_A, MEAN_B, COV_B, CIRCLE) ** 2, 0.01
        values = [sliced(x, y, CIRCLE) ** 2 for x, y in runs]
    else:
        known, bias = frechet_gaussian(MEAN_A, COV_A, MEAN_B, COV_B), 0.01
        values = [frechet(x, y) for x, y in runs]
    t = torch.tensor(values, dtype=F64)
    assert abs(t.mean().item() - known) < 5 * t.std().item() / 12**0.5 + bias
    assert t.std().item() < 0.15 * known


def test_frechet_floor() -> None:
    """Two sets of N(0, I) in 64 dimensions; 2d/n + d(d+1)/(2n) within 5 % at n = 1000 and 10 000."""
    unit = exact.Gaussian(torch.zeros(64, dtype=F64), 1.0)
    assert abs(frechet_floor(64, 1000) - 2.208) < 1e-12
    for n in (1000, 10_000):
        seen, _ = distances.floor(frechet, unit.sample, n, n, pairs=2)
        assert abs(seen / frechet_floor(64, n) - 1) < 0.05


@pytest.mark.parametrize("name", sorted(METRICS))
def test_identical_sets_symmetry_and_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero on one set (unbiased KID aside), symmetric, and the same however the sums are cut, 1e-10."""
    metric, x, y = METRICS[name], A.sample(300, 0), B.sample(280, 1)
    if name != "kid":
        assert abs(metric(x, x)) < 1e-10
    assert abs(metric(x, y) - metric(y, x)) < 1e-10
    whole = metric(x, y)
    monkeypatch.setattr(kernel_distance, "_BLOCK", 37)
    assert abs(metric(x, y) - whole) < 1e-10
    assert metric(x, y) > metric(x, A.sample(280, 5))


def test_kid_is_torchmetrics() -> None:
    """The same kernel and estimator as torchmetrics, in float64 to 1e-10."""
    other = pytest.importorskip("torchmetrics.image.kid")
    x, y = A.sample(100, 0), B.sample(100, 1)
    assert abs(kid(x, y) - float(other.poly_mmd(x, y))) < 1e-10


def test_one_dimensional_transport_is_pots() -> None:
    """Sliced W2 against POT, on the same directions."""
    ot = pytest.importorskip("ot")
    x, y = A.sample(60, 0), B.sample(60, 1)
    theta = unit_directions(2, 8)
    known = math.sqrt(sum(float(ot.emd2_1d((x @ t).numpy(), (y @ t).numpy(), metric="sqeuclidean")) for t in theta) / 8)
    assert abs(sliced(x, y, theta) - known) < 1e-10
    plan = ot.emd2([1 / 60] * 60, [1 / 60] * 60, torch.cdist(x, y).square().numpy())
    assert sliced(x, y) < math.sqrt(plan)  # projections only bring points nearer


def test_precision_and_recall() -> None:
    """Samples of half the data: precise, half recalled; samples far away: neither."""
    real = torch.cat([A.sample(400, 0), A.sample(400, 1) + 20])
    precision, recall = precision_recall(real, A.sample(400, 2))
    assert precision > 0.9
    assert 0.4 < recall < 0.55
    assert precision_recall(real, A.sample(400, 2) - 50) == (0.0, 0.0)


def test_features_of_any_module() -> None:
    """A Frechet distance on features is that of the features, however they are batched."""
    module = torch.nn.Linear(2, 5).double()
    x, y = A.sample(130, 0), B.sample(130, 1)
    measured = distances.on_features(frechet, module, batch=50)(x, y)
    assert abs(measured - frechet(module(x).detach(), module(y).detach())) < 1e-10


@pytest.mark.parametrize("unbiased", [False, True])
def test_leaving_blocks_out_by_sums_is_leaving_them_out(unbiased: bool) -> None:
    """The short way to the jackknife's values against cutting the sets, 1e-12."""
    metric, x, y = distances.KernelDistance(lambda a, b: (a @ b.T + 1) ** 2, unbiased), A.sample(53, 0), B.sample(71, 1)
    cut = [metric(*(torch.cat([s[: b * len(s) // 5], s[(b + 1) * len(s) // 5 :]]) for s in (x, y))) for b in range(5)]
    assert (metric.without(x, y, 5) - torch.tensor(cut, dtype=F64)).abs().max() < 1e-12


@pytest.mark.parametrize("name", ["energy", "frechet"])
def test_an_interval_covers_the_truth(name: str) -> None:
    """Sixty pairs of 400 samples: at nominal 95 %, at least 48 intervals hold the mean value (chance of fewer below
    1e-4 at 92 %)."""
    metric = METRICS[name]
    every = [estimate(metric, A.sample(400, 2 * s + 100), B.sample(400, 2 * s + 101), blocks=10) for s in range(60)]
    mean = sum(e.value for e in every) / 60
    held = sum(e.low < mean < e.high for e in every)
    assert held >= 48
    assert all(e.low < e.value < e.high for e in every)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: energy(torch.ones(3, 2), torch.ones(3, 4)), "`y`"),
        (lambda: mmd(torch.ones(3, 2), torch.ones(3, 2), scale=0.0), "`scale`"),
        (lambda: kid(torch.ones(1, 2), torch.ones(3, 2)), "`x`"),
        (lambda: sliced(torch.full((3, 2), torch.nan), torch.ones(3, 2)), "`x`"),
        (lambda: precision_recall(torch.ones(3, 2), torch.ones(3, 2), k=3), "`k`"),
        (lambda: estimate(energy, torch.ones(3, 2), torch.ones(3, 2), blocks=20), "`blocks`"),
    ],
)
def test_bad_sets_are_named(call, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()

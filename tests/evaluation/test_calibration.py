"""Calibration of posteriors that are known to be right, and known to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde.evaluation import fidelity, inception_score, sbc, tarp
from scoresde.evaluation.distances import precision_recall
from tests.helpers.problems import F64

N, L = 4000, 20


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def problems(wide: float = 1.0) -> tuple[Tensor, Tensor]:
    """x ~ N(0, 1), y = x + N(0, 1): the posterior N(y/2, 1/2), and samples `wide` times as wide; two coordinates."""
    x = normals(N, 2)
    y = x + normals(N, 2, seed=1)
    return x, y[:, None] / 2 + wide * 0.5**0.5 * normals(N, L, 2, seed=2)


@pytest.mark.parametrize("test", [sbc, tarp])
def test_a_right_posterior_is_calibrated(test: Any) -> None:
    """Uniform by Kolmogorov-Smirnov; coverage within 6 standard errors at three levels, with only 20 samples each."""
    found = test(*problems())
    assert float(found.p_values.min()) > 1e-6
    assert bool(((found.values > 0) & (found.values < 1)).all())

    for level in (0.5, 0.8, 0.9):
        covered = found.coverage(level)
        assert covered.floor == level
        assert covered.value == pytest.approx(level, abs=6 * (level * (1 - level) / N) ** 0.5)
        assert covered.low < covered.value < covered.high


@pytest.mark.parametrize("test", [sbc, tarp])
def test_a_narrow_posterior_is_found_out(test: Any) -> None:
    found = test(*problems(wide=0.5))
    assert float(found.p_values.max()) < 1e-6
    assert found.coverage(0.9).high < 0.85


def test_coverage_of_a_narrow_posterior_is_that_of_normals() -> None:
    """Samples of std 1/2 of the truth's, many: the share within 1.645/2 standard deviations, 0.589."""
    x, y = problems()
    samples = y.mean(1, keepdim=True) * 0 + 0.5 * normals(N, 400, 2, seed=3)
    assert sbc(x, samples).coverage(0.9).value == pytest.approx(0.5892, abs=6 * (0.24 / N) ** 0.5 + 0.01)


def test_only_the_joint_test_sees_a_lost_correlation() -> None:
    """The truth has equal coordinates, the samples independent ones of the same margins."""
    x = normals(N, 1).expand(N, 2).contiguous()
    samples = normals(N, 50, 2, seed=1)
    assert float(sbc(x, samples).p_values.min()) > 1e-6
    assert float(tarp(x, samples).p_values.min()) < 1e-6


def test_an_interval_lies_within_zero_and_one() -> None:
    """Also where every truth is covered, of which ten problems are no proof: Wilson's lower end is 10/(10 + 1.96^2)."""
    truths = torch.zeros(10, 1, dtype=F64)
    samples = torch.linspace(-1, 1, 100, dtype=F64)[None, :, None].expand(10, -1, -1)
    found = sbc(truths, samples).coverage(0.9)
    assert (found.value, found.high) == pytest.approx((1.0, 1.0))
    assert found.low == pytest.approx(10 / (10 + 1.959964**2))


def test_ties_are_broken_at_random() -> None:
    """A discrete law that is right: values uniform all the same."""
    draw = torch.rand(N, L + 1, 1, generator=torch.Generator().manual_seed(0)).round().double()
    found = sbc(draw[:, 0], draw[:, 1:])
    assert float(found.p_values.min()) > 1e-6


def test_fidelity_of_one_law_and_of_two() -> None:
    """On one law each is at its floor; of a set far away nothing is found; a made set twice as narrow is precise."""
    a, b = normals(600, 3), normals(500, 3, seed=1)
    same = fidelity(a, b)

    for value in same:
        assert value.floor is not None
        assert abs(value.value - value.floor) < 3 * (value.high - value.low) / 2 + 0.02

    far = fidelity(a, b + 50)
    assert all(value.value == 0 for value in far)

    narrow = fidelity(a, 0.3 * b)
    assert narrow.precision.value > 0.99
    assert narrow.recall.value < same.recall.value - 0.2
    assert narrow.coverage.value < same.coverage.value - 0.2


def test_precision_and_recall_are_those_of_the_distances() -> None:
    a, b = normals(300, 3), 1.3 * normals(200, 3, seed=1) + 0.5
    found = fidelity(a, b, 3)
    assert (found.precision.value, found.recall.value) == pytest.approx(precision_recall(a, b, 3))


def test_density_and_coverage_by_hand() -> None:
    """Real points 0, 1, 3, 7 ..., each ball reaching to its next neighbour."""
    real = torch.tensor([0.0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023], dtype=F64)[:, None]
    made = torch.tensor([0.5, 0.6, 2.0, 4000, 5000, 6000, 7000, 8000, 9000, 9900.5], dtype=F64)[:, None]
    found = fidelity(real, made, 1)
    reach = (real - real.T).abs().fill_diagonal_(torch.inf).min(1)[0]
    within = (real - made.T).abs() <= reach[:, None]
    assert found.density.value == pytest.approx(float(within.double().sum(0).mean()))
    assert found.coverage.value == pytest.approx(float(within.any(1).double().mean()))


def test_the_inception_score_counts_classes() -> None:
    """Sure of 4 classes of 10 equally: 4; the same answer for all: 1; between: the mutual information."""
    sure = torch.eye(10, dtype=F64)[torch.arange(400) % 4]
    assert inception_score(sure).value == pytest.approx(4)
    assert inception_score(torch.full((400, 10), 0.1, dtype=F64)).value == pytest.approx(1)
    half = 0.8 * sure + 0.05 * torch.tensor([1.0] * 4 + [0.0] * 6, dtype=F64)
    entropy = -(0.85 * torch.tensor(0.85).log() + 3 * 0.05 * torch.tensor(0.05).log())
    found = inception_score(half)
    assert found.value == pytest.approx(4 * float((-entropy).exp()), rel=1e-6)
    assert found.low <= found.value <= found.high


BAD: dict[str, tuple[Any, str]] = {
    "samples": (lambda: sbc(normals(9, 2), normals(9, 2)), "`samples` must have shape"),
    "no samples": (lambda: sbc(normals(9, 2), normals(9, 0, 2)), "`samples` must hold at least one"),
    "count": (lambda: tarp(normals(9, 2), normals(8, 3, 2)), "`samples` must have shape"),
    "few": (lambda: sbc(normals(3, 2), normals(3, 5, 2)), "`truths` must be of at least 8"),
    "references": (lambda: tarp(normals(9, 2), normals(9, 5, 2), normals(9, 3)), "`references` must have the shape"),
    "level": (lambda: sbc(*problems()).coverage(1.0), "`level` must"),
    "k": (lambda: fidelity(normals(20, 2), normals(20, 2), 19), "`k` must"),
    "width": (lambda: fidelity(normals(20, 2), normals(20, 3)), "`made` must hold 2"),
    "sets": (lambda: fidelity(normals(2, 2), normals(2, 2)), "`real` and `made`"),
    "rows": (lambda: inception_score(normals(40, 3)), "`probabilities` must be at least 0"),
    "shape": (lambda: inception_score(normals(40)), "`probabilities` must have shape"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        call()

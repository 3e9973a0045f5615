"""Two-sample tests: their floors on one law, known values between Gaussians, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from scoresde.evaluation import c2st, max_sliced_w2
from tests.helpers.problems import F64


def normals(n: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=F64)
    x[:, 0] += shift
    return x


def test_a_shift_is_the_greatest_distance() -> None:
    """Along the shift W2 is the shift itself; 6 standard errors of its mean, sqrt(2/n), and the floor."""
    found = max_sliced_w2(normals(1000, 0), normals(1000, 1, 2.0), directions=200)
    assert found.value == pytest.approx(2.0, abs=6 * (2 / 1000) ** 0.5 + 0.05)
    assert found.low < found.value < found.high


def test_one_law_shows_the_floor() -> None:
    found = max_sliced_w2(normals(1000, 0), normals(1000, 1), directions=200)
    assert found.floor is not None
    assert 0.5 * found.floor < found.value < 2 * found.floor


def test_a_classifier_is_right_as_often_as_the_best() -> None:
    """Between N(0, 1) and N(2, 1) the best rule is right with chance Phi(1) = 0.841; 6 standard errors and 0.02."""
    found = c2st(normals(1500, 0), normals(1500, 1, 2.0))
    assert found.value == pytest.approx(0.8413, abs=6 * (0.841 * 0.159 / 3000) ** 0.5 + 0.02)
    same = c2st(normals(1500, 0), normals(1500, 1))
    assert abs(same.value - 0.5) < 6 * (0.25 / 3000) ** 0.5
    assert same.floor == 0.5


def test_unequal_sets_weigh_the_same() -> None:
    """A rule that always says the larger set is right half the time."""
    found = c2st(normals(2000, 0), normals(300, 1))
    assert found.value == pytest.approx(0.5, abs=6 * (0.25 / 600) ** 0.5)


def test_few_samples_are_told_apart_too() -> None:
    """A shift of one standard deviation: right with chance Phi(1/2) = 0.69 at best, of 200 samples more than 0.6."""
    found = [c2st(normals(200, seed), normals(200, 10 + seed, 1.0)).value for seed in range(3)]
    assert sum(found) / 3 > 0.6
    same = [c2st(normals(200, seed), normals(200, 10 + seed)).value for seed in range(3)]
    assert abs(sum(same) / 3 - 0.5) < 6 * (0.25 / 1200) ** 0.5


def test_bad_input_is_named() -> None:
    x = normals(40, 0)
    with pytest.raises(ValueError, match="`y` must hold as many"):
        max_sliced_w2(x, x[:5])
    with pytest.raises(ValueError, match="`b` must hold 4 numbers"):
        c2st(x, x[:, :2])
    with pytest.raises(ValueError, match="`b` must hold at least 25"):
        c2st(x, x[:9])
    with pytest.raises(ValueError, match="`folds`"):
        c2st(x, x, folds=1)

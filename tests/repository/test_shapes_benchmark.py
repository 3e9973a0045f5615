"""benchmarks/shapes.py: its statistics see what they are said to see, and a tiny run of it ends."""

import pytest
import torch

from benchmarks import shapes
from scoresde import data


def test_statistics_are_the_truth_of_exact_draws() -> None:
    """Noise and thickness as in the docstrings of the sets; radii by both ways agree."""
    sines = shapes.statistics("two_sines", data.two_sines(500).x)
    assert sines is not None
    assert float(sines[:, :2].mean()) == pytest.approx(1.0, abs=0.05)
    assert float(sines[:, 2].mean()) == pytest.approx(0.1 * (60 / 64) ** 0.5, rel=0.02)

    balls = shapes.statistics("balls", data.balls(50).x)
    assert balls is not None
    assert float((balls[:, 3] - balls[:, 4]).abs().max()) < 0.1

    spheres = shapes.statistics("sphere_sets", data.sphere_sets(200).x)
    assert spheres is not None
    assert float(spheres[:, 4].max()) < 1e-4


def test_statistics_see_what_is_wrong() -> None:
    """Noise added to a set is what its points lie off their sphere."""
    x = data.sphere_sets(200).x
    noisy = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    spheres = shapes.statistics("sphere_sets", noisy)
    assert spheres is not None
    assert 0.03 < float(spheres[:, 4].mean()) < 0.06


def test_a_tiny_run_ends() -> None:
    row = shapes.measured("wine", minutes=1e-4, most=30)
    assert row["n"] == 30
    assert 0 <= row["low"] <= row["C2ST"] <= row["high"] <= 1.01
    assert 0 <= row["floor"] <= 1


def test_every_set_has_a_network_of_today() -> None:
    assert all(any(kind in shapes.KINDS for kind in kinds) for kinds in shapes.NETWORKS.values())

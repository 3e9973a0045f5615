"""Series, balls, spheres and wines: what is drawn has the law that its docstring tells."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats

from scoresde import data
from scoresde.data import shapes
from scoresde.runs.config import ConfigError
from scoresde.runs.toml import parse
from tests.helpers.problems import F64

DRAWN = {"two_sines": shapes.two_sines, "balls": shapes.balls, "sphere_sets": shapes.sphere_sets}


def uniform(values: torch.Tensor, low: float, high: float) -> float:
    """p of a Kolmogorov-Smirnov test that values are uniform."""
    return float(stats.kstest(values.numpy(), "uniform", (low, high - low)).pvalue)


def test_the_spectrum_of_two_sines_is_the_one_told() -> None:
    """Within five standard errors at each of the 33 frequencies."""
    x = shapes.two_sines(4000).x[:, 0].double()
    power = torch.fft.rfft(x).abs().square() / 64
    error = power.std(0) / 4000**0.5
    assert bool(((power.mean(0) - shapes.sine_spectrum()).abs() < 5 * error).all())


def test_amplitudes_and_phases_are_uniform() -> None:
    """The noise blurs an amplitude by 0.1 sqrt(2/64)."""
    x = shapes.two_sines(4000).x[:, 0].double()
    found = torch.fft.rfft(x)[:, list(shapes.CYCLES)]
    for k in range(2):
        amplitude = found[:, k].abs() / 32
        phase = (found[:, k].angle() + math.pi / 2) / (2 * math.pi) % 1
        assert uniform(amplitude, 0.5, 1.5) > 1e-3
        assert uniform(phase, 0, 1) > 1e-3


def test_what_is_left_of_two_sines_is_noise_of_the_variance_told() -> None:
    x = shapes.two_sines(2000).x[:, 0].double()
    found = torch.fft.rfft(x)
    found[:, list(shapes.CYCLES)] = 0
    rest = torch.fft.irfft(found, n=64)
    count = 2000 * 60  # the sines take four of 64 degrees of freedom
    assert float(rest.square().sum() / count) == pytest.approx(0.01, abs=5 * 0.01 * (2 / count) ** 0.5)


def test_a_ball_has_the_volume_of_its_radius() -> None:
    """The radius from the volume and from the second moment, 3 r^2/5 and what the soft surface adds, agree to a tenth
    of a voxel."""
    x = (shapes.balls(300).x[:, 0].double() + 1) / 2
    along = torch.arange(16, dtype=F64)
    mass = x.sum((1, 2, 3))
    centre = torch.stack([(x.sum(rest) * along).sum(1) / mass for rest in ((2, 3), (1, 3), (1, 2))], 1)
    square = (along - centre[:, :, None]).square()
    distance = square[:, 0, :, None, None] + square[:, 1, None, :, None] + square[:, 2, None, None, :]
    by_volume = (3 * mass / (4 * math.pi)) ** (1 / 3)
    by_moment = (5 / 3 * (x * distance).sum((1, 2, 3)) / mass).sqrt()
    assert float((by_volume - by_moment).abs().max()) < 0.1
    assert float((by_volume - 2.5).min()) > -0.1
    assert float((by_volume - 5.5).max()) < 0.1
    assert bool((centre - by_volume[:, None] > -0.15).all() & (centre + by_volume[:, None] < 15.15).all())


def test_radii_of_balls_are_uniform() -> None:
    """From the volume, to 0.02 voxels, on which the test does not depend."""
    x = (shapes.balls(1000).x.double() + 1) / 2
    radius = (3 * x.sum((1, 2, 3, 4)) / (4 * math.pi)) ** (1 / 3)
    assert uniform(radius, 2.5, 5.5) > 1e-3


def test_a_ball_is_one_within_and_zero_without_and_soft_between() -> None:
    x = shapes.balls(50).x
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)
    soft = ((x > -1) & (x < 1)).double().mean((1, 2, 3, 4)) * 16**3
    radius = (3 * ((x.double() + 1) / 2).sum((1, 2, 3, 4)) / (4 * math.pi)) ** (1 / 3)
    assert bool((soft / (4 * math.pi * radius**2) - 1).abs().max() < 0.25)  # a shell one voxel thick


def sphere_through(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres and radii by least squares: |p|^2 = 2 p.c + (r^2 - |c|^2)."""
    rows = torch.cat([2 * points, torch.ones_like(points[..., :1])], -1)
    found = torch.linalg.lstsq(rows, points.square().sum(-1, keepdim=True)).solution[..., 0]
    centre = found[:, :3]
    return centre, (found[:, 3] + centre.square().sum(1)).sqrt()


def test_points_of_a_set_lie_on_one_sphere() -> None:
    x = shapes.sphere_sets(2000).x.double()
    centre, radius = sphere_through(x)
    assert float(((x - centre[:, None]).norm(dim=2) - radius[:, None]).abs().max()) < 1e-4
    assert uniform(radius, 0.5, 1.5) > 1e-3
    for axis in range(3):
        assert float(stats.kstest((centre[:, axis] / 0.5).numpy(), "norm").pvalue) > 1e-3
        first = (x[:, 0, axis] - centre[:, axis]) / radius
        assert uniform(first, -1, 1) > 1e-3  # Archimedes: each coordinate of a uniform direction is uniform


def test_wines_are_standardised_and_come_back() -> None:
    from sklearn.datasets import load_wine

    table = data.wine()
    raw: Any = load_wine()
    assert table.columns is not None
    assert (table.columns[0], table.shape, table.classes) == ("alcohol", (13,), 3)
    assert table.class_names == ("class_0", "class_1", "class_2")
    assert torch.allclose(table.x.double().mean(0), torch.zeros(13, dtype=F64), atol=1e-6)
    assert torch.allclose(table.x.double().std(0, correction=0), torch.ones(13, dtype=F64), atol=1e-6)
    assert torch.allclose(data.unscaled(table).x.double(), torch.from_numpy(raw.data), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", DRAWN)
def test_each_sample_is_a_function_of_seed_and_index(name: str) -> None:
    make = DRAWN[name]
    assert torch.equal(make(6, seed=5).x[:3], make(3, seed=5).x)
    assert not torch.equal(make(3, seed=5).x, make(3, seed=6).x)
    with pytest.raises((TypeError, ValueError), match="`n`"):
        make(-1)
    with pytest.raises((TypeError, ValueError), match="`seed`"):
        make(2, seed=-1)


def test_a_set_whose_shape_does_not_say_it_tells_its_kind() -> None:
    """To whoever holds the samples, and to the configuration, before they are drawn."""
    for name, kind in data.files.KINDS_OF_SETS.items():
        assert data.SETS[name]().kind == kind
        assert parse({"data": {"path": name}}).data.kind == kind
        assert data.SETS[name]().in_memory(2).kind == kind
        assert data.SETS[name]().split()[1].kind == kind
    assert parse({"data": {"path": "balls"}}).data.kind is None
    with pytest.raises(ConfigError, match=r"`data\.kind` must be series for two_sines, got sets"):
        parse({"data": {"path": "two_sines", "kind": "sets"}})


def test_a_kind_that_samples_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`kind` must fit the data, got series, \(N, C, L\)"):
        data.Dataset(torch.zeros(3, 2), kind="series")
    with pytest.raises(ValueError, match="`kind` must be one of points"):
        data.Dataset(torch.zeros(3, 2), kind="rows")

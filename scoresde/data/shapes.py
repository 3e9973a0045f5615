"""Small data sets that need no file: series, volumes and sets of points of known distribution, and a table."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..runtime.torch_state import untouched
from .samples import Dataset
from .tables import standardised

LENGTH = 64  # number of times in a series
CYCLES = (3, 8)  # cycles of its two sines in that length
AMPLITUDES = (0.5, 1.5)  # range of the amplitudes
NOISE = 0.1  # standard deviation of the white noise
SIDE = 16  # side of a volume in voxels
RADII = (2.5, 5.5)  # range of the radius of its ball, in voxels
POINTS = 32  # number of points in a set
SPHERES = (0.5, 1.5)  # range of the radius of the sphere of a set
CENTRES = 0.5  # standard deviation of the centre of a sphere, along each axis


def two_sines(n: int = 10_000, seed: int = 0) -> Dataset:
    """Series (n, 1, 64): the sum of two sines, of 3 and 8 cycles, and white noise of standard deviation 0.1.

    Phases are uniform, amplitudes are uniform in [0.5, 1.5].

    Args:
        n: number of series.
        seed: series i depends on (seed, i) alone.
    """

    u = _uniforms(n, 4, seed)
    amplitude = _between(u[:, :2], AMPLITUDES)
    phase = 2 * math.pi * u[:, 2:]
    time = torch.arange(LENGTH, dtype=torch.float64, device="cpu") / LENGTH
    cycles = torch.tensor(CYCLES, dtype=torch.float64, device="cpu")
    angle = 2 * math.pi * cycles[:, None] * time + phase[:, :, None]
    clean = (amplitude[:, :, None] * angle.sin()).sum(1)

    return Dataset((clean + NOISE * _normals(n, (LENGTH,), seed)).float().unsqueeze(1), name="two sines", kind="series")


def sine_spectrum() -> Tensor:
    """The exact spectrum E|rfft(x)|^2 / 64 of `two_sines`, (33,) float64.

    It is the variance of the noise, plus 64 E a^2 / 4 at the two frequencies of the sines, a the amplitude."""
    low, high = AMPLITUDES
    square = (low**2 + low * high + high**2) / 3  # E a^2 of a uniform amplitude
    spectrum = torch.full((LENGTH // 2 + 1,), NOISE**2, dtype=torch.float64, device="cpu")
    spectrum[list(CYCLES)] += LENGTH * square / 4
    return spectrum


def balls(n: int = 4000, seed: int = 0) -> Dataset:
    """Volumes (n, 1, 16, 16, 16), each with one whole ball: in the data's own units 1 inside the ball, 0 outside.

    The radius is uniform in [2.5, 5.5] voxels. The centre is uniform over the positions at which the ball fits. The
    value falls linearly from 1 to 0 across the surface, over one voxel.

    Args:
        n: number of volumes.
        seed: volume i depends on (seed, i) alone.
    """

    u = _uniforms(n, 4, seed)
    radius = _between(u[:, :1], RADII)
    centre = radius + (SIDE - 1 - 2 * radius) * u[:, 1:]
    along = torch.arange(SIDE, dtype=torch.float64, device="cpu")
    square = (along - centre[:, :, None]).square().float()
    distance = (square[:, 0, :, None, None] + square[:, 1, None, :, None] + square[:, 2, None, None, :]).sqrt()
    inside = (radius.float()[:, :, None, None] - distance + 0.5).clamp(0, 1)

    return Dataset((2 * inside - 1).unsqueeze(1), None, "balls", 0.5, 0.5)


def sphere_sets(n: int = 10_000, seed: int = 0) -> Dataset:
    """Sets (n, 32, 3) of points, each set uniform on a sphere of its own.

    The radius is uniform in [0.5, 1.5]. The centre is normal with standard deviation 0.5 along each axis.

    Args:
        n: number of sets.
        seed: set i depends on (seed, i) alone.
    """

    z = _normals(n, (POINTS + 1, 3), seed)
    radius = _between(_uniforms(n, 1, seed), SPHERES)
    directions = z[:, :POINTS] / z[:, :POINTS].norm(dim=2, keepdim=True)
    centre = CENTRES * z[:, POINTS:]

    return Dataset((centre + radius[:, :, None] * directions).float(), name="sets on spheres", kind="sets")


def wine() -> Dataset:
    """scikit-learn's 178 wines as a table: 13 named columns, standardised; the labels are the three growers."""
    with untouched():
        from sklearn.datasets import load_wine

    raw: Any = load_wine()
    rows = torch.from_numpy(raw.data).to(torch.float64)
    labels = torch.from_numpy(raw.target).to(torch.int64)
    class_names = [str(name) for name in raw.target_names]

    return standardised(rows, labels, "wine", list(raw.feature_names), class_names)


def _uniforms(n: int, count: int, seed: int) -> Tensor:
    """Uniform numbers, (n, count) float64."""
    check.integer("n", n)
    return SeededNoise(check.seed("seed", seed)).uniform(PRIOR, range(1, 2), (n, count), device="cpu")[0].double()


def _normals(n: int, shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal numbers, (n, *shape) float64."""
    check.integer("n", n)
    return SeededNoise(check.seed("seed", seed)).normal(PRIOR, range(1), (n, *shape), torch.float64, "cpu")[0]


def _between(u: Tensor, ends: tuple[float, float]) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * u

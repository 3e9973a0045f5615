"""Series, volumes, sets of points and a table: small sets that need no file and whose law is known."""

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

LENGTH = 64  # of a series
CYCLES = (3, 8)  # of its two sines, in that length
AMPLITUDES = (0.5, 1.5)
NOISE = 0.1  # its standard deviation
SIDE = 16  # of a volume
RADII = (2.5, 5.5)  # of its ball, in voxels
POINTS = 32  # of a set
SPHERES = (0.5, 1.5)  # radii of the spheres that sets lie on
CENTRES = 0.5  # standard deviation of their centres, along each axis


def two_sines(n: int = 10_000, seed: int = 0) -> Dataset:
    """Series (n, 1, 64): two sines of 3 and 8 cycles, phases uniform, amplitudes uniform in [0.5, 1.5], and white noise
    of standard deviation 0.1.

    Args:
        n: how many.
        seed: series i is a function of (seed, i).
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
    """E|rfft(x)|^2 / 64 of `two_sines`, (33,) float64: the noise's variance, and 64 E a^2 / 4 at either sine."""
    low, high = AMPLITUDES
    square = (low**2 + low * high + high**2) / 3  # of a uniform amplitude, on average
    spectrum = torch.full((LENGTH // 2 + 1,), NOISE**2, dtype=torch.float64, device="cpu")
    spectrum[list(CYCLES)] += LENGTH * square / 4
    return spectrum


def balls(n: int = 4000, seed: int = 0) -> Dataset:
    """Volumes (n, 1, 16, 16, 16) of one ball each, 1 within, 0 without, that lies in the volume entirely.

    The radius is uniform in [2.5, 5.5] voxels, the centre uniform where the ball has room; the surface is one voxel
    wide, where the value falls with the distance from it.

    Args:
        n: how many.
        seed: ball i is a function of (seed, i).
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
    """Sets (n, 32, 3) of points uniform on a sphere: its radius uniform in [0.5, 1.5], its centre normal of standard
    deviation 0.5 along each axis.

    Args:
        n: how many.
        seed: set i is a function of (seed, i).
    """

    z = _normals(n, (POINTS + 1, 3), seed)
    radius = _between(_uniforms(n, 1, seed), SPHERES)
    directions = z[:, :POINTS] / z[:, :POINTS].norm(dim=2, keepdim=True)
    centre = CENTRES * z[:, POINTS:]

    return Dataset((centre + radius[:, :, None] * directions).float(), name="sets on spheres", kind="sets")


def wine() -> Dataset:
    """scikit-learn's 178 wines as a table: 13 named columns, standardised; labels say which of three growers."""
    with untouched():
        from sklearn.datasets import load_wine

    raw: Any = load_wine()
    rows = torch.from_numpy(raw.data).to(torch.float64)
    labels = torch.from_numpy(raw.target).to(torch.int64)
    class_names = [str(name) for name in raw.target_names]

    return standardised(rows, labels, "wine", list(raw.feature_names), class_names)


def _uniforms(n: int, count: int, seed: int) -> Tensor:
    """(n, count) float64."""
    check.integer("n", n)
    return SeededNoise(check.seed("seed", seed)).uniform(PRIOR, range(1, 2), (n, count), device="cpu")[0].double()


def _normals(n: int, shape: tuple[int, ...], seed: int) -> Tensor:
    """(n, *shape) float64."""
    check.integer("n", n)
    return SeededNoise(check.seed("seed", seed)).normal(PRIOR, range(1), (n, *shape), torch.float64, "cpu")[0]


def _between(u: Tensor, ends: tuple[float, float]) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * u

"""Small data sets that need no file: digits, patches of photos, and points in the plane of known distribution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..denoisers import exact
from ..runtime.torch_state import untouched
from .samples import Dataset
from .scale import scaled

_COUNT = 10_000


def digits() -> Dataset:
    """scikit-learn's 1797 handwritten digits, 8x8, in [-1, 1], with labels. Augmentation: shifts of up to one pixel."""
    with untouched():
        from sklearn.datasets import load_digits

    raw: Any = load_digits()
    x = torch.from_numpy(raw.images).to(torch.float32).unsqueeze(1) / 8 - 1
    return Dataset(
        x,
        torch.from_numpy(raw.target).to(torch.int64),
        "digits",
        8.0,
        8.0,
        shift=1,
    )


def photos(size: int = 32) -> Dataset:
    """Square patches of scikit-learn's two photos, (N, 3, size, size) in [-1, 1]. Neighbours overlap by half a patch.

    The labels are the number of the photo. Augmentation: flips."""

    with untouched():
        from sklearn.datasets import load_sample_images

    check.integer("size", size, least=4, most=256)
    step = size // 2
    parts = list[Tensor]()
    labels = list[Tensor]()
    images: Any = load_sample_images()["images"]

    for k, image in enumerate(images):
        patches = (
            torch.tensor(image, device="cpu").unfold(0, size, step).unfold(1, size, step).reshape(-1, 3, size, size)
        )
        parts.append(patches)
        labels.append(torch.full((len(patches),), k, device="cpu"))

    return Dataset(
        scaled(torch.cat(parts), 127.5, 127.5),
        torch.cat(labels),
        f"photos in patches of {size}",
        127.5,
        127.5,
        flip=True,
    )


def moons(n: int = _COUNT, seed: int = 0) -> Dataset:
    """Two interlocking half circles with noise of standard deviation 0.05. The label is the number of the half circle.

    Args:
        n: number of points.
        seed: point i depends on (seed, i) alone.
    """
    u, z = _draws(n, seed)
    upper = torch.arange(n, device="cpu") % 2 == 0
    angle = math.pi * u[:, 0]
    x = torch.where(upper, angle.cos(), 1 - angle.cos()) - 0.5
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin()) - 0.25
    return Dataset((torch.stack([x, y], 1) + 0.05 * z).float(), (~upper).long(), "moons")


def swiss_roll(n: int = _COUNT, seed: int = 0) -> Dataset:
    """A spiral of one and a half turns, with radius up to 1.4 and noise of standard deviation 0.03.

    Args:
        n: number of points.
        seed: point i depends on (seed, i) alone.
    """
    u, z = _draws(n, seed)
    angle = 1.5 * math.pi * (1 + 2 * u[:, :1])
    return Dataset((torch.cat([angle.cos(), angle.sin()], 1) * angle / 10 + 0.03 * z).float(), name="swiss roll")


def checkerboard(n: int = _COUNT, seed: int = 0) -> Dataset:
    """Points uniform on the eight dark squares of a 4x4 board on [-2, 2]^2.

    The density has edges, which a smooth score can only approximate.

    Args:
        n: number of points.
        seed: point i depends on (seed, i) alone.
    """
    u, _ = _draws(n, seed)
    column = (4 * u[:, 0]).floor()
    row = (2 * u[:, 1]).floor()
    y = 2 * row + column % 2 + (2 * u[:, 1]) % 1 - 2
    return Dataset(torch.stack([4 * u[:, 0] - 2, y], 1).float(), name="checkerboard")


def eight_gaussians(n: int = _COUNT, seed: int = 0) -> Dataset:
    """Samples of the Gaussian mixture `ring`. The label of a point is the number of the nearest centre.

    Args:
        n: number of points.
        seed: point i depends on (seed, i) alone.
    """
    x = ring().sample(n, seed)
    return Dataset(x.float(), torch.cdist(x, ring().means).argmin(1), "eight Gaussians")


def ring() -> exact.GaussianMixture:
    """Eight Gaussians of standard deviation 0.1 with centres on the circle of radius 1.4: the exact denoiser of
    `eight_gaussians`."""
    angle = torch.arange(8, dtype=torch.float64, device="cpu") * math.pi / 4
    return exact.GaussianMixture(1.4 * torch.stack([angle.cos(), angle.sin()], 1), 0.01)


def _draws(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Uniform and standard normal numbers, (n, 2) float64 each."""
    check.integer("n", n)
    source = SeededNoise(seed)
    return source.uniform(PRIOR, range(1, 2), (n, 2))[0], source.normal(PRIOR, range(1), (n, 2), torch.float64)[0]

"""Images with their low-resolution copies as conditions: what a stage of a cascade trains on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from solvers import SeededNoise
from solvers.noise import PRIOR

from .batches import mixed
from .derived import Derived
from .samples import Dataset, Samples


def shrunk(x: Tensor, factor: int) -> Tensor:
    """Means of squares of factor x factor pixels.

    Args:
        x: images, (B, C, H, W), H and W multiples of factor.
        factor: pixels a side of a square.
    """
    return F.avg_pool2d(x, factor)


def smaller(data: Samples, factor: int) -> Dataset:
    """Images with fewer pixels, in memory: what the first stage of a cascade is trained on.

    Args:
        data: images, whose sides `factor` divides.
        factor: pixels a side of the squares whose means are taken.

    Raises:
        ValueError: naming `shrink`.
    """

    if len(data.shape) != 3 or any(side % factor for side in data.shape[1:]):
        raise ValueError(f"`shrink` must divide the sides of images, got {factor} for samples of shape {data.shape}")

    some = data.in_memory(len(data))
    by = data.source
    return replace(some, x=shrunk(some.x, factor), shift=by.shift // factor, flip=by.flip)


def condition(
    low: Tensor,
    level: Tensor,
    eps: Tensor,
    factor: int,
) -> dict[str, Tensor]:
    """What a stage is given: sqrt(1 - level^2) low + level eps, enlarged, and the level.

    The noise hides what the stage before gets wrong. Ho et al. 2022, arXiv:2106.15282.

    Args:
        low: images, (B, C, h, w).
        level: of the noise, (B,), in [0, 1).
        eps: standard normals like low.
        factor: how much larger a side becomes.
    """
    along = level.to(low).reshape(-1, 1, 1, 1)
    noisy = (1 - along**2).sqrt() * low + along * eps
    size = [side * factor for side in low.shape[2:]]
    return {"low": F.interpolate(noisy, size=size, mode="bilinear", align_corners=False), "level": level.to(low)}


@dataclass(frozen=True)
class Upsampling(Derived):
    """Images, and what a stage of a cascade is given of them (`condition`), drawn anew each step.

    data     the images
    factor   between the sides of an image and of its copy
    augment  the noise level of a copy is uniform in [0, augment]
    low      the run that makes such copies
    digest   SHA-256 of its weights

    Labels and units are those of `data`."""

    factor: int
    augment: float
    low: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Says that there is a condition, which is made with each batch.
        object.__setattr__(self, "cond", {"low": torch.zeros(len(self.data), 0, device="cpu")})

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def about(self) -> dict[str, Any]:
        """Plain values for a run's description."""
        return {"low": self.low, "sha256": self.digest, "factor": self.factor}

    def samples(self, index: Tensor) -> Tensor:
        return self.data.samples(index)

    def decoded(self, x: Tensor) -> Tensor:
        return x

    def conditions(self, index: Tensor, x: Tensor) -> Any:
        return self._given(x, 0, 0, 0)

    def batch(
        self,
        step: int,
        size: int,
        seed: int,
        rows: range | None = None,
    ) -> tuple[Tensor, Any]:
        first = 0 if rows is None else rows.start
        x, _ = self.data.batch(step, size, seed, rows)
        return x, self._given(x, seed, step, first)

    def _given(self, x: Tensor, seed: int, step: int, first: int) -> dict[str, Tensor]:
        """The copies of images, their levels and noises functions of (seed, step, first + index)."""
        low = shrunk(x, self.factor)
        now = range(step, step + 1)
        # Of two seeds: the uniforms and normals of one are made from the same bits.
        u = SeededNoise(mixed(seed, 4), first).uniform(PRIOR, now, (len(low), 1), device="cpu")[0, :, 0]
        eps = SeededNoise(mixed(seed, 5), first).normal(PRIOR, now, tuple(low.shape), torch.float32, "cpu")[0]
        return condition(low, self.augment * u, eps, self.factor)

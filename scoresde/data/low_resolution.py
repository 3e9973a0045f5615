"""Images with their low-resolution copies as conditions: what a stage of a cascade trains on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from solvers import SeededNoise
from solvers.noise import PRIOR

from .batches import mixed
from .samples import Dataset, Samples
from .scale import Scale

_DRAW = range(6, 7)  # of the stream that starts samples: another index than theirs


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
class Upsampling(Samples):
    """Images, and what a stage of a cascade is given of them (`condition`), drawn anew each step.

    data     the images
    factor   between the sides of an image and of its copy
    augment  the noise level of a copy is uniform in [0, augment]
    low      the run that makes such copies
    digest   SHA-256 of its weights

    The other fields are those of `data`."""

    data: Samples
    factor: int
    augment: float
    low: str
    digest: str
    labels: Tensor | None
    cond: Any
    name: str
    centre: Scale
    half_range: Scale
    columns: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    kind: str | None = None
    shift: int = 0
    flip: bool = False

    @classmethod
    def of(
        cls,
        data: Samples,
        factor: int,
        augment: float,
        low: str = "",
        digest: str = "",
    ) -> Upsampling:
        """A data set of images as a stage sees it.

        Args:
            data: images whose sides `factor` divides.
            factor: of the stage.
            augment: most noise of a copy, in [0, 1).
            low: the run that makes such copies.
            digest: SHA-256 of its weights.
        """
        given = {"low": torch.zeros(len(data), 0, device="cpu")}  # says that there is one: it is made with each batch
        return cls(
            data,
            factor,
            augment,
            low,
            digest,
            data.labels,
            given,
            data.name,
            data.centre,
            data.half_range,
            class_names=data.class_names,
            kind=data.kind,
        )

    def __len__(self) -> int:
        return len(self.data)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def source(self) -> Samples:
        return self.data

    def about(self) -> dict[str, Any]:
        """Plain values for a run's description."""
        return {"low": self.low, "sha256": self.digest, "factor": self.factor}

    def samples(self, index: Tensor) -> Tensor:
        return self.data.samples(index)

    def decoded(self, x: Tensor) -> Tensor:
        return x

    def conditions(self, index: Tensor, x: Tensor) -> Any:
        low = shrunk(x, self.factor)
        draw = SeededNoise(0)
        level = self.augment * draw.uniform(PRIOR, _DRAW, (len(low), 1), device="cpu")[0, :, 0]
        eps = draw.normal(PRIOR, _DRAW, tuple(low.shape), torch.float32, "cpu")[0]
        return condition(low, level, eps, self.factor)

    def batch(
        self,
        step: int,
        size: int,
        seed: int,
        rows: range | None = None,
    ) -> tuple[Tensor, Any]:
        first = 0 if rows is None else rows.start
        x, _ = self.data.batch(step, size, seed, rows)
        low = shrunk(x, self.factor)
        draw = SeededNoise(mixed(seed, 4), first)
        now = range(step, step + 1)
        level = self.augment * draw.uniform(PRIOR, now, (len(low), 1), device="cpu")[0, :, 0]
        eps = draw.normal(PRIOR, now, tuple(low.shape), torch.float32, "cpu")[0]
        return x, condition(low, level, eps, self.factor)

    def take(self, index: Tensor) -> Self:
        data = self.data.take(index)
        return replace(self, data=data, labels=data.labels, cond={"low": self.cond["low"][index]})

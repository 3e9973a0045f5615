"""Images with low-resolution copies as conditions: the training data of a stage of a cascade."""

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
    """Replace each square of factor x factor pixels by its mean.

    Args:
        x: images, (B, C, H, W), H and W multiples of factor.
        factor: side of a square in pixels.
    """
    return F.avg_pool2d(x, factor)


def smaller(data: Samples, factor: int) -> Dataset:
    """The images with fewer pixels, in memory: the training data of the first stage of a cascade.

    Args:
        data: images; their height and width must be multiples of `factor`.
        factor: each square of factor x factor pixels becomes one pixel, its mean.

    Raises:
        ValueError: if the samples are not such images; the message names `shrink`.
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
    """The condition of a stage: the noisy image sqrt(1 - level^2) low + level eps, enlarged, and the noise level.

    The noise hides the errors of the previous stage. Ho et al. 2022, arXiv:2106.15282.

    Args:
        low: low-resolution images, (B, C, h, w).
        level: noise level of each image, (B,), in [0, 1).
        eps: standard normal noise, of the shape of low.
        factor: height and width are multiplied by it.

    Returns:
        {"low": (B, C, h factor, w factor), "level": (B,)}.
    """
    along = level.to(low).reshape(-1, 1, 1, 1)
    noisy = (1 - along**2).sqrt() * low + along * eps
    size = [side * factor for side in low.shape[2:]]
    return {"low": F.interpolate(noisy, size=size, mode="bilinear", align_corners=False), "level": level.to(low)}


@dataclass(frozen=True)
class Upsampling(Derived):
    """Images with the condition of a cascade stage (`condition`). Noise and noise level are drawn again at each step.

    data     the images
    factor   side of an image divided by the side of its low-resolution copy
    augment  the noise level of a copy is uniform in [0, augment]
    low      folder of the run that generates low-resolution images when sampling
    digest   SHA-256 of the weights of that run

    Labels and units are copied from `data`."""

    factor: int
    augment: float
    low: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        # An empty placeholder: it shows that there is a condition, which is computed with each batch.
        object.__setattr__(self, "cond", {"low": torch.zeros(len(self.data), 0, device="cpu")})

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def about(self) -> dict[str, Any]:
        """Run, SHA-256 and factor as plain values, for a run's description."""
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
        """The conditions of images. The noise of image i of x depends on (seed, step, first + i) alone."""
        low = shrunk(x, self.factor)
        now = range(step, step + 1)
        # Two seeds, because the uniforms and normals of one seed are made from the same bits.
        u = SeededNoise(mixed(seed, 4), first).uniform(PRIOR, now, (len(low), 1), device="cpu")[0, :, 0]
        eps = SeededNoise(mixed(seed, 5), first).normal(PRIOR, now, tuple(low.shape), torch.float32, "cpu")[0]
        return condition(low, self.augment * u, eps, self.factor)

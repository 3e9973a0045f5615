"""Noise for pipelines of diffusers, which may give each sample of a batch its own generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise
from solvers.noise import BoundPath, Normals, Path


@dataclass(frozen=True)
class OneEach(Normals):
    """Noise in which sample i uses `sources[i]`."""

    sources: tuple[SeededNoise, ...]

    def draw(self, stream: int, index: int, y: Tensor) -> Tensor:
        return torch.cat([source.draw(stream, index, y[i : i + 1]) for i, source in enumerate(self.sources)])

    def on(self, times: Tensor, y: Tensor) -> Path:
        return _Paths(tuple(source.on(times, y[i : i + 1]) for i, source in enumerate(self.sources)))


@dataclass(frozen=True, eq=False)
class _Paths(BoundPath):
    each: tuple[Path, ...]

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        return torch.cat([path(t0, t1) for path in self.each])

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        parts = [path.levy(t0, t1) for path in self.each]
        return torch.cat([dw for dw, _ in parts]), torch.cat([h for _, h in parts])


def source(generator: Any, count: int) -> SeededNoise | OneEach:
    """The noise of a batch. Its seeds are drawn from generators.

    Args:
        generator: one torch.Generator, which gives a seed for the whole batch; or a list with one per sample.
        count: samples of the batch.

    Raises:
        TypeError: naming `generator`.
    """

    each = generator if isinstance(generator, list) else [generator]
    fits = len(each) == count if isinstance(generator, list) else True
    if not fits or not all(isinstance(g, torch.Generator) for g in each):
        raise TypeError(
            f"`generator` must be a torch.Generator, or a list of {count}, one a sample, got {generator!r:.80}"
        )

    seeds = [int(torch.randint(0, 1 << 62, (1,), generator=g, device=g.device)) for g in each]

    if isinstance(generator, list):
        return OneEach(tuple(map(SeededNoise, seeds)))

    return SeededNoise(seeds[0])

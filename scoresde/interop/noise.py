"""Noise of a batch whose samples each have a generator of their own, as pipelines of diffusers allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise
from solvers.noise import BoundPath, Normals, Path


@dataclass(frozen=True)
class OneEach(Normals):
    """Sample i has the noise of `sources[i]`, whatever batch it is in."""

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
    """Noise of a batch, its seeds drawn from generators. Raises TypeError naming `generator`.

    Args:
        generator: one, for a seed of the whole batch; or a list, one a sample.
        count: samples of the batch.
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

"""Brownian motion as a function of an interval.

A path answers path(t0, t1) -> dW ~ N(0, |t1 - t0|), and path.levy(t0, t1) -> (dW, H) with the space-time Levy area H ~
N(0, |t1 - t0|/12), independent of dW (Foster, Lyons & Oberhauser 2020, arXiv:1905.06834). Going back negates dW and
keeps H. A `Source` makes a path for one solve; no global random state is ever touched.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from . import check
from .philox import MASK, box_muller, open_unit
from .philox import philox as philox


class Path(Protocol):
    """Increments of one Brownian path on an interval."""

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor: ...

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]: ...


class BoundPath(ABC):
    """Abstract: a path that a source made for a grid and a state. Its increments have the right shape, dtype and
    device."""

    @abstractmethod
    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        """dW, shaped like the state."""

    @abstractmethod
    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        """(dW, H), both shaped like the state."""


class Source(ABC):
    """Abstract: makes the Brownian path of one fixed-grid solve."""

    @abstractmethod
    def on(self, times: Tensor, y: Tensor) -> Path:
        """The path on the grid `times`, shaped like y and on its device. Called once per solve.

        Args:
            times: the grid, strictly monotone, 1-D float64.
            y: the state, (B, ...).
        """


class Normals(Source):
    """Abstract: a source that also draws plain normals, which step wrappers need."""

    @abstractmethod
    def draw(self, stream: int, index: int, y: Tensor) -> Tensor:
        """Standard normals like y, the index-th of a stream.

        Args:
            stream: the use, as PRIOR or CHURN below.
            index: of the draw, from 0.
            y: the state, (B, ...).
        """


@dataclass(frozen=True)
class WhiteNoise(Normals):
    """Fresh normals from a torch generator: faster than SeededNoise, and not reproducible per sample.

    The generator must live on the state's device. Asking one interval twice gives two different increments."""

    generator: torch.Generator

    def __post_init__(self) -> None:
        if not isinstance(self.generator, torch.Generator):
            raise TypeError(f"`generator` must be a torch.Generator, got {type(self.generator).__name__}")

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """Standard normals.

        Args:
            shape: of one draw; shape[0] is the batch.
            dtype: of the normals.
            device: where they are made.
        """
        return torch.empty(tuple(shape), dtype=dtype, device=device).normal_(generator=self.generator)

    def draw(self, stream: int, index: int, y: Tensor) -> Tensor:
        return self.normal(y.shape, y.dtype, y.device)

    def on(self, times: Tensor, y: Tensor) -> Path:
        if torch.device(self.generator.device).type != y.device.type:
            raise ValueError(
                f"`noise` must use a generator on the state's device, got {self.generator.device} for a state on"
                f" {y.device}"
            )

        return _WhitePath(
            self.generator, torch.empty_like(y, memory_format=torch.contiguous_format, requires_grad=False)
        )


@dataclass(frozen=True, eq=False)
class _WhitePath(BoundPath):
    generator: torch.Generator
    like: Tensor

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        std = math.sqrt(abs(t1.item() - t0.item()))
        return torch.empty_like(self.like).normal_(0.0, std, generator=self.generator)

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        dw = self(t0, t1)
        return dw, self(t0, t1).mul_(12**-0.5)


# Streams keep uses of one seed apart; they are part of the counter, so that no two draws ever share a number.
PRIOR, INCREMENT, AREA, CORRECTOR, CHURN, TRAIN_TIME, TRAIN_NOISE, PROBE, TREE = range(9)
_BLOCK_ELEMENTS = 1 << 19  # pre-drawn steps are grouped up to this many numbers, to stay in cache and in memory


@dataclass(frozen=True)
class SeededNoise(Normals):
    """Sample i is a function of (seed, i): the same whatever the batch, the chunk, the device or the process count.

    Counter-based (Philox4x32-10): key = seed; counter = sample (64 bits) | stream (4) + step (28) | element block (32).
    first: index of the batch's first sample.  Raises ValueError or TypeError naming `seed` or `first`."""

    seed: int
    first: int = 0

    def __post_init__(self) -> None:
        check.seed("seed", self.seed)
        check.integer("first", self.first, least=0, most=2**62)

    def on(self, times: Tensor, y: Tensor) -> Path:
        return _SeededPath(self, times, y)

    def draw(self, stream: int, index: int, y: Tensor) -> Tensor:
        return self.normal(stream, range(index, index + 1), y.shape, y.dtype, y.device)[0]

    def words(
        self,
        stream: int,
        steps: range,
        batch: int,
        blocks: int,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Raw 32-bit words, shape (steps, batch, blocks, 4), in int64: identical on every device.

        Args:
            stream: the use, as PRIOR or CHURN above; below 16.
            steps: indices of the draws, below 2^28.
            batch: samples.
            blocks: of four words, for each sample.
            device: where they are made.
        """
        if steps.stop > 1 << 28:
            raise ValueError(f"`steps` must stay below 2^28, got {steps.stop}")

        sample = torch.arange(self.first, self.first + batch, device=device).reshape(1, -1, 1)
        step = torch.arange(steps.start, steps.stop, device=device).reshape(-1, 1, 1) + (stream << 28)
        block = torch.arange(blocks, device=device)
        shape = (len(steps), batch, blocks)
        counter = [
            (sample & MASK).expand(shape),
            (sample >> 32).expand(shape),
            step.expand(shape),
            block.expand(shape),
        ]

        return torch.stack(philox(counter, (self.seed & MASK, self.seed >> 32)), dim=-1)

    def uniform(
        self,
        stream: int,
        steps: range,
        shape: Sequence[int],
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Uniforms in (0, 1), 53 bits each, shape (len(steps), *shape).

        Args:
            stream: the use, as PRIOR or CHURN above; below 16.
            steps: indices of the draws, below 2^28.
            shape: of one draw; shape[0] is the batch.
            dtype: to which they are cast.
            device: where they are made.
        """
        count = math.prod(shape[1:])
        words = self.words(stream, steps, shape[0], -(-count // 2), device)

        return (
            open_unit(words[..., 0::2], words[..., 1::2]).flatten(2)[..., :count].reshape(len(steps), *shape).to(dtype)
        )

    def normal(
        self,
        stream: int,
        steps: range,
        shape: Sequence[int],
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Standard normals by Box-Muller in float64 from 32-bit words, shape (len(steps), *shape); |z| <= 6.76.

        Args:
            stream: the use, as PRIOR or CHURN above; below 16.
            steps: indices of the draws, below 2^28.
            shape: of one draw; shape[0] is the batch.
            dtype: to which they are cast at the end, so that a float32 run sees the path of the float64 one.
            device: where they are made.
        """

        count = math.prod(shape[1:])
        pairs = box_muller(self.words(stream, steps, shape[0], -(-count // 4), device))

        return pairs.flatten(2)[..., :count].reshape(len(steps), *shape).to(dtype)


class _SeededPath(BoundPath):
    """Increments on a fixed grid, drawn several steps ahead. An increment depends on its interval only."""

    def __init__(self, source: SeededNoise, times: Tensor, y: Tensor):
        self.source = source
        self.shape = y.shape
        self.dtype = y.dtype
        self.device = y.device
        self.times = times.tolist()
        self.index = {t: k for k, t in enumerate(self.times)}
        self.ahead = max(1, _BLOCK_ELEMENTS // y.numel())
        self.drawn: dict[int, tuple[int, Tensor]] = {}

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        step, sign = self._locate(t0, t1)
        return self._draw(INCREMENT, step) * (sign * math.sqrt(abs(self.times[step + 1] - self.times[step])))

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        step, _ = self._locate(t0, t1)
        return self(t0, t1), self._draw(AREA, step) * math.sqrt(abs(self.times[step + 1] - self.times[step]) / 12)

    def _locate(self, t0: Tensor, t1: Tensor) -> tuple[int, int]:
        k = self.index.get(t0.item(), -2)
        m = self.index.get(t1.item(), -4)
        if abs(k - m) != 1:
            hint = "use GridPath or BrownianTree for other intervals"
            raise ValueError(
                f"`t0, t1` must be neighbours of the grid SeededNoise was bound to, got {t0.item()},"
                f" {t1.item()}; {hint}"
            )

        return min(k, m), m - k

    def _draw(self, stream: int, step: int) -> Tensor:
        begin = step - step % self.ahead
        if self.drawn.get(stream, (-1,))[0] != begin:
            steps = range(begin, min(begin + self.ahead, len(self.times) - 1))
            self.drawn[stream] = begin, self.source.normal(stream, steps, self.shape, self.dtype, self.device)
        return self.drawn[stream][1][step - begin]

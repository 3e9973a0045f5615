"""Brownian paths, and the sources that make them.

A path is called with an interval: path(t0, t1) -> dW ~ N(0, |t1 - t0|), and path.levy(t0, t1) -> (dW, H). The
space-time Levy area H ~ N(0, |t1 - t0|/12) is independent of dW (Foster, Lyons & Oberhauser 2020, arXiv:1905.06834).
The reversed interval has -dW and the same H (WhiteNoise draws new noise instead). A `Source` makes a path for one
solve. The global random state is never used.
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
    """The interface of a Brownian path: its increments over an interval."""

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor: ...

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]: ...


class BoundPath(ABC):
    """Abstract: a path that a source made for a grid and a state.

    Its increments have the shape, dtype and device of the state."""

    @abstractmethod
    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        """The increment dW over an interval, like the state.

        Args:
            t0: start of the interval.
            t1: end of the interval.
        """

    @abstractmethod
    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        """The increment dW and the space-time Levy area H over an interval, both like the state.

        Args:
            t0: start of the interval.
            t1: end of the interval.
        """


class Source(ABC):
    """Abstract: a source of Brownian paths. It makes the path of one solve."""

    @abstractmethod
    def on(self, times: Tensor, y: Tensor) -> Path:
        """Make the path for a grid, with the shape, dtype and device of y. Called once per solve.

        Args:
            times: the grid, strictly monotone, 1-D float64.
            y: the state, (B, ...).
        """


class Normals(Source):
    """Abstract: a source that also draws plain normals, which step wrappers need."""

    @abstractmethod
    def draw(self, stream: int, index: int, y: Tensor) -> Tensor:
        """Standard normals like y: draw number `index` of a stream.

        Args:
            stream: the purpose of the draw, such as PRIOR or CHURN below.
            index: number of the draw, from 0.
            y: the state, (B, ...).
        """


@dataclass(frozen=True)
class WhiteNoise(Normals):
    """A source of fresh normals from a torch generator: faster than SeededNoise, but not reproducible per sample.

    The generator must be on the state's device. Two calls with the same interval give different increments. `draw`
    ignores its stream and index."""

    generator: torch.Generator

    def __post_init__(self) -> None:
        if not isinstance(self.generator, torch.Generator):
            raise TypeError(f"`generator` must be a torch.Generator, got {type(self.generator).__name__}")

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """Draw standard normals.

        Args:
            shape: their shape; shape[0] is the batch size.
            dtype: their dtype.
            device: their device, which must be that of the generator.
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


# Streams separate the uses of one seed. They are part of the counter, so two draws never use the same counter.
PRIOR, INCREMENT, AREA, CORRECTOR, CHURN, TRAIN_TIME, TRAIN_NOISE, PROBE, TREE = range(9)
_BLOCK_ELEMENTS = 1 << 19  # steps are drawn in advance in blocks of at most this many numbers


@dataclass(frozen=True)
class SeededNoise(Normals):
    """A reproducible source of noise: the noise of sample i depends on (seed, i) only.

    So it is the same for any batch size, chunk, device and number of processes. The generator is counter-based
    (Philox4x32-10): key = seed; counter = sample (64 bits) | stream (4) + step (28) | element block (32).

    seed   an integer in [0, 2^63)
    first  index of the batch's first sample

    Raises ValueError or TypeError naming `seed` or `first`."""

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
        """Random 32-bit words in int64, shape (len(steps), batch, blocks, 4). They are identical on every device.

        Args:
            stream: the purpose, such as PRIOR or CHURN above; below 16.
            steps: indices of the draws, below 2^28.
            batch: number of samples.
            blocks: number of blocks of four words for each sample.
            device: the device on which they are computed.
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
        """Uniform numbers in (0, 1) with 53 random bits each, shape (len(steps), *shape).

        Args:
            stream: the purpose, such as PRIOR or CHURN above; below 16.
            steps: indices of the draws, below 2^28.
            shape: the shape of one draw; shape[0] is the batch size.
            dtype: the dtype of the result; float64 numbers are cast to it.
            device: the device on which they are computed.
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
        """Standard normals, shape (len(steps), *shape), by the Box-Muller method in float64 from 32-bit words.

        They satisfy |z| <= 6.76.

        Args:
            stream: the purpose, such as PRIOR or CHURN above; below 16.
            steps: indices of the draws, below 2^28.
            shape: the shape of one draw; shape[0] is the batch size.
            dtype: the dtype of the result. Float64 numbers are cast to it, so float32 and float64 runs use the same
                path up to rounding.
            device: the device on which they are computed.
        """

        count = math.prod(shape[1:])
        pairs = box_muller(self.words(stream, steps, shape[0], -(-count // 4), device))

        return pairs.flatten(2)[..., :count].reshape(len(steps), *shape).to(dtype)


class _SeededPath(BoundPath):
    """The increments of SeededNoise on a fixed grid, drawn several steps in advance.

    An increment depends on its interval only."""

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

"""The network as a training step runs it, and the random numbers of a step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from solvers import SeededNoise
from solvers.noise import TRAIN_NOISE, TRAIN_TIME

from ..runtime import distributed
from .state import PRECISIONS, Training
from .trainable import Trainable

_AHEAD = 1 << 17  # at most so many numbers are drawn ahead, for several steps at once: each draw has a large fixed cost


def prepared_network(denoiser: Trainable, training: Training) -> Trainable:
    """The denoiser as it is trained: compiled or in half precision if `training` says so, and distributed if processes
    are joined. It shares its weights with `denoiser`.

    Args:
        denoiser: the model; it is not changed.
        training: its `compile` and `precision` are used.
    """

    network: Any = denoiser.network
    device = next(network.parameters()).device

    if training.compile:
        network = torch.compile(network)

    if training.precision != "float32":
        network = _Half(network, device.type, PRECISIONS[training.precision])  # pyright: ignore[reportArgumentType]

    if distributed.joined():
        network = DistributedDataParallel(network)  # pyright: ignore[reportArgumentType]

    return denoiser if network is denoiser.network else denoiser.around(network)


class _Half(nn.Module):
    """A network that computes in half precision and returns float32."""

    def __init__(self, network: nn.Module, kind: str, dtype: torch.dtype):
        super().__init__()
        self.network = network
        self.kind = kind
        self.dtype = dtype

    def forward(self, *inputs: Tensor) -> Tensor:
        with torch.autocast(self.kind, self.dtype):
            return self.network(*inputs).float()


def gradients_apart(worker: Trainable, last: bool) -> contextlib.AbstractContextManager[Any]:
    """A context in which joined processes do not exchange gradients, except in the last part of a step.

    Args:
        worker: the denoiser as it is trained.
        last: True in the last part of the step.
    """
    joined = isinstance(worker.network, DistributedDataParallel) and not last
    return worker.network.no_sync() if joined else contextlib.nullcontext()  # pyright: ignore


class Draws:
    """Uniform numbers for the whole batch, and normals for this process' share of it. They are drawn for several steps
    at once."""

    def __init__(self, training: Training, shape: Sequence[int], device: torch.device):
        own = distributed.local_rows(training.batch)
        self.device = device
        self.seed = training.seed
        self.shapes = ((training.batch, 2), (len(own), *shape))
        self.first = own.start
        self.drawn = {TRAIN_TIME: (-1, torch.empty(0, device="cpu")), TRAIN_NOISE: (-1, torch.empty(0, device="cpu"))}

    def uniform(self, step: int) -> Tensor:
        """Uniform numbers (B, 2), float64, on the CPU: one column for noise levels, one to choose the hidden labels."""
        draw = SeededNoise(self.seed).uniform
        return self._ahead(TRAIN_TIME, step, self.shapes[0], lambda steps: draw(TRAIN_TIME, steps, self.shapes[0]))

    def noise(self, step: int) -> Tensor:
        """Standard normals, (share, ...), float32."""
        draw = SeededNoise(self.seed, self.first).normal
        return self._ahead(
            TRAIN_NOISE,
            step,
            self.shapes[1],
            lambda steps: draw(TRAIN_NOISE, steps, self.shapes[1], torch.float32, self.device),
        )

    def _ahead(
        self,
        stream: int,
        step: int,
        shape: Sequence[int],
        draw: Callable[[range], Tensor],
    ) -> Tensor:
        count = max(1, _AHEAD // math.prod(shape))
        start = step - step % count
        if self.drawn[stream][0] != start:
            self.drawn[stream] = start, draw(range(start, start + count))
        return self.drawn[stream][1][step - start]

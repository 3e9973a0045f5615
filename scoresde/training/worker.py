"""What a step of training works with: the network as it is trained, and the draws of a step."""

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

_AHEAD = (
    1 << 17
)  # noise is drawn some steps ahead, up to this many numbers: the cost of a draw is mostly that of starting it


def prepared_network(denoiser: Trainable, training: Training) -> Trainable:
    """The denoiser as it is trained: compiled, in half precision, joined with other processes; its weights are the
    same tensors.

    Args:
        denoiser: the model; it is not changed.
        training: says whether to compile, and in what precision.
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
    """A network that computes in half precision and answers in single."""

    def __init__(self, network: nn.Module, kind: str, dtype: torch.dtype):
        super().__init__()
        self.network = network
        self.kind = kind
        self.dtype = dtype

    def forward(self, *inputs: Tensor) -> Tensor:
        with torch.autocast(self.kind, self.dtype):
            return self.network(*inputs).float()


def gradients_apart(worker: Trainable, last: bool) -> contextlib.AbstractContextManager[Any]:
    """Joined processes exchange gradients once a step, in its last part.

    Args:
        worker: the denoiser as it is trained.
        last: whether it is the last part of the step.
    """
    joined = isinstance(worker.network, DistributedDataParallel) and not last
    return worker.network.no_sync() if joined else contextlib.nullcontext()  # pyright: ignore


class Draws:
    """Uniforms for the whole batch and normals for this process' share of it, drawn some steps ahead."""

    def __init__(self, training: Training, shape: Sequence[int], device: torch.device):
        own = distributed.local_rows(training.batch)
        self.device = device
        self.seed = training.seed
        self.shapes = ((training.batch, 2), (len(own), *shape))
        self.first = own.start
        self.drawn = {TRAIN_TIME: (-1, torch.empty(0, device="cpu")), TRAIN_NOISE: (-1, torch.empty(0, device="cpu"))}

    def uniform(self, step: int) -> Tensor:
        """(B, 2) in float64 on the CPU: for noise levels and for which labels are hidden."""
        draw = SeededNoise(self.seed).uniform
        return self._ahead(TRAIN_TIME, step, self.shapes[0], lambda steps: draw(TRAIN_TIME, steps, self.shapes[0]))

    def noise(self, step: int) -> Tensor:
        """Standard normals like the share."""
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

"""The training objective, and what a training step reports or raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..processes.base import Process
from .losses import DSM, Loss
from .noise_levels import NoiseLevels, Uniform, stratified


class NonFiniteLossError(RuntimeError):
    """The loss or its gradient became NaN or infinite; the weights are those before the step."""


class TrainingMemoryError(RuntimeError):
    """A step does not fit into memory; the weights are those before the step."""


@dataclass(frozen=True)
class Objective:
    """The training objective: the mean of weight(t) loss(t) over samples, noise and noise levels. If the loss is a sum
    over the elements of a sample, it is divided by their number."""

    loss: Loss = field(default_factory=DSM)
    levels: NoiseLevels = field(default_factory=Uniform)

    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        """Times t of a whole batch, one in each of B cells of equal probability, and their weights, both (B,).

        Args:
            u: uniform numbers in (0, 1), (B,), float64.
            process: the training process; t is its time.
        """
        return self.levels(stratified(u), process)

    def __call__(
        self,
        denoiser: Any,
        x0: Tensor,
        t: Tensor,
        weight: Tensor,
        eps: Tensor,
        cond: Tensor | None = None,
    ) -> Tensor:
        """The weighted loss of each sample, (B,)."""
        each = self.loss(denoiser, x0, t, eps, cond) / (x0[0].numel() if self.loss.per_element else 1)
        return weight.to(each) * each


SIMPLE = Objective()


@dataclass(frozen=True)
class Progress:
    """One training step: its number (from 1), the mean of the objective over the batch, the norm of the gradient before
    clipping, the learning rate.

    t, losses  times and values of the objective of each sample of the batch, (B,)
    skipped    True if the weights were not changed, because loss or gradient was not finite"""

    step: int
    loss: float
    grad_norm: float
    rate: float
    t: Tensor
    losses: Tensor
    skipped: bool = False

"""What is minimised, and what a step of training reports or raises."""

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
    """What is minimised: the mean over samples, noises and levels of weight(t) loss(t), over the numbers of a sample
    where it is a sum over them."""

    loss: Loss = field(default_factory=DSM)
    levels: NoiseLevels = field(default_factory=Uniform)

    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        """Levels of a whole batch, one in each of B equal cells, and their weights.

        Args:
            u: uniforms in [0, 1), (B,).
            process: whose times the levels are.
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
        """One number per sample, (B,)."""
        each = self.loss(denoiser, x0, t, eps, cond) / (x0[0].numel() if self.loss.per_element else 1)
        return weight.to(each) * each


SIMPLE = Objective()


@dataclass(frozen=True)
class Progress:
    """One training step: its number (from 1), the mean loss per element, the gradient's norm before clipping, the
    learning rate.

    t, losses  the batch's noise levels and losses per element, (B,)
    skipped    whether the weights were left alone"""

    step: int
    loss: float
    grad_norm: float
    rate: float
    t: Tensor
    losses: Tensor
    skipped: bool = False

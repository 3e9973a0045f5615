"""Training as a generator over steps: the caller's loop logs, draws, saves and stops.

Everything random is a function of (seed, step, index in the batch): a run is repeated or resumed exactly, whatever the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from solvers import SeededNoise, check
from solvers.noise import TRAIN_NOISE, TRAIN_TIME

from .data import Dataset
from .denoiser import Denoiser
from .levels import Uniform, stratified
from .losses import DSM


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the weights are those before the step."""


@dataclass(frozen=True)
class Training:
    """How to train. Raises TypeError or ValueError naming the field.

    steps, batch  optimiser steps and samples a step;  lr  AdamW's peak rate, reached in `warmup` steps, then a cosine to lr/20
    ema           decay of the weight average (ramped as (1+n)/(10+n) at the start);  grad_clip  limit of the gradient's norm
    seed          of times, noise, order and augmentation"""

    steps: int = 1000
    batch: int = 128
    lr: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.0
    ema: float = 0.995
    grad_clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check.integer("steps", self.steps)
        check.integer("batch", self.batch)
        check.number("lr", self.lr, above=0.0)
        check.integer("warmup", self.warmup, least=0)
        check.number("weight_decay", self.weight_decay, least=0.0)
        check.number("ema", self.ema, least=0.0, below=1.0)
        check.number("grad_clip", self.grad_clip, above=0.0)
        check.seed("seed", self.seed)

    def rate(self, step: int) -> float:
        """Learning rate at a step, over lr."""
        ramp = min(1.0, (step + 1) / max(1, self.warmup))
        return ramp * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


@dataclass(frozen=True)
class Progress:
    """One training step: its number (from 1), the mean loss per element, and the gradient's norm before clipping."""

    step: int
    loss: float
    grad_norm: float


def average(network: nn.Module, decay: float, ramp: bool = True) -> AveragedModel:
    """An exponential moving average of a network's weights: w <- d w + (1 - d) w_new, d = min(decay, (1+n)/(10+n)) if `ramp`."""

    def update(averaged: Any, current: Any, count: Any) -> None:
        n = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)) if ramp else decay)(averaged, current, count)

    return AveragedModel(network, multi_avg_fn=update)


def fit(denoiser: Denoiser, data: Dataset, training: Training, ema: AveragedModel | None = None, device: Any = "cpu") -> Iterator[Progress]:
    """Train `denoiser` in place by denoising score matching, one optimiser step per turn of the caller's loop.

    data      images or points, (N, ...) in the model's scale;  ema  updated after every step (see `average`)
    Raises ValueError where the batch exceeds the data, NonFiniteLossError naming step and noise levels."""
    if training.batch > len(data.x):
        raise ValueError(f"`batch` must be at most the {len(data.x)} samples of the data, got {training.batch}")
    process = denoiser.process
    denoiser.train().to(device)
    source = SeededNoise(training.seed)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=training.lr, weight_decay=training.weight_decay, betas=(0.9, 0.99))
    for step in range(training.steps):
        for group in optimiser.param_groups:
            group["lr"] = training.lr * training.rate(step)
        x0 = data.batch(step, training.batch, training.seed)[0].to(device)
        u = source.uniform(TRAIN_TIME, range(step, step + 1), (training.batch, 1)).flatten()
        eps = source.normal(TRAIN_NOISE, range(step, step + 1), x0.shape, x0.dtype, device)[0]
        t, weight = Uniform()(stratified(u), process)
        losses = weight.to(x0) * DSM()(denoiser, x0, t, eps)
        loss = losses.mean() / x0[0].numel()
        value = loss.item()
        if not math.isfinite(value):
            bad = (~losses.isfinite()).nonzero().flatten().tolist()
            raise NonFiniteLossError(
                f"the loss is {value} at step {step + 1}, in {len(bad)} of {len(losses)} samples, at t = {_shown(t[bad])};"
                f" lower `lr` (now {training.lr}) or check the data"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(denoiser.parameters(), training.grad_clip)
        optimiser.step()
        if ema is not None:
            ema.update_parameters(denoiser.network)
        yield Progress(step + 1, value, norm.item())


def _shown(t: Tensor) -> Sequence[float]:
    return [round(float(v), 4) for v in t[:5]]

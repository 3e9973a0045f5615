"""Training options, weight averages, and the state of training that a checkpoint holds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from solvers import check

from ..storage.weights import load_weights

WIDTHS = (0.05, 0.10)  # of the stored averages, from which `posthoc_ema` makes those of other widths
_LAST_RATE = 0.05  # learning rate at the end of the cosine schedule, divided by lr
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Training:
    """Training options. Raises TypeError or ValueError naming the field.

    steps, batch     optimiser steps, and samples per step
    lr               peak learning rate of AdamW, reached after `warmup` steps
    schedule         of the learning rate: cosine, falling to lr/20 at the last step, or constant
    weight_decay     of AdamW, 0 or more
    ema              decay of the exponential moving average of the weights; at the start (1+n)/(10+n) if that is less
    ema_width        if given, a power-function average replaces it; its width as a share of the steps done, above 0
                     and below 0.28 (usually 0.05 to 0.15). The same value suits runs of any length
    grad_clip        largest norm of the gradient
    posthoc          steps between stored averages, from which `posthoc_ema` makes an average of any width after
                     training; 0: none are stored
    seed             of weights, times, noise, order of the data and augmentation
    accumulate       number of parts a batch is split into, to save memory
    precision        inside the network: float32, bfloat16 or float16
    label_dropout    share of labels hidden from a class-conditional network, for classifier-free guidance; None for
                     other networks
    compile          run the network through torch.compile
    skip_nonfinite   skip steps whose loss or gradient is not finite; the run stops at ten in a row"""

    steps: int = 1000
    batch: int = 128
    lr: float = 2e-3
    warmup: int = 50
    schedule: str = "cosine"
    weight_decay: float = 0.0
    ema: float = 0.995
    ema_width: float | None = None
    posthoc: int = 0
    grad_clip: float = 1.0
    seed: int = 0
    accumulate: int = 1
    precision: str = "float32"
    label_dropout: float | None = None
    compile: bool = False
    skip_nonfinite: bool = False

    def __post_init__(self) -> None:
        check.integer("steps", self.steps)
        check.integer("batch", self.batch)
        check.number("lr", self.lr, above=0.0)
        check.integer("warmup", self.warmup, least=0)
        check.choice("schedule", self.schedule, ("cosine", "constant"))
        check.number("weight_decay", self.weight_decay, least=0.0)
        check.number("ema", self.ema, least=0.0, below=1.0)

        if self.ema_width is not None:
            check.number("ema_width", self.ema_width, above=0.0, below=0.28)

        check.integer("posthoc", self.posthoc, least=0)
        check.number("grad_clip", self.grad_clip, above=0.0)
        check.seed("seed", self.seed)
        check.integer("accumulate", self.accumulate)
        check.choice("precision", self.precision, PRECISIONS)

        if self.label_dropout is not None:
            check.number("label_dropout", self.label_dropout, least=0.0, below=1.0)

        for name in ("compile", "skip_nonfinite"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"`{name}` must be true or false, got {getattr(self, name)!r}")

    def rate(self, step: int, since: tuple[int, float] = (0, 1.0)) -> float:
        """Learning rate at a step, divided by lr.

        Args:
            step: number of the step, from 0.
            since: the first step of the schedule and its value there, as in `decay`.
        """
        return min(1.0, (step + 1) / max(1, self.warmup)) * self.decay(step, since)

    def decay(self, step: int, since: tuple[int, float] = (0, 1.0)) -> float:
        """Learning rate at a step, divided by lr, without the warm-up.

        If a run is lengthened, the learning rate continues from the value it had reached, along a cosine to the new
        last step.

        Args:
            step: number of the step, from 0.
            since: the first step of the schedule, and its value there; (0, 1.0) unless the run was lengthened.
        """

        begun, level = since
        if self.schedule == "constant" or self.steps <= begun:
            return level

        return _LAST_RATE + (level - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * (step - begun) / (self.steps - begun)))


class Average:
    """A moving average of a network's weights, in `module`: w <- d w + (1 - d) w_new with d = decay(n), where n counts
    the earlier updates. The first update copies the weights.

    Buffers and packed weights are copied at each update. The lists of tensors are made once, so that an update is a few
    operations on lists."""

    def __init__(self, network: nn.Module, decay: Callable[[int], float]):
        self.module = copy.deepcopy(network)
        self.decay = decay
        self.count = 0
        weights = [
            (kept.detach(), now.detach())
            for kept, now in zip(self.module.parameters(), network.parameters(), strict=True)
        ]
        self._kept, self._now = ([pair[k] for pair in weights if _has_mean(pair[0])] for k in (0, 1))
        self._copied = [pair for pair in weights if not _has_mean(pair[0])]
        self._copied += zip(self.module.buffers(), network.buffers(), strict=True)

    def update(self) -> None:
        """Update the average with the present weights."""
        get_ema_multi_avg_fn(self.decay(self.count) if self.count else 0.0)(self._kept, self._now, self.count)
        for kept, now in self._copied:
            kept.copy_(now)
        self.count += 1


def _has_mean(weight: Tensor) -> bool:
    """True if weights of this dtype can be averaged: real or complex numbers, not packed ones."""
    return weight.is_complex() or (weight.is_floating_point() and weight.element_size() > 1)


@dataclass
class TrainState:
    """Everything that training changes, as a checkpoint stores it.

    network    the network in training
    average    the average of its weights, which is used for sampling
    optimiser  AdamW
    scaler     loss scaler of float16
    step       steps done
    skipped    skipped steps in a row, up to now
    tracks     averages of the widths `WIDTHS`, for `posthoc_ema`
    since      first step of the learning-rate schedule, and its value there (`Training.decay`)"""

    network: nn.Module
    average: Average
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    skipped: int = 0
    tracks: tuple[Average, ...] = ()
    since: tuple[int, float] = (0, 1.0)

    def tensors(self) -> dict[str, Tensor]:
        """The whole state as named tensors on the CPU, for `load`."""
        groups = {"network": self.network.state_dict(), "ema": self.average.module.state_dict()}
        groups |= {f"track{k}": track.module.state_dict() for k, track in enumerate(self.tracks)}
        groups |= {f"optimiser.{i}": kept for i, kept in self.optimiser.state_dict()["state"].items()}
        scale = self.scaler.state_dict()
        counts = [
            self.step,
            self.skipped,
            self.average.count,
            scale.get("scale", 1.0),
            scale.get("_growth_tracker", 0),
            *self.since,
        ]
        flat = {f"{name}.{key}": value for name, group in groups.items() for key, value in group.items()}
        stored = {
            name: torch.as_tensor(value, device="cpu").detach().contiguous().clone() for name, value in flat.items()
        }

        return stored | {"counts": torch.tensor(counts, dtype=torch.float64, device="cpu")}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state from `tensors`. Raises RuntimeError or KeyError if they belong to another architecture."""

        def part(name: str) -> dict[str, Tensor]:
            return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name + ".")}

        load_weights(self.network, part("network"))
        load_weights(self.average.module, part("ema"))

        for k, track in enumerate(self.tracks):
            load_weights(track.module, part(f"track{k}"))

        kept: dict[int, dict[str, Tensor]] = {}

        for key, value in part("optimiser").items():
            index, _, name = key.partition(".")
            kept.setdefault(int(index), {})[name] = value

        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": kept})
        step, skipped, averaged, scale, tracker, *since = tensors["counts"].tolist()
        self.step = int(step)
        self.skipped = int(skipped)

        if since:  # older checkpoints do not store it
            self.since = int(since[0]), since[1]

        for each in (self.average, *self.tracks):
            each.count = int(averaged)

        if self.scaler.is_enabled():
            self.scaler.load_state_dict({**self.scaler.state_dict(), "scale": scale, "_growth_tracker": int(tracker)})


def average(network: nn.Module, decay: float, ramp: bool = True) -> Average:
    """An exponential moving average of a network's weights: w <- d w + (1 - d) w_new, d = min(decay, (1+n)/(10+n)) if
    `ramp`.

    Args:
        network: its weights are averaged.
        decay: d, in [0, 1).
        ramp: True: d is smaller during the first updates, so that the initial weights are forgotten.
    """
    return Average(network, lambda n: min(decay, (1 + n) / (10 + n)) if ramp else decay)


def power_average(network: nn.Module, width: float) -> Average:
    """An average whose memory grows with the run: w <- d w + (1 - d) w_n with d = (1 - 1/n)^(g+1), that is

        w = sum_k (k^(g+1) - (k-1)^(g+1))/n^(g+1) w_k,    width = (g+1)^(1/2)/((g+2)(g+3)^(1/2)),

    where w_n are the weights after step n. The width is the standard deviation of the averaging profile, divided by n.
    Karras et al. 2024, arXiv:2312.02696, section 3.1.

    Args:
        network: its weights are averaged.
        width: standard deviation of the profile as a share of the steps done, above 0 and below 0.28.
    """

    exponent = power(width) + 1
    return Average(network, lambda n: (1 - 1 / (n + 1)) ** exponent)


def power(width: float) -> float:
    """g of `power_average` for a width, by bisection; the width falls as g rises."""
    low = 0.0
    high = 1e6
    for _ in range(100):
        g = (low + high) / 2
        low, high = (g, high) if math.sqrt(g + 1) / ((g + 2) * math.sqrt(g + 3)) > width else (low, g)
    return low


def begin(network: nn.Module, training: Training, device: Any = "cpu") -> TrainState:
    """The state before the first step. The network is moved to `device`.

    Args:
        network: the network to train.
        training: options of the optimiser, the averages and the precision.
        device: where the network is trained.

    Raises:
        ValueError: naming `network`, if none of its weights requires a gradient.
    """
    network.to(device)
    kind = torch.device(device).type
    weights = list(network.parameters())
    if not any(w.requires_grad for w in weights):
        raise ValueError(
            f"`network` must have weights to train, got {len(weights)}, none of which requires a gradient; call"
            " network.requires_grad_()"
        )

    fused = not any(w.is_complex() for w in weights)  # torch has no fused step of complex weights
    optimiser = torch.optim.AdamW(
        weights, lr=training.lr, weight_decay=training.weight_decay, betas=(0.9, 0.99), fused=fused
    )
    scaler = torch.amp.GradScaler(kind, enabled=training.precision == "float16")
    averaged = (
        average(network, training.ema) if training.ema_width is None else power_average(network, training.ema_width)
    )
    tracks = tuple(power_average(network, width) for width in WIDTHS) if training.posthoc else ()

    return TrainState(network, averaged, optimiser, scaler, tracks=tracks)

"""Samplers of diffusers in their released version, run at our noise levels."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from .libraries import Model, Run


def diffusers(scheduler: str, **options: Any) -> Run:
    """A diffusers scheduler on x0 predictions, in its variance-preserving coordinates x / sqrt(1 + s^2).

    Args:
        scheduler: name of its class.
        options: arguments of its constructor.
    """

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        count = len(levels) - 1
        made = getattr(importlib.import_module("diffusers"), scheduler)(
            num_train_timesteps=count + 1, prediction_type="sample", **options
        )
        made.set_timesteps(count)
        made.timesteps = torch.arange(count, 0, -1, device="cpu")
        made.sigmas = levels
        made.num_inference_steps = count
        x = x / (1 + levels[0] ** 2).sqrt()

        for k, t in enumerate(made.timesteps):
            x0 = model(x * (1 + levels[k] ** 2).sqrt(), levels[k])
            x = made.step(x0, t, x).prev_sample

        return x * (1 + levels[-1] ** 2).sqrt()

    return run


def diffusers_ddim(eta: float = 0.0) -> Run:
    """DDIMScheduler of diffusers, whose noise levels are set by its table of cumulative alphas."""

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        count = len(levels) - 1
        made = importlib.import_module("diffusers").DDIMScheduler(
            num_train_timesteps=count + 1, prediction_type="sample", clip_sample=False
        )
        made.num_inference_steps = count + 1
        made.alphas_cumprod = (1 / (1 + levels**2)).flip(0)
        x = x / (1 + levels[0] ** 2).sqrt()

        for k in range(count):
            x0 = model(x * (1 + levels[k] ** 2).sqrt(), levels[k])
            x = made.step(x0, count - k, x, eta=eta).prev_sample

        return x * (1 + levels[-1] ** 2).sqrt()

    return run


def diffusers_sigma(scheduler: str, calls: int = 1, **options: Any) -> Run:
    """A diffusers scheduler on x0 predictions, in the coordinates x = x0 + s eps.

    Args:
        scheduler: name of its class.
        calls: model calls per step, 1 or 2. A scheduler with two calls stores each inner level twice.
        options: arguments of its constructor.
    """

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        count = len(levels) - 1
        made = getattr(importlib.import_module("diffusers"), scheduler)(
            num_train_timesteps=count + 1, prediction_type="sample", **options
        )
        made.set_timesteps(count)
        made.sigmas = levels if calls == 1 else torch.cat([levels[:1], levels[1:].repeat_interleave(2)])
        made.timesteps = torch.arange(calls * count, 0, -1, device="cpu").to(made.timesteps.dtype)

        for k, t in enumerate(made.timesteps):
            made.scale_model_input(x, t)
            x = made.step(model(x, made.sigmas[k]), t, x).prev_sample

        return x

    return run

"""A scheduler of diffusers on noise that is handed to it."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler


class GivenNoise:
    """DDPMScheduler draws through a function of its module; this hands it the given normals."""

    def __init__(self, z: torch.Tensor):
        self.z = z

    def step(self, scheduler: DDPMScheduler, e: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        from diffusers.schedulers import scheduling_ddpm

        real = scheduling_ddpm.randn_tensor
        scheduling_ddpm.randn_tensor = lambda *_, **__: self.z
        try:
            return scheduler.step(e, t, y).prev_sample
        finally:
            scheduling_ddpm.randn_tensor = real

"""The forward process of a chain, by the names that training scripts and image-to-image pipelines of diffusers call."""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from torch import Tensor

from ..processes.coefficients import like
from ..processes.ddpm import DiscreteVP


class ChainNoise(ABC):
    """Abstract: noised samples and velocities along `process`, at timesteps counted from 0."""

    process: DiscreteVP

    def _coefficients(self, sample: Tensor, timesteps: Any) -> tuple[Tensor, Tensor]:
        """alpha and sigma at timesteps, one or one a sample."""
        t = (torch.as_tensor(timesteps, dtype=torch.float64, device="cpu").reshape(-1) + 1) / self.process.steps
        t = t if len(t) == len(sample) else t.expand(len(sample))
        return like(self.process.alpha(t), sample, "timesteps"), like(self.process.sigma(t), sample, "timesteps")

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Any) -> Tensor:
        """alpha x0 + sigma eps.

        Args:
            original_samples: x0, (B, ...).
            noise: eps, like x0.
            timesteps: of the chain, from 0; one, or one a sample.
        """
        alpha, sigma = self._coefficients(original_samples, timesteps)
        return alpha * original_samples + sigma * noise

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Any) -> Tensor:
        """v = alpha eps - sigma x0, what a network of v_prediction is trained on.

        Args:
            sample: x0, (B, ...).
            noise: eps, like x0.
            timesteps: of the chain, from 0; one, or one a sample.
        """
        alpha, sigma = self._coefficients(sample, timesteps)
        return alpha * noise - sigma * sample

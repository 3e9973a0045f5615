"""The forward process of a chain, under the method names that training scripts and pipelines of diffusers call."""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from torch import Tensor

from ..processes.coefficients import like
from ..processes.ddpm import DiscreteVP


class ChainNoise(ABC):
    """Abstract: noised samples and velocities of the chain `process`, at timesteps counted from 0."""

    process: DiscreteVP

    def _coefficients(self, sample: Tensor, timesteps: Any) -> tuple[Tensor, Tensor]:
        """alpha and sigma at one timestep for all samples, or at one timestep per sample."""
        t = (torch.as_tensor(timesteps, dtype=torch.float64, device="cpu").reshape(-1) + 1) / self.process.steps
        t = t if len(t) == len(sample) else t.expand(len(sample))
        return like(self.process.alpha(t), sample, "timesteps"), like(self.process.sigma(t), sample, "timesteps")

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Any) -> Tensor:
        """alpha x0 + sigma eps.

        Args:
            original_samples: x0, (B, ...).
            noise: eps, like x0.
            timesteps: timesteps of the chain, counted from 0: one for all samples, or one per sample.
        """
        alpha, sigma = self._coefficients(original_samples, timesteps)
        return alpha * original_samples + sigma * noise

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Any) -> Tensor:
        """v = alpha eps - sigma x0, the training target of a network with prediction_type v_prediction.

        Args:
            sample: x0, (B, ...).
            noise: eps, like x0.
            timesteps: timesteps of the chain, counted from 0: one for all samples, or one per sample.
        """
        alpha, sigma = self._coefficients(sample, timesteps)
        return alpha * noise - sigma * sample

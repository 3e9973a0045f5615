"""c_noise: the number by which a network is given the noise level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..processes.base import Process
from ..processes.ddpm import DiscreteVP


@dataclass(frozen=True)
class NoiseConditioning:
    """c_noise on the scale that sinusoidal embeddings resolve: 1000 t if t_max of the process is at most 2, otherwise
    250 log(sigma/alpha)."""

    process: Process

    def __call__(self, lam: Any) -> Any:
        if self.process.t_max <= 2.0:
            return 1000.0 * self.process.time(lam)
        return -250.0 * lam


@dataclass(frozen=True)
class Timesteps:
    """c_noise of a network trained on discrete timesteps: level i of the chain is timestep i - 1. Between two levels it
    is not an integer."""

    chain: DiscreteVP

    def __call__(self, lam: Tensor) -> Tensor:
        return self.chain.steps * self.chain.time(lam) - 1

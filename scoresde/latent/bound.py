"""The lower bound on log p(x) from a diffusion model of latents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..denoisers.denoiser import BaseDenoiser
from ..evaluation.likelihood import log_likelihood
from .space import LatentSpace

_DRAW = range(5, 6)


@dataclass(frozen=True)
class Bound:
    """The terms of the bound log p(x) >= reconstruction + prior + entropy, in nats, (B,) each.

    reconstruction  log p(x | u) for one draw u of q(u | x)
    prior           log p(u) by the probability flow
    entropy         -log q(u | x)
    standard_error  of `prior` over the probes, (B,); None if the trace is exact or there is one probe
    evals           drift evaluations, (B,)
    """

    reconstruction: Tensor
    prior: Tensor
    entropy: Tensor
    standard_error: Tensor | None
    evals: Tensor

    @property
    def log_prob(self) -> Tensor:
        """An unbiased estimate of the bound on log p(x), (B,)."""
        return self.reconstruction + self.prior + self.entropy


def log_likelihood_bound(
    denoiser: BaseDenoiser,
    space: LatentSpace,
    x: Tensor,
    *,
    seed: int = 0,
    first: int = 0,
    **options: Any,
) -> Bound:
    """Estimate the bound log p(x) >= E_q[log p(x | u) + log p(u) - log q(u | x)] by one draw u per sample.

    log p(u) is `evaluation.log_likelihood`. p(x | u) is the decoder with its observation noise. Vahdat, Kreis & Kautz
    2021, arXiv:2106.05931.

    Args:
        denoiser: the model of latents.
        space: the latent space of the model.
        x: samples, (B, ...), in the model's scale.
        seed: of the draws u and of the probes; sample i is a function of (seed, first + i).
        first: index of the first sample.
        **options: of `evaluation.log_likelihood`: probes, rtol, atol, cond, process.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    x = check.state("x", x)
    mean, std = space.posterior(x)
    eps = SeededNoise(seed, first).normal(PRIOR, _DRAW, tuple(mean.shape), mean.dtype, mean.device)[0]
    u = mean + std * eps
    entropy = (0.5 * eps.square() + std.log() + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)

    with torch.no_grad():
        reconstruction = space.autoencoder.log_prob(x, space.decode(u))

    prior = log_likelihood(denoiser, u, seed=seed, first=first, **options)

    return Bound(reconstruction, prior.log_prob, entropy, prior.standard_error, prior.evals)

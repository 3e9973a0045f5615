"""A variational autoencoder with a fixed observation noise, and the terms of its bound on log p(x)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from solvers import check

from ..denoisers.moments import Moments
from ..processes.base import Process
from ..processes.forward import VPSDE


class Terms(NamedTuple):
    """The terms of the evidence lower bound, log p(x) >= -reconstruction - kl.sum(1).

    reconstruction  -log p(x | z) for one draw z, in nats, (B,)
    kl              KL(q(z | x) || N(0, 1)) of each element of z, in nats, (B, elements)
    """

    reconstruction: Tensor
    kl: Tensor


class Autoencoder(nn.Module):
    """A variational autoencoder: one network gives the encoder q(z | x) and the decoder p(x | z) = N(D(z), std^2).

    Kingma & Welling 2014, arXiv:1312.6114.

    Args:
        network: a `networks.autoencoders.Variational`.
        std: standard deviation of the observation noise, in the model's scale.
    """

    moments: Moments | None = None

    def __init__(self, network: nn.Module, std: float = 0.1):
        super().__init__()
        self.network: Any = network
        self.std = check.number("std", std, above=0.0)
        self.process: Process = VPSDE()  # training draws noise levels for every model; an autoencoder ignores them

    def around(self, network: nn.Module) -> Autoencoder:
        """The same autoencoder with another network.

        Args:
            network: with the same interface as the present one.
        """
        return Autoencoder(network, self.std)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one z."""
        return self.network.latent_shape

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode: mean and standard deviation of q(z | x), (B, ...) each.

        Args:
            x: samples, (B, ...).
        """
        mean, log_var = self.network.encode(x)
        return mean, (0.5 * log_var).exp()

    def decode(self, z: Tensor) -> Tensor:
        """Decode latents: D(z), (B, ...).

        Args:
            z: latents, (B, ...).
        """
        return self.network.decode(z)

    def log_prob(self, x: Tensor, decoded: Tensor) -> Tensor:
        """log N(x; decoded, std^2), (B,), in nats.

        Args:
            x: samples, (B, ...).
            decoded: D(z), like x.
        """
        each = ((x - decoded) / self.std).square() + math.log(2 * math.pi * self.std**2)
        return -0.5 * each.flatten(1).sum(1)

    def terms(self, x: Tensor, eps: Tensor) -> Terms:
        """The terms of the bound, with one draw of z per sample.

        Args:
            x: samples, (B, ...).
            eps: standard normals like x; as many of them are used as z has elements.
        """

        row = self.network(x, eps)
        decoded, latent = row[:, : x[0].numel()], row[:, x[0].numel() :]
        mean, log_var = latent.chunk(2, 1)
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)

        return Terms(-self.log_prob(x.flatten(1), decoded), kl)


def mean_terms(autoencoder: Autoencoder, x: Tensor, eps: Tensor) -> dict[str, float]:
    """The terms of the bound averaged over samples, in nats per sample: {reconstruction, kl}.

    Args:
        autoencoder: in train or eval mode; the mode is not changed.
        x: samples, (B, ...).
        eps: standard normals like x.
    """
    with torch.no_grad():
        terms = autoencoder.terms(x, eps)
    return {"reconstruction": terms.reconstruction.mean().item(), "kl": terms.kl.sum(1).mean().item()}

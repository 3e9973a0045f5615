"""Variational autoencoders: they encode a sample to a latent z with fewer numbers, and decode it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from solvers import check

_LOG_VARIANCE = (-30.0, 20.0)  # outside this range the exponential is useless in single precision


class Variational(nn.Module):
    """Abstract encoder q(z | x) = N(mean, exp(log_var)), with independent numbers in z, and decoder x = D(z).

    Kingma & Welling 2014, arXiv:1312.6114.

    Args:
        shape: of one sample x.
        latent_shape: of one z; it may not hold more numbers than x.

    Raises:
        ValueError: naming `shape` or `latent_shape`.
    """

    def __init__(self, shape: Sequence[int], latent_shape: Sequence[int]):
        super().__init__()
        self.shape = check.shape("shape", shape)
        self.latent_shape = check.shape("latent_shape", latent_shape)
        if math.prod(self.latent_shape) > math.prod(self.shape):
            raise ValueError(
                f"`latent_shape` must hold at most as many numbers as a sample of shape {self.shape}, got"
                f" {self.latent_shape}"
            )

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), (B, ...) each.

        Args:
            x: samples, (B, ...).
        """

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """D(z), (B, ...).

        Args:
            z: latents, (B, ...).
        """

    def forward(self, x: Tensor, eps: Tensor) -> Tensor:
        """The values for the training loss in one row per sample: D(mean + std eps), mean and log variance, flattened.

        Args:
            x: samples, (B, ...).
            eps: standard normals like x, (B, ...); the first ones of each sample are used, one per number of z.
        """
        mean, log_var = self.encode(x)
        noise = eps.flatten(1)[:, : mean[0].numel()].reshape(mean.shape)
        decoded = self.decode(mean + (0.5 * log_var).exp() * noise)
        return torch.cat([part.flatten(1) for part in (decoded, mean, log_var)], 1)


class ImageAutoencoder(Variational):
    """diffusers.AutoencoderKL for images (B, C, H, W); each level after the first halves both sides.

    Rombach et al. 2022, arXiv:2112.10752.

    Args:
        shape: (C, H, W); H and W must be multiples of 2 ** (levels - 1).
        latent_channels: channels of z.
        widths: channels of each level.
        layers: residual blocks per level.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_channels: int = 2,
        widths: Sequence[int] = (32, 64),
        layers: int = 1,
    ):
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        channels, height, width = check.shape("shape", shape)
        factor = 2 ** (len(widths) - 1)
        if height % factor or width % factor:
            raise ValueError(
                f"`widths` must halve the sides to whole numbers, got {len(widths)} levels for {height} x {width}"
            )

        super().__init__(shape, (check.integer("latent_channels", latent_channels), height // factor, width // factor))
        groups = next((g for g in (8, 4, 2) if all(w % (4 * g) == 0 for w in widths)), 1)
        levels = len(widths)
        self.body: Any = cast(Any, AutoencoderKL)(
            in_channels=channels,
            out_channels=channels,
            latent_channels=latent_channels,
            block_out_channels=tuple(widths),
            layers_per_block=check.integer("layers", layers),
            norm_num_groups=groups,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            sample_size=max(height, width),
            scaling_factor=1.0,
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.body.encode(x).latent_dist
        return found.mean, found.logvar.clamp(*_LOG_VARIANCE)

    def decode(self, z: Tensor) -> Tensor:
        return self.body.decode(z).sample


class PointAutoencoder(Variational):
    """Two multilayer perceptrons, an encoder and a decoder, for points and tables (B, d).

    Args:
        shape: (d,).
        latent_channels: number of elements of z.
        width: units of each hidden layer.
        depth: hidden layers of the encoder, and of the decoder.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_channels: int = 2,
        width: int = 128,
        depth: int = 2,
    ):
        super().__init__(shape, (check.integer("latent_channels", latent_channels),))
        (dim,) = self.shape
        self.encoder = _layers(dim, width, depth, 2 * latent_channels)
        self.decoder = _layers(latent_channels, width, depth, dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var.clamp(*_LOG_VARIANCE)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


def _layers(
    into: int,
    width: int,
    depth: int,
    out: int,
) -> nn.Sequential:
    """Linear layers with SiLU between them."""
    check.integer("width", width)
    check.integer("depth", depth)
    sizes = [into, *[width] * depth]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*hidden, nn.Linear(width, out))

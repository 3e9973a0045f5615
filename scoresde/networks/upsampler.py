"""The network of a stage of a cascade: its condition is a low-resolution image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .unet import UNet


class Upsampler(nn.Module):
    """F(x, c_noise, cond) for images (B, C, H, W): a `UNet` whose input has 2 C + 1 channels: x, the enlarged
    low-resolution image, and the noise level of that image.

    Ho et al. 2022, arXiv:2106.15282.

    Args:
        channels: C.
        widths: channels of each level.
        layers: residual blocks per level.
        checkpointing: True: recompute activations in the backward pass instead of storing them.
        outputs: outputs for each element of x: 1, or 2 with a learned variance (`LearnedRange`).
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (32, 64),
        layers: int = 2,
        checkpointing: bool = False,
        outputs: int = 1,
    ):
        super().__init__()
        self.body = UNet(channels, widths, layers, None, checkpointing, outputs, channels + 1)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        """The output of the network, like x, or with twice its channels if outputs is 2.

        Args:
            x: images, (B, C, H, W).
            c_noise: noise levels, (B,).
            cond: {"low": enlarged images like x, "level": their noise levels, (B,)}, made by
                `data.low_resolution.condition`.

        Raises:
            TypeError: naming `cond`.
            ValueError: naming `low`.
        """

        found = cast("Mapping[str, Any]", cond) if isinstance(cond, Mapping) else {}
        low = found.get("low")
        level = found.get("level")
        if not isinstance(low, Tensor) or not isinstance(level, Tensor):
            raise TypeError(
                "`cond` must be {'low': images, 'level': their noise levels} for a stage of a cascade, got"
                f" {sorted(found) if found else type(cond).__name__}"
            )
        if low.shape != x.shape:
            raise ValueError(f"`low` must be like x, {tuple(x.shape)}, got {tuple(low.shape)}")

        along = level.to(x).reshape(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])
        return self.body(torch.cat((x, low.to(x), along), 1), c_noise)

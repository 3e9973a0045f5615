"""The network of a stage of a cascade: it is given a low-resolution image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .unet import UNet


class Upsampler(nn.Module):
    """F(x, c_noise, cond) for images (B, C, H, W): a `UNet` of x, the enlarged low-resolution image and its noise
    level, as one image of 2 C + 1 channels.

    Ho et al. 2022, arXiv:2106.15282.

    Args:
        channels: C.
        widths: channels of each level.
        layers: residual blocks a level.
        checkpointing: computes activations again in the backward pass instead of keeping them.
        outputs: for each of x: 2 with a variance (`LearnedRange`).
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
        """The network's answer, like x, or with twice its channels.

        Args:
            x: images, (B, C, H, W).
            c_noise: noise levels, (B,).
            cond: {"low": enlarged images like x, "level": their noise levels, (B,)}, as `data.low_resolution.condition`
                makes them.

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

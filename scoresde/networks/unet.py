"""diffusers' U-Net for images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from solvers import check

from .labels import indices


class UNet(nn.Module):
    """F(x, c_noise, labels=None) for images (B, C, H, W): diffusers.UNet2DModel, attention at the coarsest level.

    Ronneberger et al. 2015, arXiv:1505.04597; Ho et al. 2020, arXiv:2006.11239. If 2^(levels - 1) does not divide the
    sides of an image, it is padded by replication, and the output is cropped. c_noise should span about 0..1000
    (sinusoidal embedding).

    channels  C
    widths    channels of each level; each level after the first halves the sides
    layers    residual blocks per level
    classes   number of classes of a class-conditional model, or None
    checkpointing  True: recompute activations in the backward pass instead of storing them
    outputs   outputs for each element of x: 1, or 2 with a learned variance (`LearnedRange`)
    given     additional input channels, which the output does not have"""

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (32, 64),
        layers: int = 2,
        classes: int | None = None,
        checkpointing: bool = False,
        outputs: int = 1,
        given: int = 0,
    ):
        super().__init__()
        self.classes = classes
        self.multiple = 2 ** (len(widths) - 1)
        self.body = unet_body(channels, widths, layers, classes, outputs, given)

        if checkpointing:
            self.body.enable_gradient_checkpointing()

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        height, width = x.shape[-2:]
        labels = None if self.classes is None else indices(cond, len(x), self.classes, x.device)
        return self.body(padded(x, self.multiple), c_noise, class_labels=labels).sample[..., :height, :width]


class UNetClassifier(nn.Module):
    """Logits (B, classes) of noisy images x at c_noise: a `UNet` up to its middle block, then the mean over pixels.

    Args:
        channels: C.
        widths: channels of each level.
        layers: residual blocks per level.
        classes: number of classes.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (32, 64),
        layers: int = 2,
        classes: int = 10,
    ):
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.body = unet_body(channels, widths, layers, None, 1)
        for unused in ("up_blocks", "conv_norm_out", "conv_act", "conv_out"):
            delattr(self.body, unused)

        self.head = nn.Sequential(
            nn.GroupNorm(1, widths[-1]),
            nn.SiLU(),
            nn.Flatten(2),
        )
        self.last = nn.Linear(widths[-1], check.integer("classes", classes))

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        body = self.body
        embedded = body.time_embedding(body.time_proj(c_noise).to(x.dtype))
        h = body.conv_in(padded(x, self.multiple))

        for block in body.down_blocks:
            h, _ = block(hidden_states=h, temb=embedded)

        h = body.mid_block(h, embedded)

        return self.last(self.head(h).mean(2))


def padded(x: Tensor, multiple: int) -> Tensor:
    """Images padded to sides that are multiples of a number; the last row and column are repeated.

    Args:
        x: images, (B, C, H, W).
        multiple: number that must divide both sides.
    """
    height, width = x.shape[-2:]
    pad = (0, -width % multiple, 0, -height % multiple)
    return torch.nn.functional.pad(x, pad, mode="replicate") if any(pad) else x


def unet_body(
    channels: int,
    widths: Sequence[int],
    layers: int,
    classes: int | None,
    outputs: int,
    given: int = 0,
) -> Any:
    """diffusers' UNet2DModel, with attention at the coarsest level.

    Args:
        channels: channels of an image.
        widths: channels of each level.
        layers: residual blocks per level.
        classes: number of classes of a class-conditional model, or None.
        outputs: outputs for each element of x, 1 or 2.
        given: additional input channels, which the output does not have.
    """

    from diffusers.models.unets.unet_2d import UNet2DModel

    check.integer("channels", channels)
    check.integer("layers", layers)

    for width in widths:
        check.integer("widths", width)

    # At least four channels per group: a group of one channel would remove what noise level and label add to it.
    groups = next((g for g in (8, 4, 2) if all(w % (4 * g) == 0 for w in widths)), 1)
    levels = len(widths)

    return UNet2DModel(
        in_channels=channels + check.integer("given", given, least=0),
        out_channels=check.integer("outputs", outputs) * channels,
        block_out_channels=tuple(widths),
        layers_per_block=layers,
        norm_num_groups=groups,
        attention_head_dim=max(8, widths[-1] // 4),
        down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
        num_class_embeds=None if classes is None else check.integer("classes", classes) + 1,
    )

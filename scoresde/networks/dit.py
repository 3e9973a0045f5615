"""diffusers' diffusion transformer for images and latents of one size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from solvers import check

from .labels import indices


class DiT(nn.Module):
    """F(x, c_noise, labels=None) for images (B, C, H, W): diffusers' DiTTransformer2DModel with adaLN-Zero blocks.

    Peebles & Xie 2023, arXiv:2212.09748. Every block starts as the identity. An image that is not square, or has
    sides that the patch does not divide, is padded by replication, and the output is cropped. c_noise should span about
    0..1000 (sinusoidal embedding).

    channels  C
    size      max(H, W)
    patch     pixels per side of a patch
    width, depth, heads  size of a token (a multiple of heads), number of blocks, attention heads
    classes   number of classes of a class-conditional model, or None
    checkpointing  True: recompute activations in the backward pass instead of storing them
    outputs   outputs for each element of x: 1, or 2 with a learned variance (`LearnedRange`)"""

    def __init__(
        self,
        channels: int,
        size: int,
        patch: int = 2,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        classes: int | None = None,
        checkpointing: bool = False,
        outputs: int = 1,
    ):
        super().__init__()
        from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

        numbers = (
            ("channels", channels),
            ("size", size),
            ("patch", patch),
            ("width", width),
            ("depth", depth),
            ("heads", heads),
        )

        for name, value in numbers if classes is None else (*numbers, ("classes", classes)):
            check.integer(name, value)

        if width % heads:
            raise ValueError(f"`width` must be a multiple of heads = {heads}, got {width}")

        self.side = -(-size // patch) * patch
        self.classes = classes or 1
        self.body = DiTTransformer2DModel(
            num_attention_heads=heads,
            attention_head_dim=width // heads,
            in_channels=channels,
            out_channels=check.integer("outputs", outputs) * channels,
            num_layers=depth,
            sample_size=self.side,
            patch_size=patch,
            num_embeds_ada_norm=self.classes,
        )
        blocks: Any = self.body.transformer_blocks

        for block in blocks:
            block.norm1.emb.class_embedder.dropout_prob = 0.0  # training hides labels itself, from the seed of the run
            nn.init.zeros_(block.norm1.linear.weight)
            nn.init.zeros_(block.norm1.linear.bias)

        nn.init.zeros_(self.body.proj_out_2.weight)
        nn.init.zeros_(self.body.proj_out_2.bias)

        if checkpointing:
            self.body.enable_gradient_checkpointing()

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        height, width = x.shape[-2:]
        pad = (0, self.side - width, 0, self.side - height)
        padded = torch.nn.functional.pad(x, pad, mode="replicate") if any(pad) else x
        return self.body(padded, c_noise, class_labels=indices(cond, len(x), self.classes, x.device)).sample[
            ..., :height, :width
        ]

"""Parts that all transformers share: adaLN-Zero blocks, conditioned on noise level and label, on groups of tokens."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solvers import check

from .labels import indices

SLOWEST = 10_000.0  # frequencies of sine waves fall from 1 to nearly 1/SLOWEST, in radians
_WAVES = 32


class AdaptiveTransformer(nn.Module, ABC):
    """Abstract transformer with adaLN-Zero blocks, conditioned on noise level and label. Each block starts as the
    identity.

    Peebles & Xie 2023, arXiv:2212.09748. Samples with equally many tokens form a group. Attention runs on each group
    alone; all other layers run on the tokens of all groups at once. A subclass defines the tokens.

    Args:
        into: layer that makes a token from its part of x.
        place: layer that embeds the position of a token; None: tokens have no positions.
        width: size of a token; a multiple of heads.
        depth: number of blocks.
        heads: attention heads.
        classes: number of classes of a class-conditional model, or None.
        answers: numbers that the network returns for each token.
    """

    def __init__(
        self,
        into: nn.Linear,
        place: nn.Module | None,
        width: int,
        depth: int,
        heads: int,
        classes: int | None,
        answers: int,
    ):
        super().__init__()
        self.classes = classes
        self.into = into
        self.place = place
        self.level = nn.Sequential(nn.Linear(2 * _WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = None if classes is None else nn.Embedding(check.integer("classes", classes) + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.last = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, answers)

        for layer in (self.last, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def told(self, c_noise: Tensor, labels: Any, count: int) -> Tensor:
        """The embedding of noise level and label, which conditions every block, (B, width).

        Args:
            c_noise: noise levels, (B,).
            labels: (B,) int64, or None.
            count: B.
        """
        made = self.level(level_waves(c_noise).to(self.into.weight.dtype))
        if self.label is None or self.classes is None:
            return made
        return made + self.label(indices(labels, count, self.classes, c_noise.device))

    def answered(
        self,
        tokens: list[Tensor],
        told: Tensor,
        masks: Sequence[Tensor | None] | None = None,
    ) -> list[Tensor]:
        """The output of the network for groups of tokens, (B, T, answers) for each group.

        Args:
            tokens: one tensor per group, (B, T, width).
            told: the embeddings that `told` returns, group after group, (sum of B, width).
            masks: one per group: True for tokens that attention may see, (B, T) bool; None: all of them.
        """
        for block in self.blocks:
            tokens = block(tokens, told, masks)

        parts = _beside(self.last(F.silu(told)), tokens, (0, 1))
        shaped = [torch.addcmul(shift, _normal(t), scale) for t, (shift, scale) in zip(tokens, parts, strict=True)]
        return packed(shaped, self.out)


class Block(nn.Module):
    """Attention, then a multilayer perceptron on each token, both conditioned on noise level and label (adaLN-Zero).

    Args:
        width: size of a token.
        heads: attention heads; they must divide width.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.told = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.body = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(
        self,
        tokens: list[Tensor],
        told: Tensor,
        masks: Sequence[Tensor | None] | None = None,
    ) -> list[Tensor]:
        parts = _beside(self.told(F.silu(told)), tokens, (0, 1, 0, 0, 1, 0))
        masks = [None] * len(tokens) if masks is None else masks

        fed = [torch.addcmul(m[0], _normal(t), m[1]) for t, m in zip(tokens, parts, strict=True)]
        seen = [self._attended(each, mask) for each, mask in zip(packed(fed, self.qkv), masks, strict=True)]
        joined = packed(seen, self.joined)
        tokens = [torch.addcmul(t, m[2], s) for t, m, s in zip(tokens, parts, joined, strict=True)]

        fed = [torch.addcmul(m[3], _normal(t), m[4]) for t, m in zip(tokens, parts, strict=True)]
        made = packed(fed, self.body)
        return [torch.addcmul(t, m[5], s) for t, m, s in zip(tokens, parts, made, strict=True)]

    def _attended(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        """Attention within each sample of a group, to the unmasked tokens: (B, T, 3 width) -> (B, T, width)."""
        b, t, width = qkv.shape
        q, k, v = qkv.reshape(b, t, 3, self.heads, width // (3 * self.heads)).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None, :]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).reshape(b, t, width // 3)


def level_waves(c_noise: Tensor) -> Tensor:
    """Sines and cosines of the noise level, (B, 64). Their 32 frequencies fall geometrically from 1 to nearly
    1/`SLOWEST`, in radians per unit of c_noise.

    Args:
        c_noise: noise levels, (B,), about 0..1000.
    """
    steps = torch.arange(_WAVES, device=c_noise.device, dtype=torch.float32)
    angle = c_noise.float().reshape(-1, 1) * torch.exp(-math.log(SLOWEST) * steps / _WAVES)
    return torch.cat((angle.sin(), angle.cos()), 1)


def packed(parts: list[Tensor], layer: nn.Module) -> list[Tensor]:
    """Apply a layer to the tokens of all groups in one call. Returns one tensor per group.

    Args:
        parts: the tokens of each group, (B, T, width).
        layer: a layer that acts on each token separately.
    """
    if len(parts) == 1:
        return [layer(parts[0])]

    made = layer(torch.cat([part.reshape(-1, part.shape[-1]) for part in parts]))
    rows = made.split([part.shape[0] * part.shape[1] for part in parts])
    return [row.view(*part.shape[:2], row.shape[-1]) for row, part in zip(rows, parts, strict=True)]


def check_heads(width: int, heads: int) -> None:
    """Check that width is a multiple of twice the heads.

    Args:
        width: size of a token.
        heads: attention heads.

    Raises:
        TypeError, ValueError: naming `width` or `heads`.
    """
    check.integer("heads", heads)
    if check.integer("width", width) % (2 * heads):
        raise ValueError(f"`width` must be a multiple of twice the heads, {2 * heads}, got {width}")


def _beside(told: Tensor, tokens: list[Tensor], plus: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """Shifts, scales and gates of each group, (B, 1, width) each, which broadcast over its tokens.

    Args:
        told: for all samples, (sum of B, parts * width).
        tokens: the tokens of each group.
        plus: number added to each part: 1 for scales, which the network gives as a difference from 1, else 0.
    """
    width = told.shape[1] // len(plus)
    parts = told.view(len(told), len(plus), 1, width) + told.new_tensor(plus)[:, None, None]
    return [group.unbind(1) for group in parts.split([len(t) for t in tokens])]


def _normal(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])

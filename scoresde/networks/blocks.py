"""What the transformers share: blocks of adaLN-Zero on noise level and label, for groups of tokens."""

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

SLOWEST = 10_000.0  # steps in the period of the slowest wave
_WAVES = 32


class AdaptiveTransformer(nn.Module, ABC):
    """Abstract transformer whose blocks are told of noise level and label, and start as the identity.

    Peebles & Xie 2023, arXiv:2212.09748. Tokens come in groups, each of one size: all layers but attention work on all
    groups at once. A subclass says what a token is.

    Args:
        into: makes tokens of what x holds.
        place: tells a token where it lies; None: nowhere.
        width: of the tokens; a multiple of heads.
        depth: blocks.
        heads: of attention.
        classes: for class-conditional models, or None.
        answers: numbers answered for a token.
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
        """What every block is told of a sample, (B, width).

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
        """The answers of groups of tokens, (B, T, answers) each.

        Args:
            tokens: of each group, (B, T, width).
            told: by `told`, of the samples of one group after the other, (sum of B, width).
            masks: of each group, the tokens that are seen, (B, T) bool; None: all.
        """
        for block in self.blocks:
            tokens = block(tokens, told, masks)

        parts = _beside(self.last(F.silu(told)), tokens, (0, 1))
        shaped = [torch.addcmul(shift, _normal(t), scale) for t, (shift, scale) in zip(tokens, parts, strict=True)]
        return packed(shaped, self.out)


class Block(nn.Module):
    """Attention and a layer of its own for every token, both told of noise level and label.

    Args:
        width: of the tokens.
        heads: of attention.
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
        """Attention within each sample of a group, to the tokens of its mask, (B, T, 3 width) -> (B, T, width)."""
        b, t, width = qkv.shape
        q, k, v = qkv.reshape(b, t, 3, self.heads, width // (3 * self.heads)).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None, :]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).reshape(b, t, width // 3)


def level_waves(c_noise: Tensor) -> Tensor:
    """Sines and cosines of the noise level, (B, 64), of periods from 1 to `SLOWEST` turns.

    Args:
        c_noise: noise levels, (B,), about 0..1000.
    """
    steps = torch.arange(_WAVES, device=c_noise.device, dtype=torch.float32)
    angle = c_noise.float().reshape(-1, 1) * torch.exp(-math.log(SLOWEST) * steps / _WAVES)
    return torch.cat((angle.sin(), angle.cos()), 1)


def packed(parts: list[Tensor], layer: nn.Module) -> list[Tensor]:
    """A layer on the tokens of all groups at once.

    Args:
        parts: tokens of each group, (B, T, width).
        layer: works on each token alone.
    """
    if len(parts) == 1:
        return [layer(parts[0])]

    made = layer(torch.cat([part.reshape(-1, part.shape[-1]) for part in parts]))
    rows = made.split([part.shape[0] * part.shape[1] for part in parts])
    return [row.view(*part.shape[:2], row.shape[-1]) for row, part in zip(rows, parts, strict=True)]


def check_heads(width: int, heads: int) -> None:
    """Raises ValueError naming `width` where the heads do not divide it.

    Args:
        width: of the tokens.
        heads: of attention.
    """
    check.integer("heads", heads)
    if check.integer("width", width) % (2 * heads):
        raise ValueError(f"`width` must be a multiple of twice the heads, {2 * heads}, got {width}")


def _beside(told: Tensor, tokens: list[Tensor], plus: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """What the samples of each group are told, (B, 1, width) each, to lie beside their tokens.

    Args:
        told: of all samples, (sum of B, parts * width).
        tokens: of each group.
        plus: what is added to each part: scales are told as what they differ from 1.
    """
    width = told.shape[1] // len(plus)
    parts = told.view(len(told), len(plus), 1, width) + told.new_tensor(plus)[:, None, None]
    return [group.unbind(1) for group in parts.split([len(t) for t in tokens])]


def _normal(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])

"""A plain convolutional U-Net for series, images, and volumes or video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solvers import check

from .blocks import level_waves
from .labels import indices

_CONVOLUTIONS: tuple[type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class UNetND(nn.Module):
    """F(x, c_noise, cond=None) for grids (B, C, ...) of 1 to 3 axes: residual blocks, attention at the coarsest level.

    Ronneberger et al. 2015, arXiv:1505.04597; Ho et al. 2020, arXiv:2006.11239. Noise level and label scale and shift
    each block's features (Dhariwal & Nichol 2021, arXiv:2105.05233). If 2^(levels - 1) does not divide an axis, the
    grid is padded by replication, and the output is cropped. c_noise should span about 0..1000.

    Args:
        channels: C.
        axes: axes of a grid: 1 for series (B, C, L), 2 for images, 3 for volumes and video (B, C, D, H, W).
        widths: channels of each level; each level after the first halves every axis.
        layers: residual blocks per level.
        classes: number of classes of a class-conditional model, or None.
        outputs: outputs for each element of x: 1, or 2 with a learned variance (`LearnedRange`).
    """

    def __init__(
        self,
        channels: int,
        axes: int = 1,
        widths: Sequence[int] = (32, 64),
        layers: int = 1,
        classes: int | None = None,
        outputs: int = 1,
    ):
        super().__init__()
        for name, value in (("channels", channels), ("layers", layers), ("outputs", outputs)):
            check.integer(name, value)
        check.integer("axes", axes, most=len(_CONVOLUTIONS))
        for width in check.shape("widths", widths):
            check.integer("widths", width)

        convolution = _CONVOLUTIONS[axes - 1]
        told = 4 * widths[0]
        self.axes = axes
        self.classes = classes
        self.multiple = 2 ** (len(widths) - 1)
        self.level = nn.Sequential(nn.Linear(64, told), nn.SiLU(), nn.Linear(told, told))
        self.label = None if classes is None else nn.Embedding(check.integer("classes", classes) + 1, told)
        self.into = convolution(channels, widths[0], 3, padding=1)

        self.down = nn.ModuleList()
        self.smaller = nn.ModuleList()
        kept = [widths[0]]  # channels of the skip connections to the way up
        for index, width in enumerate(widths):
            for _ in range(layers):
                self.down.append(_Residual(convolution, kept[-1], width, told))
                kept.append(width)
            if index + 1 < len(widths):
                self.smaller.append(convolution(width, width, 3, stride=2, padding=1))
                kept.append(width)

        last = widths[-1]
        self.middle = nn.ModuleList(_Residual(convolution, last, last, told) for _ in range(2))
        self.attention = _Attention(last)

        self.up = nn.ModuleList()
        self.larger = nn.ModuleList()
        now = last
        for index, width in reversed(list(enumerate(widths))):
            for _ in range(layers + 1):
                self.up.append(_Residual(convolution, now + kept.pop(), width, told))
                now = width
            if index:
                self.larger.append(convolution(width, width, 3, padding=1))

        self.layers = layers
        self.normal = _group_norm(now)
        self.out = convolution(now, outputs * channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        """The output of the network, like x, or with twice its channels if outputs is 2.

        Args:
            x: grids, (B, C, ...).
            c_noise: noise levels, (B,).
            cond: labels, (B,) int64, or None.

        Raises:
            ValueError: naming `x` or `labels`.
        """
        if x.dim() != 2 + self.axes:
            raise ValueError(f"`x` must have {self.axes} axes beside batch and channels, got shape {tuple(x.shape)}")

        told = self.level(level_waves(c_noise).to(x.dtype))
        if self.label is not None and self.classes is not None:
            told = told + self.label(indices(cond, len(x), self.classes, x.device))

        h, kept = self._descended(self.into(_padded(x, self.multiple)), told)
        first, second = self.middle
        h = second(self.attention(first(h, told)), told)
        h = self._ascended(h, kept, told)

        h = self.out(F.silu(self.normal(h)))
        return h[(..., *(slice(size) for size in x.shape[2:]))]

    def _descended(self, h: Tensor, told: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The way down: the coarsest features, and the features for the skip connections."""
        kept = [h]
        blocks = iter(self.down)
        for smaller in (*self.smaller, None):
            for _ in range(self.layers):
                h = next(blocks)(h, told)
                kept.append(h)
            if smaller is not None:
                h = smaller(h)
                kept.append(h)
        return h, kept

    def _ascended(self, h: Tensor, kept: list[Tensor], told: Tensor) -> Tensor:
        """The way up: the finest features."""
        blocks = iter(self.up)
        for larger in (*self.larger, None):
            for _ in range(self.layers + 1):
                h = next(blocks)(torch.cat((h, kept.pop()), 1), told)
            if larger is not None:
                h = larger(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return h


class _Residual(nn.Module):
    """A residual block of two convolutions. Before the second, the embedding `told` scales and shifts the features."""

    def __init__(self, convolution: Any, inside: int, width: int, told: int):
        super().__init__()
        self.first = nn.Sequential(_group_norm(inside), nn.SiLU(), convolution(inside, width, 3, padding=1))
        self.told = nn.Linear(told, 2 * width)
        self.normal = _group_norm(width)
        self.second = convolution(width, width, 3, padding=1)
        self.beside = nn.Identity() if inside == width else convolution(inside, width, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        each = self.told(F.silu(told))
        scale, shift = each.reshape(*each.shape, *[1] * (x.dim() - 2)).chunk(2, 1)
        h = self.normal(self.first(x)) * (1 + scale) + shift
        return self.beside(x) + self.second(F.silu(h))


class _Attention(nn.Module):
    """A residual block of attention among all cells of a grid."""

    def __init__(self, width: int):
        super().__init__()
        self.heads = next(n for n in (4, 2, 1) if width % n == 0)
        self.normal = _group_norm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.normal(x).flatten(2).transpose(1, 2)
        b, t, width = tokens.shape
        q, k, v = self.qkv(tokens).reshape(b, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, width)
        return x + self.joined(seen).transpose(1, 2).reshape(x.shape)


def _group_norm(width: int) -> nn.GroupNorm:
    """At most 8 groups of at least 4 channels: a group of one channel would remove a shift of that channel."""
    return nn.GroupNorm(next((n for n in (8, 4, 2) if width % (4 * n) == 0), 1), width)


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Grids padded to sides that are multiples of a number; the last cells are repeated."""
    pads: list[int] = []
    for size in reversed(x.shape[2:]):
        pads += [0, -size % multiple]
    return F.pad(x, pads, mode="replicate") if any(pads) else x

"""A transformer over patches of grids: series, images, volumes and video of any size in one model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solvers import check

from .labels import indices

_LOG_SLOWEST = math.log(10_000.0)  # of the patches in the period of the slowest wave


class PatchTransformer(nn.Module):
    """F(x, c_noise, cond=None) for grids (B, C, ...), whose patches are tokens: adaLN-Zero on noise level and label.

    Each block starts as the identity (Peebles & Xie 2023, arXiv:2212.09748). A patch is told where it lies by waves of
    its coordinates from both ends of each axis, so that sizes never trained on can be asked. An image is a video of one
    frame. Grids of several sizes share a batch (`cond["size"]`): their tokens are packed for the layers, and attention
    stays within a sample (Dehghani et al. 2023, arXiv:2307.06304). c_noise should span about 0..1000.

    Args:
        channels: C.
        patch: sizes of a patch, one an axis: (2,) for series, (2, 2) for images, (1, 2, 2) for volumes and video.
        width: of the tokens; a multiple of heads.
        depth: blocks.
        heads: of attention.
        classes: for class-conditional models, or None.
        outputs: for each of x: 2 with a variance (`LearnedRange`).
    """

    def __init__(
        self,
        channels: int,
        patch: Sequence[int] = (2, 2),
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        classes: int | None = None,
        outputs: int = 1,
    ):
        super().__init__()
        self.patch = check.shape("patch", patch)
        for name, value in (("channels", channels), ("depth", depth), ("heads", heads), ("outputs", outputs)):
            check.integer(name, value)
        if check.integer("width", width) % (2 * heads):
            raise ValueError(f"`width` must be a multiple of twice the heads, {2 * heads}, got {width}")

        self.outputs = outputs
        self.classes = classes
        self.waves = max(1, width // (4 * len(self.patch)))
        inside = channels * math.prod(self.patch)
        self.into = nn.Linear(inside, width)
        self.place = nn.Linear(4 * self.waves * len(self.patch), width)
        self.level = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.label = None if classes is None else nn.Embedding(check.integer("classes", classes) + 1, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.last = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, outputs * inside)

        for layer in (self.last, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        """The network's answer, like x, or with twice its channels.

        Args:
            x: grids, (B, C, ...).
            c_noise: noise levels, (B,).
            cond: labels, (B,) int64; or a dict with "label" and "size", (B, axes) int64: only so much of each grid is
                looked at, from the first corner, and the answer is 0 beyond. None for neither.

        Raises:
            TypeError, ValueError: naming `x`, `labels` or `size`.
        """

        sizes = cond.get("size") if isinstance(cond, Mapping) else None
        labels = cond.get("label") if isinstance(cond, Mapping) else cond
        self._check_grid(x)
        told = self._told(c_noise, labels, len(x), x)

        if sizes is None:
            return self._answered([x], told)[0]

        return self._of_sizes(x, told, self._checked_sizes(sizes, x))

    def _of_sizes(self, x: Tensor, told: Tensor, sizes: list[tuple[int, ...]]) -> Tensor:
        """The answer for grids that are cut to their sizes; equal sizes make a group."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for row, size in enumerate(sizes):
            groups.setdefault(size, []).append(row)

        out = x.new_zeros(len(x), self.outputs * x.shape[1], *x.shape[2:])
        if not groups:
            return out

        order = torch.tensor([row for rows in groups.values() for row in rows], device=x.device)
        found = x[order].split([len(rows) for rows in groups.values()])
        parts = [part[(..., *map(slice, size))] for part, size in zip(found, groups, strict=True)]
        answers = self._answered(parts, told[order])

        first = 0

        for size, answer in zip(groups, answers, strict=True):
            last = first + len(answer)
            out[(slice(first, last), slice(None), *map(slice, size))] = answer
            first = last

        return out[order.argsort()]

    def _answered(self, parts: list[Tensor], told: Tensor) -> list[Tensor]:
        """Answers for groups of grids, each of one size; `told` holds their rows one group after the other."""
        counts = [len(part) for part in parts]
        places = [self.place(self._waves(part)) for part in parts]
        cut = _packed([self._cut(part) for part in parts], self.into)
        tokens = [t + place for t, place in zip(cut, places, strict=True)]

        for block in self.blocks:
            tokens = block(tokens, told, counts)

        shaped: list[Tensor] = []
        for t, (shift, scale) in zip(tokens, _beside(self.last(F.silu(told)), counts, (0, 1)), strict=True):
            shaped.append(torch.addcmul(shift, _normal(t), scale))

        return [self._joined(t, part) for t, part in zip(_packed(shaped, self.out), parts, strict=True)]

    def _told(self, c_noise: Tensor, labels: Any, count: int, x: Tensor) -> Tensor:
        """What every block is told of a sample, (B, width)."""
        frequencies = torch.exp(-_LOG_SLOWEST * torch.arange(32, device=x.device, dtype=torch.float32) / 32)
        angle = c_noise.float().reshape(-1, 1) * frequencies
        told = self.level(torch.cat((angle.sin(), angle.cos()), 1).to(self.into.weight.dtype))
        if self.label is None or self.classes is None:
            return told
        return told + self.label(indices(labels, count, self.classes, x.device))

    def _cut(self, x: Tensor) -> Tensor:
        """Patches as rows, (B, T, C * patch)."""
        axes = len(self.patch)
        split: list[int] = []
        for n, p in zip(x.shape[2:], self.patch, strict=True):
            split += [n // p, p]

        parts = x.reshape(len(x), x.shape[1], *split)
        order = (0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2))
        inside = math.prod(self.patch)
        return parts.permute(order).reshape(len(x), math.prod(x.shape[2:]) // inside, x.shape[1] * inside)

    def _joined(self, tokens: Tensor, x: Tensor) -> Tensor:
        """Rows as a grid again, (B, outputs C, ...)."""
        axes = len(self.patch)
        counts = [n // p for n, p in zip(x.shape[2:], self.patch, strict=True)]
        parts = tokens.reshape(len(x), *counts, self.outputs * x.shape[1], *self.patch)
        order: list[int] = [0, 1 + axes]
        for axis in range(axes):
            order += [1 + axis, 2 + axes + axis]
        return parts.permute(order).reshape(len(x), self.outputs * x.shape[1], *x.shape[2:])

    def _waves(self, x: Tensor) -> Tensor:
        """Sines and cosines of each patch's distance from both ends of each axis, (T, 4 waves axes)."""
        counts = [n // p for n, p in zip(x.shape[2:], self.patch, strict=True)]
        steps = torch.arange(self.waves, device=x.device, dtype=torch.float32) / self.waves
        angles = torch.arange(max(counts), device=x.device, dtype=torch.float32).outer(torch.exp(-_LOG_SLOWEST * steps))
        sines = angles.sin()
        cosines = angles.cos()
        waves: list[Tensor] = []

        for axis, n in enumerate(counts):
            shape = [1] * len(counts) + [-1]
            shape[axis] = n
            ends = torch.cat((sines[:n], sines[:n].flip(0), cosines[:n], cosines[:n].flip(0)), 1)
            waves.append(ends.reshape(shape).expand(*counts, -1))

        return torch.cat(waves, -1).flatten(0, -2).to(self.into.weight.dtype)

    def _check_grid(self, x: Tensor) -> None:
        axes = len(self.patch)
        if x.dim() != 2 + axes:
            raise ValueError(f"`x` must have {axes} axes beside batch and channels, as `patch`, got {tuple(x.shape)}")
        if any(n % p for n, p in zip(x.shape[2:], self.patch, strict=True)):
            raise ValueError(
                f"`x` must have sides that the patch {self.patch} divides, got {tuple(x.shape[2:])}; take another"
                " patch, or pad"
            )

    def _checked_sizes(self, sizes: Any, x: Tensor) -> list[tuple[int, ...]]:
        axes = len(self.patch)
        if not isinstance(sizes, Tensor) or sizes.is_floating_point() or sizes.shape != (len(x), axes):
            got = tuple(sizes.shape) if isinstance(sizes, Tensor) else type(sizes).__name__
            raise ValueError(f"`size` must be whole numbers of shape ({len(x)}, {axes}), got {got}")

        found = [tuple(row) for row in sizes.tolist()]
        for size in found:
            if any(not 0 < n <= most or n % p for n, most, p in zip(size, x.shape[2:], self.patch, strict=True)):
                raise ValueError(
                    f"`size` must hold multiples of the patch {self.patch}, at most {tuple(x.shape[2:])}, got {size}"
                )
        return found


def patch_for(sizes: Sequence[int], tokens: int = 256) -> tuple[int, ...]:
    """Sizes of a patch that divide a grid into at most so many tokens, where halving allows it.

    The axis with the most patches is halved first.

    Args:
        sizes: of the grid.
        tokens: at most so many are wanted.
    """

    patch = [1] * len(sizes)
    while math.prod(n // p for n, p in zip(sizes, patch, strict=True)) > tokens:
        even = [axis for axis, (n, p) in enumerate(zip(sizes, patch, strict=True)) if n // p % 2 == 0]
        if not even:
            break
        widest = max(even, key=lambda axis: sizes[axis] // patch[axis])
        patch[widest] *= 2

    return tuple(patch)


class _Block(nn.Module):
    """Attention and a layer of its own for every token, both told of noise level and label."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.told = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.body = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(self, tokens: list[Tensor], told: Tensor, counts: list[int]) -> list[Tensor]:
        parts = _beside(self.told(F.silu(told)), counts, (0, 1, 0, 0, 1, 0))

        fed = [torch.addcmul(m[0], _normal(t), m[1]) for t, m in zip(tokens, parts, strict=True)]
        seen = _packed([self._attended(each) for each in _packed(fed, self.qkv)], self.joined)
        tokens = [torch.addcmul(t, m[2], s) for t, m, s in zip(tokens, parts, seen, strict=True)]

        fed = [torch.addcmul(m[3], _normal(t), m[4]) for t, m in zip(tokens, parts, strict=True)]
        made = _packed(fed, self.body)
        return [torch.addcmul(t, m[5], s) for t, m, s in zip(tokens, parts, made, strict=True)]

    def _attended(self, qkv: Tensor) -> Tensor:
        """Attention within each sample of a group, (B, T, 3 width) -> (B, T, width)."""
        b, t, width = qkv.shape
        q, k, v = qkv.reshape(b, t, 3, self.heads, width // (3 * self.heads)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, width // 3)


def _packed(parts: list[Tensor], layer: nn.Module) -> list[Tensor]:
    """A layer on the tokens of all groups at once."""
    if len(parts) == 1:
        return [layer(parts[0])]

    made = layer(torch.cat([part.reshape(-1, part.shape[-1]) for part in parts]))
    rows = made.split([part.shape[0] * part.shape[1] for part in parts])
    return [row.view(*part.shape[:2], row.shape[-1]) for row, part in zip(rows, parts, strict=True)]


def _beside(told: Tensor, counts: list[int], plus: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """What the samples of each group are told, (B, 1, width) each, to lie beside their tokens.

    Args:
        told: of all samples, (B, parts * width).
        counts: samples of each group.
        plus: what is added to each part: scales are told as what they differ from 1.
    """
    width = told.shape[1] // len(plus)
    parts = told.view(len(told), len(plus), 1, width) + told.new_tensor(plus)[:, None, None]
    return [group.unbind(1) for group in parts.split(counts)]


def _normal(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])

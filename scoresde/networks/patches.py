"""A transformer over patches of grids: series, images, volumes and video of any size in one model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from solvers import check

from .blocks import SLOWEST, AdaptiveTransformer, check_heads, packed


class PatchTransformer(AdaptiveTransformer):
    """F(x, c_noise, cond=None) for grids (B, C, ...): a transformer on patches of the grid, with adaLN-Zero on
    noise level and label.

    Each block starts as the identity (Peebles & Xie 2023, arXiv:2212.09748). The position of a patch is given by sine
    waves of its distance from both ends of each axis, so that the network can also be used on sizes that it was not
    trained on. An image is a video of one frame. A batch may hold grids of several sizes (`cond["size"]`): their tokens
    are packed for all layers but attention, which stays within a sample (Dehghani et al. 2023, arXiv:2307.06304).
    c_noise should span about 0..1000.

    Args:
        channels: C.
        patch: sizes of a patch, one per axis: (2,) for series, (2, 2) for images, (1, 2, 2) for volumes and video.
        width: size of a token; a multiple of twice the heads.
        depth: number of blocks.
        heads: attention heads.
        classes: number of classes of a class-conditional model, or None.
        outputs: outputs for each element of x: 1, or 2 with a learned variance (`LearnedRange`).
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
        patch = check.shape("patch", patch)
        for name, value in (("channels", channels), ("depth", depth), ("outputs", outputs)):
            check.integer(name, value)
        check_heads(width, heads)

        waves = max(1, width // (4 * len(patch)))
        inside = channels * math.prod(patch)
        super().__init__(
            nn.Linear(inside, width),
            nn.Linear(4 * waves * len(patch), width),
            width,
            depth,
            heads,
            classes,
            outputs * inside,
        )
        self.patch = patch
        self.outputs = outputs
        self.waves = waves

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        """The output of the network, like x, or with twice its channels if outputs is 2.

        Args:
            x: grids, (B, C, ...); the patch must divide their sides.
            c_noise: noise levels, (B,).
            cond: labels, (B,) int64; or a dict with "label" and "size", (B, axes) int64: each grid is cut to its size
                at the first corner, and the output is 0 outside. None for neither.

        Raises:
            TypeError, ValueError: naming `x`, `labels` or `size`.
        """

        sizes = cond.get("size") if isinstance(cond, Mapping) else None
        labels = cond.get("label") if isinstance(cond, Mapping) else cond
        self._check_grid(x)
        told = self.told(c_noise, labels, len(x))

        if sizes is None:
            return self._answered([x], told)[0]

        return self._of_sizes(x, told, self._checked_sizes(sizes, x))

    def _of_sizes(self, x: Tensor, told: Tensor, sizes: list[tuple[int, ...]]) -> Tensor:
        """The output for grids that are cut to their sizes; grids of equal size form a group."""
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
        """The output for each group of grids of one size; `told` holds the embedding of each sample, in that order."""
        places = [self._placed(part) for part in parts]
        cut = packed([self._cut(part) for part in parts], self.into)
        tokens = [t + place for t, place in zip(cut, places, strict=True)]
        return [self._joined(t, part) for t, part in zip(self.answered(tokens, told), parts, strict=True)]

    def _placed(self, x: Tensor) -> Tensor:
        """The embedding of the positions of the patches, (T, width)."""
        assert self.place is not None
        return self.place(self._waves(x))

    def _cut(self, x: Tensor) -> Tensor:
        """Cut grids into patches, one row per patch, (B, T, C * numbers of a patch)."""
        axes = len(self.patch)
        split: list[int] = []
        for n, p in zip(x.shape[2:], self.patch, strict=True):
            split += [n // p, p]

        parts = x.reshape(len(x), x.shape[1], *split)
        order = (0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2))
        inside = math.prod(self.patch)
        return parts.permute(order).reshape(len(x), math.prod(x.shape[2:]) // inside, x.shape[1] * inside)

    def _joined(self, tokens: Tensor, x: Tensor) -> Tensor:
        """Put the rows of patches together to grids, (B, outputs * C, ...)."""
        axes = len(self.patch)
        counts = [n // p for n, p in zip(x.shape[2:], self.patch, strict=True)]
        parts = tokens.reshape(len(x), *counts, self.outputs * x.shape[1], *self.patch)
        order: list[int] = [0, 1 + axes]
        for axis in range(axes):
            order += [1 + axis, 2 + axes + axis]
        return parts.permute(order).reshape(len(x), self.outputs * x.shape[1], *x.shape[2:])

    def _waves(self, x: Tensor) -> Tensor:
        """Sines and cosines of each patch's distance from both ends of each axis, (T, 4 * waves * axes)."""
        counts = [n // p for n, p in zip(x.shape[2:], self.patch, strict=True)]
        steps = torch.arange(self.waves, device=x.device, dtype=torch.float32) / self.waves
        frequencies = torch.exp(-math.log(SLOWEST) * steps)
        angles = torch.arange(max(counts), device=x.device, dtype=torch.float32).outer(frequencies)
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
    """Sizes of a patch, powers of 2, which divide a grid into at most `tokens` patches if that is possible.

    The number of patches is halved again and again, first along the axis with the most. If no axis can be halved, more
    than `tokens` patches remain.

    Args:
        sizes: of the grid, one per axis.
        tokens: largest number of patches wanted, 1 or more.
    """

    patch = [1] * len(sizes)
    while math.prod(n // p for n, p in zip(sizes, patch, strict=True)) > tokens:
        even = [axis for axis, (n, p) in enumerate(zip(sizes, patch, strict=True)) if n // p % 2 == 0]
        if not even:
            break
        widest = max(even, key=lambda axis: sizes[axis] // patch[axis])
        patch[widest] *= 2

    return tuple(patch)

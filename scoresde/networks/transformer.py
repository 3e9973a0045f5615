"""A transformer for sets of points, where each point is a token, and for tables, where each column is a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from solvers import check

from .blocks import AdaptiveTransformer, check_heads


class Transformer(AdaptiveTransformer):
    """F(x, c_noise, cond=None) for sets of points (B, P, d) or for points (B, d): adaLN-Zero on noise level and label.

    The points of a set are tokens without positions: if the points are permuted, the output is permuted in the same
    way, and sets may have any number of points. A batch may hold sets of several sizes; a mask then says which points
    exist. For points (B, d) each column is a token with an embedding of its own. Vaswani et al. 2017, arXiv:1706.03762;
    Lee et al. 2019, arXiv:1810.00825. c_noise should span about 0..1000.

    Args:
        dim: d.
        width: size of a token; a multiple of twice the heads.
        depth: number of blocks.
        heads: attention heads.
        classes: number of classes of a class-conditional model, or None.
        outputs: outputs for each element of x: 1, or 2 with a learned variance (`LearnedRange`).
        sets: True: x holds sets (B, P, d); False: points (B, d).
    """

    def __init__(
        self,
        dim: int,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        classes: int | None = None,
        outputs: int = 1,
        sets: bool = True,
    ):
        for name, value in (("dim", dim), ("depth", depth), ("outputs", outputs)):
            check.integer(name, value)
        check_heads(width, heads)

        inside = dim if sets else 1
        super().__init__(
            nn.Linear(inside, width),
            None if sets else nn.Embedding(dim, width),
            width,
            depth,
            heads,
            classes,
            outputs * inside,
        )
        self.dim = dim
        self.outputs = outputs

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        """The output of the network, like x, or with twice its points or columns if outputs is 2.

        Args:
            x: sets, (B, P, d), or points, (B, d).
            c_noise: noise levels, (B,).
            cond: labels, (B,) int64; or a dict with "label" and, for sets, "mask", (B, P) bool, True for points that
                exist: attention ignores the others, and the output is 0 there. None for neither.

        Raises:
            TypeError, ValueError: naming `x`, `labels` or `mask`.
        """
        labels = cond.get("label") if isinstance(cond, Mapping) else cond
        mask = self._checked(x, cond)
        told = self.told(c_noise, labels, len(x))

        if self.place is not None:
            [out] = self.answered([self.into(x[..., None]) + self.place.weight], told)
            return out.transpose(1, 2).flatten(1)

        if mask is None:
            [out] = self.answered([self.into(x)], told)
            return self._split(out)

        there = mask[..., None]
        # A set without any point attends to all its tokens, since attention to none gives NaN. Its output is 0 too.
        seen = mask | ~mask.any(1, keepdim=True)
        [out] = self.answered([self.into(x.masked_fill(~there, 0.0))], told, [seen])
        return self._split(out.masked_fill(~there, 0.0))

    def _split(self, out: Tensor) -> Tensor:
        """(B, P, outputs * d) as (B, outputs * P, d): the second output follows the first along the points."""
        return out.unflatten(2, (self.outputs, self.dim)).transpose(1, 2).flatten(1, 2)

    def _checked(self, x: Tensor, cond: Any) -> Tensor | None:
        """Check x and the mask; the mask, or None if there is none."""
        sets = self.place is None
        if x.dim() != (3 if sets else 2) or x.shape[-1] != self.dim:
            what = "sets (B, P, d)" if sets else "points (B, d)"
            raise ValueError(f"`x` must be {what} with d = {self.dim}, got shape {tuple(x.shape)}")

        mask = cond.get("mask") if isinstance(cond, Mapping) else None
        if isinstance(cond, Tensor) and cond.dtype == torch.bool:
            raise TypeError('`labels` must be int64, got torch.bool; a mask is given as {"mask": mask}')
        if mask is None:
            return None
        if not sets:
            raise ValueError("`mask` must be left out for points, whose columns are all there")

        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise TypeError(f"`mask` must be a tensor of torch.bool, got {got}; pass mask.bool()")
        if mask.shape != x.shape[:2]:
            longer = mask.dim() == 2 and len(mask) == len(x) and mask.shape[1] < x.shape[1]
            said = "the sets are longer than the mask" if longer else "it has one truth value a point"
            raise ValueError(f"`mask` must be of shape {tuple(x.shape[:2])}, got {tuple(mask.shape)}: {said}")
        return mask

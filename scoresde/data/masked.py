"""Sets of several sizes: padded to the largest, with a mask that says which points there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise
from solvers.noise import PRIOR

MASK = "mask"
_SECOND = range(1, 2)  # of the prior's draws, whose first is where samples start


def masked_sets(x: Tensor, mask: Tensor, name: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The sets, 0 beyond their masks, and the condition that a network is given.

    Args:
        x: (N, P, d).
        mask: the points that there are, (N, P), of truth values, or of 0 and 1.
        name: of the file, for messages.

    Raises:
        ValueError: naming `mask`.
    """
    if x.dim() != 3 or mask.shape != x.shape[:2]:
        raise ValueError(
            f"`mask` must say of each point of x (N, P, d) whether it is there, got shape {tuple(mask.shape)} for x of"
            f" shape {tuple(x.shape)} in {name}"
        )
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(f"`mask` must hold 0 and 1, or truth values, got {mask.min()} to {mask.max()} in {name}")

    there = mask.bool()
    if not bool(there.any(1).all()):
        row = int((~there.any(1)).nonzero()[0])
        raise ValueError(f"`mask` must leave each set a point, got none in row {row} of {name}; leave that row out")

    return x.masked_fill(~there[..., None], 0), {MASK: there}


def is_mask(cond: Any) -> bool:
    """Whether a condition is the mask of sets, and nothing else.

    Args:
        cond: of `Samples`.
    """
    return isinstance(cond, Mapping) and set(cond) == {MASK}


def size_counts(cond: Any) -> dict[str, int] | None:
    """How many sets there are of each size, sizes as JSON has keys; None where there is no mask.

    Args:
        cond: of `Samples`.
    """
    if not is_mask(cond):
        return None
    sizes, counts = cond[MASK].sum(1).unique(return_counts=True)
    return {str(size): count for size, count in zip(sizes.tolist(), counts.tolist(), strict=True)}


def drawn_masks(counts: Mapping[str, int], points: int, rows: range, seed: int) -> Tensor:
    """Masks of sets whose sizes come as often as in `counts`, (rows, points) bool; that of sample i is a function of
    (seed, i).

    Args:
        counts: by `size_counts`.
        points: P, of the largest set.
        rows: which samples.
        seed: of the sizes.
    """
    sizes = torch.tensor([int(size) for size in counts], device="cpu")
    shares = torch.tensor(list(counts.values()), dtype=torch.float64, device="cpu").cumsum(0)
    u = SeededNoise(seed, rows.start).uniform(PRIOR, _SECOND, (len(rows), 1)).flatten().contiguous()
    index = torch.searchsorted(shares / shares[-1], u, right=True).clamp(max=len(sizes) - 1)
    return torch.arange(points, device="cpu") < sizes[index][:, None]

"""Sets of points of different sizes: padded to the largest, with a mask that marks the points that exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise
from solvers.noise import PRIOR

MASK = "mask"
_SECOND = range(1, 2)  # second draw of the stream PRIOR; the first draw is the start of sampling


def masked_sets(x: Tensor, mask: Tensor, name: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Set the padding of x to 0, and make the condition for the network.

    Args:
        x: sets of points, (N, P, d).
        mask: marks the points that exist, (N, P), truth values, or 0 and 1.
        name: of the file, for messages.

    Returns:
        (x with padding 0, {"mask": (N, P) bool}).

    Raises:
        ValueError: if the shapes do not fit, the mask has other values, or a set has no points; naming `mask`.
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
    """Whether a condition consists of a mask of sets alone.

    Args:
        cond: the condition, `Samples.cond`.
    """
    return isinstance(cond, Mapping) and set(cond) == {MASK}


def size_counts(cond: Any) -> dict[str, int] | None:
    """Count the sets of each size.

    Args:
        cond: the condition, `Samples.cond`.

    Returns:
        {size: number of sets}, the sizes as text, because JSON allows no other keys; None if the condition is no mask.
    """
    if not is_mask(cond):
        return None
    sizes, counts = cond[MASK].sum(1).unique(return_counts=True)
    return {str(size): count for size, count in zip(sizes.tolist(), counts.tolist(), strict=True)}


def drawn_masks(counts: Mapping[str, int], points: int, rows: range, seed: int) -> Tensor:
    """Draw masks for new samples. Set sizes are drawn with the frequencies in `counts`.

    Args:
        counts: number of sets of each size, as `size_counts` returns it.
        points: P, the number of points of the largest set.
        rows: numbers of the samples.
        seed: determines the sizes; the mask of sample i depends on (seed, i) alone.

    Returns:
        (len(rows), points) bool.
    """
    sizes = torch.tensor([int(size) for size in counts], device="cpu")
    shares = torch.tensor(list(counts.values()), dtype=torch.float64, device="cpu").cumsum(0)
    u = SeededNoise(seed, rows.start).uniform(PRIOR, _SECOND, (len(rows), 1)).flatten().contiguous()
    index = torch.searchsorted(shares / shares[-1], u, right=True).clamp(max=len(sizes) - 1)
    return torch.arange(points, device="cpu") < sizes[index][:, None]

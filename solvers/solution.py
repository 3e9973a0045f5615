"""What a solve returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Solution:
    """State y reached at t, and how.

    t         0-d on a fixed grid, (B,) when adaptive (float64)
    y         final state, shaped like y0
    ts, ys    save times (S,) and states (S, *y.shape); None unless asked for
    evals     evaluations of f per sample: an int on fixed grids, (B,) int64 when adaptive
    calls     batched calls of f that were made;  g_calls  the same for g
    accepted, rejected   steps: ints on fixed grids, (B,) int64 when adaptive
    ok        (B,) bool: whether the sample reached the end with a finite state
    """

    t: Tensor
    y: Tensor
    ts: Tensor | None
    ys: Tensor | None
    evals: int | Tensor
    calls: int
    g_calls: int
    accepted: int | Tensor
    rejected: int | Tensor
    ok: Tensor

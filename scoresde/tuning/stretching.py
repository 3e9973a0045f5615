"""A change of a tuned method to another number of calls than the one it was tuned for."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from solvers import Table, check

from ..samplers.grids import ExplicitGrid, at_index
from ..samplers.method import Method


def stretched(method: Method, calls: int) -> Method:
    """Interpolate the levels and coefficients of a tuned method to another number of calls.

    The result is not tuned for that number. Levels are interpolated at equal steps of their index. A row of
    coefficients is interpolated between two rows of the table, lag by lag. Weights of slopes before the first step are
    added to the weight of the first slope.

    Args:
        method: a tuned method, with a `Table` on an `ExplicitGrid`.
        calls: network calls per sample, 2 or more.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    if not isinstance(method.solver, Table) or not isinstance(method.grid, ExplicitGrid):
        raise TypeError(f"`method` must be a tuned one, of a Table on an ExplicitGrid, got {method!r:.80}")
    if method.stochastic:
        raise ValueError(
            "`method` must be deterministic, because noise is tuned to the gaps of its levels, got one whose table has"
            f" {len(method.solver.stds)} stds; tune_noise makes another"
        )

    check.integer("calls", calls, least=2)
    rows = method.solver.rows
    lams = method.grid.lams
    steps = calls - method.final_denoise
    anchor = int(lams[0] == -math.inf)
    index = torch.linspace(0, len(rows) - anchor, steps + 1 - anchor, dtype=torch.float64, device="cpu")
    levels = (*lams[:anchor], *check.values(at_index(lams[anchor:], index)))
    table = tuple(_row(rows, k * (len(rows) - 1) / max(1, steps - 1), k) for k in range(steps))

    return replace(method, solver=Table(table), grid=ExplicitGrid(levels), n=len(levels))


def _row(rows: tuple[tuple[float, ...], ...], at: float, k: int) -> tuple[float, ...]:
    """The row interpolated at the fractional index `at`, with k + 2 numbers."""
    before = min(int(at), len(rows) - 1)
    after = min(before + 1, len(rows) - 1)
    share = at - before
    ends = [_fitted(rows[i], k) for i in (before, after)]
    return tuple((1 - share) * a + share * b for a, b in zip(*ends, strict=True))


def _fitted(row: tuple[float, ...], k: int) -> tuple[float, ...]:
    """A row fitted to k + 1 slopes, newest last: surplus weights are added to the oldest, missing ones are 0."""
    own, *weights = row
    more = len(weights) - (k + 1)
    if more >= 0:
        return own, math.fsum(weights[: more + 1]), *weights[more + 1 :]
    return own, *[0.0] * -more, *weights

"""The uncertainty of a measured distance: its 95 % interval, and the distance that two exact sets would show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import check

from .kernel_distance import KernelDistance, Metric


@dataclass(frozen=True)
class DistanceEstimate:
    """A distance, its 95 % interval from low to high, and its floor: the mean distance of two exact sets of this
    size, or None if it is not known."""

    value: float
    low: float
    high: float
    floor: float | None = None


def estimate(
    metric: Metric,
    x: Tensor,
    y: Tensor,
    blocks: int = 20,
    floor: float | None = None,
) -> DistanceEstimate:
    """A distance with its 95 % interval by the delete-a-block jackknife.

    The interval is value +- t (B-1)^1/2 std, where std is the standard deviation of the B distances that leave out one
    block each. The samples of each set must be in random order. The interval is too wide near zero, where a squared
    distance is not linear in the samples.

    Args:
        metric: the distance.
        x: samples, (n, ...), in random order.
        y: samples, (m, ...), in random order.
        blocks: number of blocks B, 2 to min(n, m).
        floor: mean distance of two exact sets of this size, stored with the estimate; None: not known.
    """

    from scipy.stats import t  # pyright: ignore[reportMissingTypeStubs]

    check.integer("blocks", blocks, least=2, most=min(len(x), len(y)))
    value = metric(x, y)

    if isinstance(metric, KernelDistance):
        left = metric.without(x, y, blocks)
    else:
        left = torch.tensor(
            [metric(_without(x, b, blocks), _without(y, b, blocks)) for b in range(blocks)],
            dtype=torch.float64,
            device="cpu",
        )

    error = ((blocks - 1) * (left - left.mean()).square().mean()).sqrt().item() * float(t.ppf(0.975, blocks - 1))

    return DistanceEstimate(value, value - error, value + error, floor)


def floor(
    metric: Metric,
    draw: Callable[[int, int], Tensor],
    n: int,
    m: int,
    pairs: int = 4,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation of a metric between two exact sets of n and m samples.

    Args:
        metric: the distance.
        draw: (count, seed) -> exact samples, (count, ...).
        n: samples in the first set.
        m: samples in the second set.
        pairs: number of pairs of sets, 2 or more.
        seed: of the first set; each further set takes the next number.

    Returns:
        The mean of the metric over the pairs, and the standard deviation of one pair.
    """
    check.integer("pairs", pairs, least=2)
    values = torch.tensor(
        [metric(draw(n, seed + 2 * i), draw(m, seed + 2 * i + 1)) for i in range(pairs)],
        dtype=torch.float64,
        device="cpu",
    )

    return values.mean().item(), values.std().item()


def frechet_floor(d: int, n: int) -> float:
    """Mean Frechet distance of two sets of n draws from the same N(0, I) in d dimensions: 2d/n + d(d+1)/(2n).

    Args:
        d: elements per sample.
        n: samples in each set.
    """
    return 2 * d / n + d * (d + 1) / (2 * n)


def _without(x: Tensor, block: int, blocks: int) -> Tensor:
    first = block * len(x) // blocks
    last = (block + 1) * len(x) // blocks
    return torch.cat([x[:first], x[last:]])

"""Distances between sample sets, each with an interval and the floor that two exact sets of that size would show.

    energy    2 E|X - Y| - E|X - X'| - E|Y - Y'|                       Szekely & Rizzo 2013
    mmd       E k(X, X') + E k(Y, Y') - 2 E k(X, Y), k Gaussian        Gretton et al. 2012
    kid       the same with k = (x.y/d + 1)^3, unbiased                Binkowski et al. 2018, arXiv:1801.01401
    sliced    sqrt E_theta W2^2(theta.X, theta.Y)                      Rabin et al. 2012; Bonneel et al. 2015
    frechet   |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)        Heusel et al. 2017, arXiv:1706.08500

Sets are (n, ...) and are flattened; sums run in float64 over blocks, so that the answer does not depend on memory.
Everything here is zero on identical sets, except `kid` and `unbiased=True`, which have mean zero on equal laws
instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PROBE

from .judge import frechet

Metric = Callable[[Tensor, Tensor], float]
Kernel = Callable[[Tensor, Tensor], Tensor]
_BLOCK = 1024


@dataclass(frozen=True)
class KernelDistance:
    """Mean k(x, x') + mean k(y, y') - 2 mean k(x, y), over all pairs or, `unbiased`, those of different samples."""

    kernel: Kernel
    unbiased: bool = False

    def __call__(self, x: Tensor, y: Tensor) -> float:
        """The distance."""
        return float(self.without(x, y, 0))

    def without(self, x: Tensor, y: Tensor, blocks: int) -> Tensor:
        """The distance without each of `blocks` blocks of both sets, (blocks,), for the price of one; 0 blocks: the
        distance, 0-d."""
        x, y = paired(x, y)
        if self.unbiased and min(len(x), len(y)) < 2:
            raise ValueError(f"`x` and `y` must hold at least 2 samples each, got {len(x)} and {len(y)}")
        xx, yy, xy = (self._mean(a, b, blocks, self.unbiased and a is b) for a, b in ((x, x), (y, y), (x, y)))
        return xx + yy - 2 * xy

    def _mean(
        self,
        a: Tensor,
        b: Tensor,
        blocks: int,
        off_diagonal: bool,
    ) -> Tensor:
        """Mean of the kernel over the pairs that are left: sums over pairs of blocks, then inclusion and exclusion."""
        parts = max(1, blocks)
        cuts_a, cuts_b = ([k * len(each) // parts for k in range(parts + 1)] for each in (a, b))
        sums = torch.zeros(parts, parts, dtype=torch.float64, device="cpu")
        counts = torch.zeros(parts, parts, dtype=torch.float64, device="cpu")

        for i, j in ((i, j) for i in range(parts) for j in range(parts)):
            inner = a[cuts_a[i] : cuts_a[i + 1]]
            outer = b[cuts_b[j] : cuts_b[j + 1]]
            counts[i, j] = len(inner) * len(outer) - (len(inner) if off_diagonal and i == j else 0)

            for first in range(0, len(inner), _BLOCK):
                values = self.kernel(inner[first : first + _BLOCK], outer)
                sums[i, j] += values.sum() - (values.diagonal(first).sum() if off_diagonal and i == j else 0)

        if not blocks:
            return sums[0, 0] / counts[0, 0]

        total, count = (each.sum() - each.sum(0) - each.sum(1) + each.diagonal() for each in (sums, counts))

        return total / count


def energy(x: Tensor, y: Tensor, unbiased: bool = False) -> float:
    """Energy distance (squared, as usually stated); 0 iff the laws agree.

    Args:
        x: samples, (n, ...).
        y: samples, (m, ...).
        unbiased: whether each sample's pair with itself is left out.
    """
    return KernelDistance(_minus_distance, unbiased)(x, y)


def mmd(
    x: Tensor,
    y: Tensor,
    scale: float = 1.0,
    unbiased: bool = False,
) -> float:
    """Squared maximum mean discrepancy with the kernel exp(-|x - y|^2 / (2 scale^2))."""
    s = check.number("scale", scale, above=0.0)
    return KernelDistance(lambda a, b: _gaussian(a, b, s), unbiased)(x, y)


def kid(x: Tensor, y: Tensor) -> float:
    """Kernel inception distance on whatever features it is given: unbiased, so it may be negative."""
    return KernelDistance(lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3, True)(x, y)


def sliced(x: Tensor, y: Tensor, directions: Tensor | None = None) -> float:
    """Sliced W2 over `directions` (m, d), unit rows; default 256 of a fixed seed. Sets of unequal size meet on a
    common grid of quantiles."""

    x, y = paired(x, y)
    theta = unit_directions(x.shape[1]) if directions is None else directions.to(torch.float64)
    total = 0.0

    for some in theta.split(max(1, (1 << 22) // max(len(x), len(y)))):
        a = (x @ some.T).sort(0)[0]
        b = (y @ some.T).sort(0)[0]
        if len(a) != len(b):
            at = (torch.arange(max(len(a), len(b)), dtype=torch.float64, device="cpu") + 0.5) / max(len(a), len(b))
            a, b = (torch.stack([torch.quantile(column, at) for column in each.T], 1) for each in (a, b))

        total += float((a - b).square().mean(0).sum())

    return math.sqrt(total / len(theta))


def unit_directions(d: int, count: int = 256, seed: int = 0) -> Tensor:
    """`count` directions uniform on the sphere, (count, d) float64."""
    z = SeededNoise(seed).normal(PROBE, range(1), (count, d), torch.float64)[0]
    return z / z.norm(dim=1, keepdim=True)


def sliced_gaussian(
    mean_a: Tensor,
    cov_a: Tensor,
    mean_b: Tensor,
    cov_b: Tensor,
    directions: Tensor,
) -> float:
    """Sliced W2 of two Gaussians over given directions: W2^2 along theta is (theta.dm)^2 + (std_a - std_b)^2."""
    stds = [torch.einsum("md,de,me->m", directions, cov, directions).sqrt() for cov in (cov_a, cov_b)]
    return ((directions @ (mean_a - mean_b)).square() + (stds[0] - stds[1]).square()).mean().sqrt().item()


def mmd_gaussian(
    mean_a: Tensor,
    cov_a: Tensor,
    mean_b: Tensor,
    cov_b: Tensor,
    scale: float = 1.0,
) -> float:
    """Squared discrepancy of two Gaussians: E k = det(I + C/s^2)^(-1/2) exp(-dm^T (s^2 I + C)^-1 dm / 2), C the sum of
    covariances."""

    def mean_kernel(gap: Tensor, cov: Tensor) -> float:
        eye = torch.eye(len(gap), dtype=torch.float64, device="cpu")
        return float(
            torch.linalg.det(eye + cov / scale**2) ** -0.5
            * torch.exp(-0.5 * gap @ torch.linalg.solve(scale**2 * eye + cov, gap))
        )

    gap = mean_a - mean_b

    return mean_kernel(0 * gap, 2 * cov_a) + mean_kernel(0 * gap, 2 * cov_b) - 2 * mean_kernel(gap, cov_a + cov_b)


def precision_recall(real: Tensor, made: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of `made` inside the k-nearest-neighbour balls of `real`, and the reverse. Kynkaanniemi et al. 2019,
    arXiv:1904.06991."""

    real, made = paired(real, made)
    check.integer("k", k, most=min(len(real), len(made)) - 1)

    def covered(inside: Tensor, by: Tensor) -> float:
        radius = torch.cat([torch.cdist(rows, by).kthvalue(k + 1, dim=1)[0] for rows in by.split(_BLOCK)])
        return (
            torch.cat([(torch.cdist(rows, by) <= radius).any(1) for rows in inside.split(_BLOCK)])
            .double()
            .mean()
            .item()
        )

    return covered(made, real), covered(real, made)


def on_features(metric: Metric, features: Callable[[Tensor], Tensor], batch: int = 256) -> Metric:
    """`metric` between features (n, ...) -> (n, d) of any module, without gradients, `batch` samples at once."""

    def measured(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            a, b = (torch.cat([features(part).double() for part in each.split(batch)]) for each in (x, y))
        return metric(a, b)

    return measured


@dataclass(frozen=True)
class DistanceEstimate:
    """A distance, its interval from low to high, and what two exact sets of this size would show."""

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
    """The distance with a 95 % interval by the delete-a-block jackknife: value +- t (B-1)^1/2 std of the B
    leave-one-block-out values.

    Samples of a set must be in random order. Wide near zero, where a squared distance is no longer linear in the
    samples."""

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
    """Mean and standard deviation of the metric between exact sets of n and m samples; draw(count, seed) makes one."""
    check.integer("pairs", pairs, least=2)
    values = torch.tensor(
        [metric(draw(n, seed + 2 * i), draw(m, seed + 2 * i + 1)) for i in range(pairs)],
        dtype=torch.float64,
        device="cpu",
    )

    return values.mean().item(), values.std().item()


def frechet_floor(d: int, n: int) -> float:
    """Mean Frechet distance of two sets of n draws of one N(0, I) in d dimensions: 2d/n + d(d+1)/(2n)."""
    return 2 * d / n + d * (d + 1) / (2 * n)


def _without(x: Tensor, block: int, blocks: int) -> Tensor:
    first = block * len(x) // blocks
    last = (block + 1) * len(x) // blocks
    return torch.cat([x[:first], x[last:]])


def paired(x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y")) -> tuple[Tensor, Tensor]:
    """Two sets as rows of float64 on the CPU, (n, d) and (m, d). Raises ValueError naming the one that does not fit."""
    a, b = (
        check.state(name, v).detach().reshape(len(v), -1).to("cpu", torch.float64)
        for name, v in zip(names, (x, y), strict=True)
    )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`{names[1]}` must hold {a.shape[1]} numbers per sample as {names[0]} does, got shape {tuple(y.shape)}"
        )
    return a, b


def _minus_distance(a: Tensor, b: Tensor) -> Tensor:
    return -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _gaussian(a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    return torch.exp(-_minus_distance(a, b).square() / (2 * scale * scale))


METRICS: dict[str, Metric] = {
    "energy": KernelDistance(_minus_distance),
    "sliced": sliced,
    "mmd": KernelDistance(_gaussian),
    "frechet": frechet,
    "kid": kid,
}

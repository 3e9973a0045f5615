"""Distances between two sets of samples, and between two Gaussians in closed form.

    energy    2 E|X - Y| - E|X - X'| - E|Y - Y'|                       Szekely & Rizzo 2013
    mmd       E k(X, X') + E k(Y, Y') - 2 E k(X, Y), k Gaussian        Gretton et al. 2012
    kid       the same with k = (x.y/d + 1)^3, unbiased                Binkowski et al. 2018, arXiv:1801.01401
    sliced    sqrt E_theta W2^2(theta.X, theta.Y)                      Rabin et al. 2012; Bonneel et al. 2015
    frechet   |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)        Heusel et al. 2017, arXiv:1706.08500

Sets have shape (n, ...) and are flattened. Sums run in float64 over blocks of fixed size, so the result does not depend
on the available memory. `estimate` gives a distance with a 95 % interval. `floor` gives the distance that two exact
sets of the same size would show. Every distance is zero on identical sets, except `kid` and `unbiased=True`; those have
mean zero if both distributions are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PROBE

from .intervals import DistanceEstimate as DistanceEstimate
from .intervals import estimate as estimate
from .intervals import floor as floor
from .intervals import frechet_floor as frechet_floor
from .judge import frechet
from .kernel_distance import KernelDistance as KernelDistance
from .kernel_distance import Metric as Metric
from .kernel_distance import gaussian_kernel, minus_distance
from .kernel_distance import paired as paired

_BLOCK = 1024


def energy(x: Tensor, y: Tensor, unbiased: bool = False) -> float:
    """Energy distance of two sets of samples, 2 E|X - Y| - E|X - X'| - E|Y - Y'| (no square root is taken).

    For whole distributions it is 0 only if they are equal.

    Args:
        x: samples, (n, ...).
        y: samples, (m, ...).
        unbiased: whether each sample's pair with itself is left out.
    """
    return KernelDistance(minus_distance, unbiased)(x, y)


def mmd(
    x: Tensor,
    y: Tensor,
    scale: float = 1.0,
    unbiased: bool = False,
) -> float:
    """Squared maximum mean discrepancy (MMD) of two sets of samples, with the kernel exp(-|x - y|^2 / (2 scale^2)).

    Args:
        x: samples, (n, ...).
        y: samples, (m, ...).
        scale: width of the kernel, above 0, in units of the samples.
        unbiased: whether each sample's pair with itself is left out.
    """
    s = check.number("scale", scale, above=0.0)
    return KernelDistance(lambda a, b: gaussian_kernel(a, b, s), unbiased)(x, y)


def kid(x: Tensor, y: Tensor) -> float:
    """Kernel inception distance of two sets of features. It is unbiased, so it may be negative.

    Args:
        x: features, (n, d).
        y: features, (m, d).
    """
    return KernelDistance(lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3, True)(x, y)


def sliced(x: Tensor, y: Tensor, directions: Tensor | None = None) -> float:
    """Sliced Wasserstein distance: the root mean square, over many directions, of the W2 distances between
    both sets projected on the direction.

    Sets of unequal size are compared on a common grid of quantiles.

    Args:
        x: samples, (n, ...).
        y: samples, (m, ...), with as many elements per sample.
        directions: unit vectors, (k, d), d the number of elements per sample; None: 256 of a fixed seed.

    Returns:
        The distance, in units of the samples.
    """

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
    """Unit vectors drawn uniformly on the sphere, (count, d) float64.

    Args:
        d: dimension.
        count: number of directions.
        seed: direction i is a function of (seed, d, i).
    """
    z = SeededNoise(seed).normal(PROBE, range(1), (count, d), torch.float64)[0]
    return z / z.norm(dim=1, keepdim=True)


def sliced_gaussian(
    mean_a: Tensor,
    cov_a: Tensor,
    mean_b: Tensor,
    cov_b: Tensor,
    directions: Tensor,
) -> float:
    """Sliced W2 of two Gaussians over given directions, in closed form: W2^2 along theta is (theta.dm)^2 + (std_a -
    std_b)^2.

    Args:
        mean_a: mean of the first Gaussian, (d,) float64.
        cov_a: its covariance, (d, d) float64.
        mean_b: mean of the second Gaussian, (d,) float64.
        cov_b: its covariance, (d, d) float64.
        directions: unit vectors, (m, d) float64.
    """
    stds = [torch.einsum("md,de,me->m", directions, cov, directions).sqrt() for cov in (cov_a, cov_b)]
    return ((directions @ (mean_a - mean_b)).square() + (stds[0] - stds[1]).square()).mean().sqrt().item()


def mmd_gaussian(
    mean_a: Tensor,
    cov_a: Tensor,
    mean_b: Tensor,
    cov_b: Tensor,
    scale: float = 1.0,
) -> float:
    """Squared MMD of two Gaussians in closed form, from the mean of the kernel for a difference N(dm, C),

        E k = det(I + C/s^2)^(-1/2) exp(-dm^T (s^2 I + C)^-1 dm / 2),    C the sum of both covariances, s the scale.

    Args:
        mean_a: mean of the first Gaussian, (d,) float64.
        cov_a: its covariance, (d, d) float64.
        mean_b: mean of the second Gaussian, (d,) float64.
        cov_b: its covariance, (d, d) float64.
        scale: width of the kernel, as in `mmd`.
    """

    def mean_kernel(gap: Tensor, cov: Tensor) -> float:
        eye = torch.eye(len(gap), dtype=torch.float64, device="cpu")
        return float(
            torch.linalg.det(eye + cov / scale**2) ** -0.5
            * torch.exp(-0.5 * gap @ torch.linalg.solve(scale**2 * eye + cov, gap))
        )

    gap = mean_a - mean_b

    return mean_kernel(0 * gap, 2 * cov_a) + mean_kernel(0 * gap, 2 * cov_b) - 2 * mean_kernel(gap, cov_a + cov_b)


def precision_recall(real: Tensor, made: Tensor, k: int = 3) -> tuple[float, float]:
    """Precision and recall of generated samples: the shares of each set inside the k-nearest-neighbour balls of the
    other. Kynkaanniemi et al. 2019, arXiv:1904.06991.

    Args:
        real: samples of the data, (n, ...).
        made: samples of the model, (m, ...).
        k: the ball around a sample reaches to its k-th nearest neighbour; 1 to min(n, m) - 1.

    Returns:
        Precision, the share of `made` inside a ball of `real`; recall, the share of `real` inside a ball of `made`.
    """

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
    """Make a metric of samples from a metric of features. Features are computed without gradients, in batches.

    Args:
        metric: distance of two sets of features.
        features: samples (B, ...) -> features (B, d).
        batch: number of samples in one call of `features`.

    Returns:
        A metric of samples.
    """

    def measured(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            a, b = (torch.cat([features(part).double() for part in each.split(batch)]) for each in (x, y))
        return metric(a, b)

    return measured


METRICS: dict[str, Metric] = {
    "energy": KernelDistance(minus_distance),
    "sliced": sliced,
    "mmd": KernelDistance(gaussian_kernel),
    "frechet": frechet,
    "kid": kid,
}

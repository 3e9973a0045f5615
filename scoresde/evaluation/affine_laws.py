"""The exact distribution of the samples of an affine method on Gaussian data, found without any random number.

On Gaussian data every step of a method with affine updates maps Gaussians to Gaussians. A batch of unit impulses gives
the map y = a x + b + sum_k c_k z_k, where the z_k are the standard normals that the method draws. The map gives the
distribution of y for a Gaussian x. The last row of the batch holds all impulses times -2: an affine map must reproduce
it from the other rows. Steps scaled by norms, and adaptive steps, are not affine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from solvers import check
from solvers.noise import AREA, INCREMENT, Normals, Source

Key = tuple[float, ...]  # stream and interval of a Brownian path, or stream and index of a draw
Run = Callable[[Tensor, Source], Tensor]
Law = tuple[Tensor, Tensor]  # mean (d,), covariance (d, d)
F64 = torch.float64
# Value of every impulse in the last row: an affine map reproduces that row from the others, any other map does not.
AT_ONCE = -2.0


class NotAffine(ValueError):
    """The method is not affine, so its output distribution cannot be computed in this way."""


class Impulses(Normals):
    """A noise source of impulses, not random numbers: each normal is 1 in one row, -2 in the last row and 0 in the
    others. In a batch of one row all are 0; such a run only counts the normals."""

    def __init__(self) -> None:
        self.slots: dict[Key, int] = {}

    def on(self, times: Tensor, y: Tensor) -> _ImpulsePath:
        return _ImpulsePath(self, y)

    def draw(self, stream: int, index: int, y: Tensor) -> Tensor:
        return self.unit((stream, index), y)

    def unit(self, key: Key, y: Tensor) -> Tensor:
        """The impulse values of one normal for the whole batch, (B, d).

        Args:
            key: identifies the normal: stream and interval of a Brownian path, or stream and index of a draw.
            y: state with the shape of the result, (B, d).
        """
        slot = self.slots.setdefault(key, len(self.slots))
        out = torch.zeros_like(y)
        d = y.shape[1]

        if len(y) > 1:
            first = 1 + d * (1 + slot)
            out[first : first + d] = torch.eye(d, dtype=y.dtype, device=y.device)
            out[-1] = AT_ONCE

        return out


class _ImpulsePath(NamedTuple):
    source: Impulses
    like: Tensor

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        return self._scaled(INCREMENT, t0, t1) * (t1 - t0).abs().sqrt()

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        return self(t0, t1), self._scaled(AREA, t0, t1) * ((t1 - t0).abs() / 12).sqrt()

    def _scaled(self, stream: int, t0: Tensor, t1: Tensor) -> Tensor:
        return self.source.unit((stream, t0.item(), t1.item()), self.like)


@dataclass(frozen=True)
class Affine:
    """The affine map y = a x + b + sum_k c_k z_k: a (d, d), b (d,), c_k (d, d) by the key of each normal, in the order
    of the draws."""

    a: Tensor
    b: Tensor
    c: dict[Key, Tensor]

    def law(self, mean: Tensor, cov: Tensor) -> Law:
        """Mean and covariance of y for x ~ N(mean, cov).

        Args:
            mean: mean of x, (d,).
            cov: covariance of x, (d, d).
        """
        noise = sum((c @ c.mT for c in self.c.values()), torch.zeros_like(cov))
        return self.a @ mean + self.b, self.a @ cov @ self.a.mT + noise


def affine(
    run: Run,
    d: int,
    scale: float = 1.0,
    device: str = "cpu",
) -> Affine:
    """Measure the affine map of a method by two runs. The first has one row, and counts the normals that are drawn.

    The rows of the second run, with e_i the unit vectors:

        rows                       x               normals           result of an affine method
        0                          0               0                 b
        1 to d                     scale e_i       0                 b + scale a e_i
        d more for each normal k   0               z_k = e_i         b + c_k e_i
        the last                   -2 scale sum    z_k = -2 sum      b - 2 (sum of all rows from 1, each less b)

    where sum is the sum of all e_i.

    Args:
        run: (x, noise) -> y on states (B, d) in float64; it draws from `noise` alone.
        d: number of elements of a state.
        scale: size of the impulses of x, above 0.
        device: where the states are made.

    Raises:
        NotAffine: if the last row differs from that result, or if the second run draws other normals.
    """

    check.number("scale", scale, above=0.0)
    source = Impulses()
    eye = scale * torch.eye(d, dtype=F64, device=device)
    zero = torch.zeros_like(eye[:1])
    run(zero, source)
    names = list(source.slots)
    y = run(torch.cat([zero, eye, zero.expand(d * len(names), d), AT_ONCE * eye.sum(0, keepdim=True)]), source).cpu()
    apart = y[1:] - y[0]
    error = (AT_ONCE * apart[:-1].sum(0) - apart[-1]).abs()
    adds_up = bool((error <= 1e-6 * (1 + apart.abs().sum(0))).all())

    if list(source.slots) != names or not adds_up:
        raise NotAffine(
            "`run` must be affine in its state and the normals it draws; all impulses at once do not add up"
        )

    columns = apart[:-1].reshape(-1, d, d).mT  # row j of a block is the image of unit vector j

    return Affine(columns[0] / scale, y[0], dict(zip(names, columns[1:], strict=True)))


def w2(a: Law, b: Law) -> float:
    """The Wasserstein distance W2 of two Gaussians, accurate to rounding even if they are close:

        W2^2 = |m_a - m_b|^2 + |A^1/2 - B^1/2 U|^2,    U orthogonal, the polar factor of B^1/2 A^1/2.

    `judge.frechet_gaussian` computes W2^2 by a formula that suffers from cancellation. Gelbrich 1990.

    Args:
        a: mean (d,) and covariance (d, d) of one Gaussian.
        b: mean and covariance of the other Gaussian.
    """

    roots: list[Tensor] = []

    for _, cov in (a, b):
        values, vectors = torch.linalg.eigh(cov)
        roots.append((vectors * values.clamp(min=0).sqrt()) @ vectors.mT)

    left, _, right = torch.linalg.svd(roots[1] @ roots[0])

    return ((a[0] - b[0]).square().sum() + (roots[0] - roots[1] @ left @ right).square().sum()).sqrt().item()

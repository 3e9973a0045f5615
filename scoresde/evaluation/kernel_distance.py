"""Distances between sample sets that are means of a kernel over pairs: energy, MMD, KID."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import check

Kernel = Callable[[Tensor, Tensor], Tensor]
Metric = Callable[[Tensor, Tensor], float]
_BLOCK = 1024


@dataclass(frozen=True)
class KernelDistance:
    """The distance mean k(x, x') + mean k(y, y') - 2 mean k(x, y) of two sets, k a kernel. The means are over all
    pairs; if `unbiased`, pairs of a sample with itself are left out."""

    kernel: Kernel
    unbiased: bool = False

    def __call__(self, x: Tensor, y: Tensor) -> float:
        """The distance."""
        return float(self.without(x, y, 0))

    def without(self, x: Tensor, y: Tensor, blocks: int) -> Tensor:
        """The distances with one block of samples left out, for every block, at the cost of one distance.

        Args:
            x: samples, (n, ...).
            y: samples, (m, ...), with as many elements per sample.
            blocks: number of blocks. Each set is cut into this many blocks of consecutive samples. 0: no block is left
                out.

        Returns:
            Entry b leaves block b of both sets out, (blocks,) float64; for 0 blocks the distance itself, 0-d.

        Raises:
            ValueError: naming `x` and `y`, if the mean is unbiased and a set holds fewer than 2 samples.
        """
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
        """Mean of the kernel over all pairs, 0-d, if blocks is 0; else the means without block k of both, (blocks,)."""
        parts = max(1, blocks)
        sums = torch.zeros(parts, parts, dtype=torch.float64, device="cpu")
        counts = torch.zeros(parts, parts, dtype=torch.float64, device="cpu")

        for i in range(parts):
            for j in range(parts):
                rows = a[i * len(a) // parts : (i + 1) * len(a) // parts]
                columns = b[j * len(b) // parts : (j + 1) * len(b) // parts]
                sums[i, j], counts[i, j] = self._sum(rows, columns, off_diagonal and i == j)

        if not blocks:
            return sums[0, 0] / counts[0, 0]

        return _without_each(sums) / _without_each(counts)

    def _sum(self, rows: Tensor, columns: Tensor, off_diagonal: bool) -> tuple[Tensor, int]:
        """The kernel summed over all pairs of two blocks, and the number of pairs; `off_diagonal` leaves out the pairs
        of a sample with itself."""
        total = torch.zeros((), dtype=torch.float64, device="cpu")

        for first in range(0, len(rows), _BLOCK):
            values = self.kernel(rows[first : first + _BLOCK], columns)
            total += values.sum() - (values.diagonal(first).sum() if off_diagonal else 0)

        return total, len(rows) * len(columns) - (len(rows) if off_diagonal else 0)


def _without_each(sums: Tensor) -> Tensor:
    """The sum of a square matrix without row k and column k, for every k.

    The entry (k, k) is in both the row and the column: it is subtracted twice, so it is added once.
    """
    return sums.sum() - sums.sum(0) - sums.sum(1) + sums.diagonal()


def paired(x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y")) -> tuple[Tensor, Tensor]:
    """Both sets flattened to rows of float64 on the CPU, (n, d) and (m, d).

    Args:
        x: samples, (n, ...), floating.
        y: samples, (m, ...), floating.
        names: names of both, for the error.

    Raises:
        TypeError, ValueError: naming the set that does not fit.
    """
    a, b = (
        check.state(name, v).detach().reshape(len(v), -1).to("cpu", torch.float64)
        for name, v in zip(names, (x, y), strict=True)
    )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`{names[1]}` must hold {a.shape[1]} numbers per sample as {names[0]} does, got shape {tuple(y.shape)}"
        )
    return a, b


def minus_distance(a: Tensor, b: Tensor) -> Tensor:
    """The kernel of the energy distance, -|a - b|.

    Args:
        a: samples, (n, d).
        b: samples, (m, d).

    Returns:
        One value for each pair, (n, m).
    """
    return -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def gaussian_kernel(a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    """The Gaussian kernel exp(-|a - b|^2 / (2 scale^2)).

    Args:
        a: samples, (n, d).
        b: samples, (m, d).
        scale: width of the kernel, above 0.

    Returns:
        One value for each pair, (n, m).
    """
    return torch.exp(-minus_distance(a, b).square() / (2 * scale * scale))

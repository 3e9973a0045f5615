"""What a linear method does, exactly and without a single random number.

Fed with unit impulses as a batch, an affine method shows its maps: y_N = A y_0 + b + sum_k (P_k dW_k + Q_k H_k). From
these follow the law of y_N for a Gaussian start, and the strong error against the exact solution as an integral of kernels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from solvers import Equation, Noise, solve
from solvers.solver import Solver, cut

F64 = torch.float64


class Impulses:
    """A Brownian path per row: dW = 1 on step k in element i on one row, H = 1 on another, nothing elsewhere.

    `times` is the grid the solver asks on: that of the solve, cut where it cuts its steps."""

    def __init__(self, times: Tensor, d: int, first: int, levy: bool):
        self.index = {t: k for k, t in enumerate(times.tolist())}
        self.steps, self.d, self.first, self.area = len(times) - 1, d, first, levy
        self.rows = first + self.steps * d * (2 if levy else 1)

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        return self._at(t0, 0)

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        assert self.area
        return self._at(t0, 0), self._at(t0, self.steps * self.d)

    def _at(self, t0: Tensor, offset: int) -> Tensor:
        out = torch.zeros(self.rows, self.d, dtype=F64)
        row = self.first + offset + self.index[t0.item()] * self.d
        out[row : row + self.d] = torch.eye(self.d, dtype=F64)
        return out


@dataclass(frozen=True)
class Affine:
    """y_N = a y_0 + b + sum_k (p_k dW_k + q_k H_k) over the pieces of the path's grid `times`: a (d, d), b (d,), p, q (M, d, d)."""

    a: Tensor
    b: Tensor
    p: Tensor
    q: Tensor
    times: Tensor

    def law(self, mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of y_N for y_0 ~ N(mean, cov)."""
        h = self.times.diff().abs().reshape(-1, 1, 1)
        noise = (h * self.p @ self.p.mT).sum(0) + (h / 12 * self.q @ self.q.mT).sum(0)
        return self.a @ mean + self.b, self.a @ cov @ self.a.T + noise


def affine(eq: Equation, solver: Solver, times: Tensor, d: int) -> Affine:
    """The affine map of `solver` for an equation whose drift is affine and whose noise is additive, by impulses."""
    fine = cut(times, solver.cuts)
    pieces = len(fine) - 1
    levy = solver.levy and eq.kind is not Noise.NONE
    path = None if eq.kind is Noise.NONE else Impulses(fine, d, 1 + d, levy)
    start = torch.zeros(1 + d if path is None else path.rows, d, dtype=F64)
    start[1 : 1 + d] = torch.eye(d, dtype=F64)
    end = solve(eq, start, solver, times, path).y
    b = end[0]
    columns = (end[1:] - b).reshape(-1, d, d).mT  # row j of a block is the image of unit vector j
    none = torch.zeros(pieces, d, d, dtype=F64)
    p = none if path is None else columns[1 : 1 + pieces]
    q = columns[1 + pieces :] if levy else none
    return Affine(columns[0], b, p, q, fine)


def exact_law(eq: Equation, solver: Solver, times: Tensor, mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) after a solve from N(mean, cov)."""
    return affine(eq, solver, times, len(mean)).law(mean, cov)


def strong_error(maps: Affine, phi: Tensor, kernel: Callable[[Tensor], Tensor], variance: Tensor, nodes: int = 8) -> Tensor:
    """sqrt(E |exact - numerical|^2) per element, for a diagonal linear equation whose start has mean zero and `variance` (d,).

    phi      exact factor of y_0 at the end, (d,)
    kernel   u -> weight of dW_u in the exact solution, (d,)
    The numerical weight of dW_u in a piece is p + q (|t1 - u|/|h| - 1/2), because H = int (|t1 - u|/|h| - 1/2) dW_u."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    s, w, h = torch.from_numpy(x + 1) / 2, torch.from_numpy(w) / 2, maps.times.diff()
    u = maps.times[:-1, None] + h[:, None] * s
    exact = kernel(u.reshape(-1)).reshape(*u.shape, -1)
    p, q = (m.diagonal(dim1=1, dim2=2)[:, None, :] for m in (maps.p, maps.q))
    numerical = p + q * ((1 - s) - 0.5)[None, :, None]
    noise = ((exact - numerical) ** 2 * w[None, :, None] * h.abs()[:, None, None]).sum((0, 1))
    return ((phi - maps.a.diagonal()) ** 2 * variance + noise).sqrt()


def slope(errors: list[float]) -> float:
    """Observed order over the doublings of a ladder of errors."""
    return math.log2(errors[0] / errors[-1]) / (len(errors) - 1)


def window(errors: list[float], floor: float, doublings: int = 3) -> list[float]:
    """The finest `doublings` doublings before the error first falls to rounding."""
    above = list(itertools.takewhile(lambda e: e > floor, errors))
    assert len(above) > doublings, f"too few errors above {floor}: {errors}"
    return above[-doublings - 1 :]

"""What a linear solver does, exactly: `scoresde.evaluation.affine_laws` on an equation, and the strong error that
follows from its maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scoresde.evaluation import affine_laws
from scoresde.evaluation.affine_laws import Affine
from solvers import Equation, Noise, solve
from solvers.noise import AREA, INCREMENT
from solvers.solver import Solver

F64 = torch.float64


def affine(eq: Equation, solver: Solver, times: Tensor, d: int) -> Affine:
    """The maps of `solver` for an equation whose drift is affine and whose noise is additive."""
    return affine_laws.affine(
        lambda x, noise: solve(eq, x, solver, times, None if eq.kind is Noise.NONE else noise).y, d
    )


class Weights(NamedTuple):
    """y = ... + sum_k (p_k dW_k + q_k H_k) over pieces from t0 to t1 of the path: t0, t1 (M,), p, q (M, d, d)."""

    t0: Tensor
    t1: Tensor
    p: Tensor
    q: Tensor

    @classmethod
    def of(cls, maps: Affine) -> Weights:
        """Those of the maps of a solve."""
        pieces = [key for key in maps.c if key[0] == INCREMENT]
        t0, t1 = (torch.tensor([key[i] for key in pieces], dtype=F64) for i in (1, 2))
        root = (t1 - t0).abs().sqrt().reshape(-1, 1, 1)
        areas = [maps.c.get((AREA, *key[1:]), torch.zeros_like(maps.a)) for key in pieces]
        return cls(t0, t1, torch.stack([maps.c[key] for key in pieces]) / root, torch.stack(areas) * 12**0.5 / root)


def exact_law(eq: Equation, solver: Solver, times: Tensor, mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) after a solve from N(mean, cov)."""
    return affine(eq, solver, times, len(mean)).law(mean, cov)


def strong_error(
    maps: Affine, phi: Tensor, kernel: Callable[[Tensor], Tensor], variance: Tensor, nodes: int = 8
) -> Tensor:
    """sqrt(E |exact - numerical|^2) per element, for a diagonal linear equation whose start has mean zero and
    `variance` (d,).

    phi      exact factor of y_0 at the end, (d,)
    kernel   u -> weight of dW_u in the exact solution, (d,)
    The numerical weight of dW_u in a piece is p + q (|t1 - u|/|h| - 1/2), because H = int (|t1 - u|/|h| - 1/2) dW_u."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    t0, t1, p, q = Weights.of(maps)
    s, w, h = torch.from_numpy(x + 1) / 2, torch.from_numpy(w) / 2, t1 - t0
    u = t0[:, None] + h[:, None] * s
    exact = kernel(u.reshape(-1)).reshape(*u.shape, -1)
    p, q = (m.diagonal(dim1=1, dim2=2)[:, None, :] for m in (p, q))
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

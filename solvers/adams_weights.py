"""Polynomials through the past values of f that an Adams method keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .equation import Equation
from .solver import Path, axpy


def lagrange(s: Tensor) -> Tensor:
    """Coefficients c_jm of the Lagrange polynomials sum_m c_jm x^m on the nodes of each row, (n, k) -> (n, k, k)."""
    k = s.shape[1]
    rows = list[Tensor]()

    for j in range(k):
        poly = torch.ones_like(s[:, :1])

        for i in range(k):
            if i != j:
                raised = torch.nn.functional.pad(poly, (1, 0)) - s[:, i : i + 1] * torch.nn.functional.pad(poly, (0, 1))
                poly = raised / (s[:, j] - s[:, i])[:, None]

        rows.append(poly)

    return torch.stack(rows, 1)


def combined(y: Tensor, weights: list[Tensor], values: Sequence[Tensor]) -> Tensor:
    """y + sum_j w_j f_j.

    Args:
        y: the state, (B, ...).
        weights: w_j, each ready for `axpy`.
        values: f_j, each like y; those beyond the weights are not used.
    """
    for w, value in zip(weights, values, strict=False):
        y = axpy(y, value, w)
    return y


def started(
    start: Any,
    eq: Equation,
    t0: Tensor,
    t1: Tensor,
    y: Tensor,
    noise: Path | None,
) -> tuple[Tensor, Tensor]:
    """One step of the starter, and the f(t0, y) that it evaluated. So the history needs no further evaluation.

    Args:
        start: the starter, and what its `plan` prepared for the step.
        eq: the equation.
        t0: start of the step.
        t1: end of the step.
        y: the state, (B, ...).
        noise: the Brownian path; None for an ODE.
    """
    solver, w = start
    seen: list[Tensor] = []

    def f(t: Tensor, x: Tensor) -> Tensor:
        out = eq.f(t, x)
        if x is y:
            seen.append(out)
        return out

    watched = replace(eq, f=f)
    y1, _, _ = solver.step(
        watched,
        t0,
        t1,
        y,
        solver.init(watched, t0, y),
        noise,
        w,
    )

    return y1, seen[0] if seen else eq.f(t0, y)

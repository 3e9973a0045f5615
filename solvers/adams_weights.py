"""Lagrange polynomials, weighted sums of past values of f, and the starting steps of multistep methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .equation import Equation
from .solver import Path, axpy


def lagrange(s: Tensor) -> Tensor:
    """The coefficients c_jm of the Lagrange polynomials sum_m c_jm x^m.

    Args:
        s: k nodes in each row, (n, k).

    Returns:
        (n, k, k): entry (i, j, m) is c_jm on the nodes of row i.
    """
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
    """Compute y + sum_j w_j f_j.

    Args:
        y: the state, (B, ...).
        weights: w_j, each as `axpy` takes it.
        values: f_j, each like y; values beyond the number of weights are not used.
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
    """Make one step with the starter, and return the f(t0, y) that it evaluated.

    If the starter did not evaluate f at y, one further evaluation is made.

    Args:
        start: (starter, entry of its `plan` for the step).
        eq: the equation.
        t0: start of the step.
        t1: end of the step.
        y: the state, (B, ...).
        noise: the Brownian path; None for an ODE.

    Returns:
        (y1, f(t0, y)).
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

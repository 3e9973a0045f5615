"""Exponential integrators: the linear part is solved exactly, the rest by a polynomial in time.

    y(t1) = e^{ah} y + int_0^h e^{a(h-s)} f(t0 + s, y(t0 + s)) ds + int e^{a(t1-u)} g(u) dW_u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .equation import Equation, Noise
from .phi import convolution_std, phi
from .solver import Path, Solver, State, axpy, times_noise


def unbind(weights: Tensor, y: Tensor) -> list[Tensor]:
    """Weights of each step: 0-d ones stay float64 on the CPU, diagonal ones go where the state is."""
    return list((weights if weights.dim() == 1 else weights.to(y.device, y.dtype)).unbind())


@dataclass(frozen=True)
class ExpEuler(Solver):
    """y1 = e^{ah} y + h phi_1(ah) f(t0, y) + s xi, s^2 = int e^{2a(t1-u)} g(u)^2 du: f frozen, the rest exact.

    Order 1, exact for constant f; strong order 1 for additive noise, whose transition variance is exact at any step.
    One evaluation. Hochbruck & Ostermann 2010; the stochastic term is the Ornstein-Uhlenbeck transition."""

    order: ClassVar[int] = 1
    strong_order: ClassVar[float | None] = 1.0
    evals: ClassVar[int] = 1
    noise: ClassVar[Noise] = Noise.ADDITIVE
    reference: ClassVar[str] = "Hochbruck & Ostermann 2010"

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        a = torch.as_tensor(eq.a, dtype=torch.float64, device="cpu")
        h = times.diff()
        column = h.reshape(-1, *[1] * a.dim())
        decay, drive = unbind(phi(0, column * a), y), unbind(column * phi(1, column * a), y)
        if eq.g is None:
            return list(zip(decay, drive, [None] * len(h), strict=True))
        std = convolution_std(eq, times, y)
        scale = std / h.abs().sqrt().reshape(-1, *[1] * (std.dim() - 1))  # dW has variance |h| already
        return list(zip(decay, drive, unbind(scale, y), strict=True))

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

    def step(
        self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Path | None, w: Any
    ) -> tuple[Tensor, Tensor | None, State]:
        decay, drive, scale = w
        y1 = axpy(y * decay, eq.f(t0, y), drive)
        return y1 if noise is None else y1 + times_noise(scale, noise(t0, t1)), None, state

    def calls(self, n: int) -> int:
        return n

"""Methods for stochastic equations with additive or diagonal noise.

dW = noise(t0, t1) is N(0, |h|); space-time Levy methods also read H = I_10/|h| - dW/2, where I_10 is the time integral of
the path's increment over the step, so that I_10/|h| = dW/2 + H with H ~ N(0, |h|/12) independent of dW.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .equation import Equation, Field, Noise, Sense
from .solver import OneStep, Path, State, axpy, times_noise


@dataclass(frozen=True)
class EulerMaruyama(OneStep):
    """y1 = y + h F(t0, y) + g(t0, y) dW (Ito). Strong order 1/2, 1 for additive noise; weak order 1. One evaluation.

    Maruyama 1955; Kloeden & Platen 1992, section 10.2."""

    order: ClassVar[int] = 1
    strong_order: ClassVar[float | None] = 0.5
    evals: ClassVar[int] = 1
    noise: ClassVar[Noise] = Noise.DIAGONAL
    sense: ClassVar[Sense | None] = Sense.ITO
    reference: ClassVar[str] = "Maruyama 1955"

    def step(
        self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Path | None, w: Any
    ) -> tuple[Tensor, Tensor | None, State]:
        y1 = axpy(y, eq.drift(t0, y), t1 - t0)
        if eq.g is not None and noise is not None:
            y1 = y1 + times_noise(eq.g(t0, y), noise(t0, t1))
        return y1, None, state


@dataclass(frozen=True)
class Milstein(OneStep):
    """Euler-Maruyama plus g g' (dW^2 - |h|)/2 (Ito), g' the diagonal derivative by automatic differentiation.

    Strong order 1 for diagonal noise; equal to Euler-Maruyama for additive noise. One evaluation of f.
    Milstein 1974; Kloeden & Platen 1992, section 10.3."""

    order: ClassVar[int] = 1
    strong_order: ClassVar[float | None] = 1.0
    evals: ClassVar[int] = 1
    noise: ClassVar[Noise] = Noise.DIAGONAL
    sense: ClassVar[Sense | None] = Sense.ITO
    reference: ClassVar[str] = "Milstein 1974"

    def step(
        self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Path | None, w: Any
    ) -> tuple[Tensor, Tensor | None, State]:
        h = t1 - t0
        y1 = axpy(y, eq.drift(t0, y), h)
        if eq.g is None or noise is None:
            return y1, None, state
        dw = noise(t0, t1)
        if eq.kind is Noise.ADDITIVE:
            return y1 + times_noise(eq.g(t0, y), dw), None, state
        g, slope = diagonal_derivative(eq.g, t0, y)
        return y1 + g * dw + 0.5 * g * slope * (dw**2 - h.abs().to(y.dtype)), None, state


def diagonal_derivative(g: Field, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """g(t, y) and dg_i/dy_i: for a diagonal g the gradient of the sum of its components."""
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        point = y if keep and y.requires_grad else y.detach().requires_grad_()
        value = g(t, point)
        spread = value + torch.zeros_like(point)  # a g that broadcasts acts on every element, and may not depend on y
        if not spread.requires_grad:
            return spread, torch.zeros_like(point)
        (slope,) = torch.autograd.grad(spread.sum(), point, create_graph=keep, allow_unused=True, materialize_grads=True)
    return (spread, slope) if keep else (spread.detach(), slope)


@dataclass(frozen=True)
class SRA1(OneStep):
    """Stochastic Runge-Kutta for additive noise: strong order 3/2, weak and ODE order 2, two evaluations.

    Y2 = y + 3/4 h F(t0, y) + 3/2 g(t1) I_10/|h|,
    y1 = y + h (F(t0, y) + 2 F(t0 + 3h/4, Y2)) / 3 + g(t1) (dW - I_10/|h|) + g(t0) I_10/|h|.
    Roessler 2010, SIAM J. Numer. Anal. 48(3), 922-952."""

    order: ClassVar[int] = 2
    strong_order: ClassVar[float | None] = 1.5
    evals: ClassVar[int] = 2
    noise: ClassVar[Noise] = Noise.ADDITIVE
    levy: ClassVar[bool] = True
    reference: ClassVar[str] = "Roessler 2010"

    def step(
        self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Path | None, w: Any
    ) -> tuple[Tensor, Tensor | None, State]:
        h = t1 - t0
        k1 = eq.drift(t0, y)
        stage = axpy(y, k1, 0.75 * h)
        if eq.g is None or noise is None:
            k2 = eq.drift(t0 + 0.75 * h, stage)
            return axpy(axpy(y, k1, h / 3), k2, 2 * h / 3), None, state
        dw, area = noise.levy(t0, t1)
        mean = 0.5 * dw + area  # I_10 / |h|
        g0, g1 = eq.g(t0, y), eq.g(t1, y)
        k2 = eq.drift(t0 + 0.75 * h, stage + times_noise(1.5 * g1, mean))
        y1 = axpy(axpy(y, k1, h / 3), k2, 2 * h / 3)
        return y1 + times_noise(g1, dw - mean) + times_noise(g0, mean), None, state

"""Methods for stochastic equations with diagonal noise. Methods for additive noise only are in `sde_additive.py`.

dW = noise(t0, t1) is N(0, |h|). Some methods also use the space-time Levy area H ~ N(0, |h|/12), which is independent
of dW. It gives the time integral I_10 of the path's increment over the step: I_10/|h| = dW/2 + H.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .equation import Equation, Field, Noise, Sense
from .solver import OneStep, Path, State, add_noise, axpy, times_noise


@dataclass(frozen=True)
class EulerMaruyama(OneStep):
    """The Euler-Maruyama method: Euler's method for Ito equations, of strong order 1/2 and weak order 1.

        y1 = y + h F(t0, y) + g(t0, y) dW.

    One evaluation. The strong order is 1 if the noise is additive. Maruyama 1955; Kloeden & Platen 1992, section
    10.2."""

    order: ClassVar[int] = 1
    strong_order: ClassVar[float | None] = 0.5
    evals: ClassVar[int] = 1
    noise: ClassVar[Noise] = Noise.DIAGONAL
    sense: ClassVar[Sense | None] = Sense.ITO
    reference: ClassVar[str] = "Maruyama 1955"

    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Any,
    ) -> tuple[Tensor, Tensor | None, State]:
        y1 = axpy(y, eq.drift(t0, y), t1 - t0)
        if eq.g is not None and noise is not None:
            y1 = add_noise(y1, eq.g(t0, y), noise(t0, t1), fresh=True)
        return y1, None, state


@dataclass(frozen=True)
class Milstein(OneStep):
    """Milstein's method for Ito equations, of strong order 1 for diagonal noise.

        y1 = y + h F(t0, y) + g dW + g g' (dW^2 - |h|)/2,      g' = dg_i/dy_i at (t0, y).

    derivative_free  False: g' is computed by automatic differentiation. True: Platen's explicit scheme, which needs no
                     derivative: g g' ~ (g(t0, Y) - g(t0, y)) / sqrt|h|,  Y = y + h F + g sqrt|h|.

    One evaluation of f. It equals Euler-Maruyama if the noise is additive. Milstein 1974; Kloeden & Platen 1992,
    sections 10.3 and 11.1."""

    derivative_free: bool = False

    order: ClassVar[int] = 1
    strong_order: ClassVar[float | None] = 1.0
    evals: ClassVar[int] = 1
    noise: ClassVar[Noise] = Noise.DIAGONAL
    sense: ClassVar[Sense | None] = Sense.ITO
    reference: ClassVar[str] = "Milstein 1974"

    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Any,
    ) -> tuple[Tensor, Tensor | None, State]:
        h = t1 - t0
        y1 = axpy(y, eq.drift(t0, y), h)

        if eq.g is None or noise is None:
            return y1, None, state

        dw = noise(t0, t1)
        size = h.abs().to(y.dtype)

        if eq.kind is Noise.ADDITIVE:
            return add_noise(y1, eq.g(t0, y), dw), None, state

        if self.derivative_free:
            g = eq.g(t0, y)
            root = size.sqrt()
            slant = (eq.g(t0, y1 + g * root) - g) / root
        else:
            g, slope = diagonal_derivative(eq.g, t0, y)
            slant = g * slope

        return add_noise(y1, g, dw) + 0.5 * slant * (dw**2 - size), None, state


def diagonal_derivative(g: Field, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Compute g(t, y) and dg_i/dy_i. For a diagonal g the latter is the gradient of the sum of its components.

    The autograd graph is kept only if y or the weights of g require gradients.

    Args:
        g: a diagonal diffusion: component i depends on component i of y.
        t: the time, 0-d, or (B, 1, ..., 1).
        y: the state, (B, ...).

    Returns:
        (g, dg_i/dy_i), both like y.
    """

    asked = torch.is_grad_enabled()

    with torch.enable_grad():
        point = y if asked and y.requires_grad else y.detach().requires_grad_()
        value = g(t, point)
        spread = value + torch.zeros_like(point)  # g may broadcast, and may be independent of y
        if not spread.requires_grad:
            return spread, torch.zeros_like(point)

        keep = asked and (y.requires_grad or torch.compiler.is_compiling() or _has_weights(spread, point))
        (slope,) = torch.autograd.grad(
            spread.sum(), point, create_graph=keep, allow_unused=True, materialize_grads=True
        )

    return (spread, slope) if keep else (spread.detach(), slope)


def _has_weights(value: Tensor, point: Tensor) -> bool:
    """Whether the autograd graph of `value` has leaves other than `point`."""
    ahead: list[Any] = [value.grad_fn]
    seen: set[Any] = set()

    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue

        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and leaf is not point:
            return True

        ahead += [parent for parent, _ in node.next_functions]

    return False


@dataclass(frozen=True)
class StochasticHeun(OneStep):
    """The stochastic Heun method for Stratonovich equations, of strong order 1 for diagonal and additive noise.

        Y = y + h F(t0, y) + g(t0, y) dW,
        y1 = y + h (F(t0, y) + F(t1, Y))/2 + (g(t0, y) + g(t1, Y)) dW/2.

    ODE order 2. Two evaluations of f. Ruemelin 1982, SIAM J. Numer. Anal. 19."""

    order: ClassVar[int] = 2
    strong_order: ClassVar[float | None] = 1.0
    evals: ClassVar[int] = 2
    noise: ClassVar[Noise] = Noise.DIAGONAL
    sense: ClassVar[Sense | None] = Sense.STRATONOVICH
    reference: ClassVar[str] = "Ruemelin 1982"

    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Any,
    ) -> tuple[Tensor, Tensor | None, State]:
        h = t1 - t0
        k0 = eq.drift(t0, y)
        stage = axpy(y, k0, h)

        if eq.g is None or noise is None:
            return axpy(axpy(y, k0, h / 2), eq.drift(t1, stage), h / 2), None, state

        dw = noise(t0, t1)
        g0 = eq.g(t0, y)
        stage = add_noise(stage, g0, dw)
        y1 = axpy(axpy(y, k0, h / 2), eq.drift(t1, stage), h / 2)

        return add_noise(y1, (g0 + eq.g(t1, stage)) / 2, dw), None, state


@dataclass(frozen=True)
class SRI1(OneStep):
    """SRI1W1: a stochastic Runge-Kutta method of strong order 3/2 for Ito equations with diagonal noise.

        y1 = y + h (k1 + 2 k2)/3
               + sum_i (b1_i dW + b2_i I_11/sqrt|h| + b3_i I_10/|h| + b4_i I_111/|h|) g(t0 + c_i h, G_i),

    with the iterated integrals I_11 = (dW^2 - |h|)/2 and I_111 = (dW^3 - 3 |h| dW)/6. ODE order 2. Two evaluations of
    f and four of g. Roessler 2010, SIAM J. Numer. Anal. 48(3)."""

    order: ClassVar[int] = 2
    strong_order: ClassVar[float | None] = 1.5
    evals: ClassVar[int] = 2
    noise: ClassVar[Noise] = Noise.DIAGONAL
    sense: ClassVar[Sense | None] = Sense.ITO
    needs_levy_area: ClassVar[bool] = True
    reference: ClassVar[str] = "Roessler 2010"

    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Any,
    ) -> tuple[Tensor, Tensor | None, State]:
        h = t1 - t0
        k1 = eq.drift(t0, y)
        quarter = t0 + 0.25 * h
        stage = axpy(y, k1, 0.75 * h)

        if eq.g is None or noise is None:
            k2 = eq.drift(t0 + 0.75 * h, stage)
            return axpy(axpy(y, k1, h / 3), k2, 2 * h / 3), None, state

        dw, area = noise.levy(t0, t1)
        size = h.abs().to(y.dtype)
        root = size.sqrt()
        i10 = 0.5 * dw + area
        i11 = (dw**2 - size) / (2 * root)
        i111 = dw * (dw**2 / size - 3) / 6
        g1 = eq.g(t0, y)
        k2 = eq.drift(t0 + 0.75 * h, stage + times_noise(1.5 * g1, i10))
        g2 = eq.g(quarter, axpy(y, k1, 0.25 * h) + 0.5 * g1 * root)
        g3 = eq.g(t1, axpy(y, k1, h) - g1 * root)
        g4 = eq.g(quarter, axpy(y, k1, 0.25 * h) + (3 * g2 - 5 * g1 + 0.5 * g3) * root)
        y1 = axpy(axpy(y, k1, h / 3), k2, 2 * h / 3)
        y1 = y1 + times_noise(g1, -dw - i11 + 2 * i10 - 2 * i111)
        y1 = y1 + times_noise(g2, 4 / 3 * (dw + i11 - i10) + 5 / 3 * i111)
        y1 = y1 + times_noise(g3, 2 / 3 * (dw - i10 - i111) - i11 / 3)

        return y1 + times_noise(g4, i111), None, state

"""Exponential integrators. They solve the linear part exactly and approximate f by a polynomial in time:

    y(t1) = e^{ah} y + int_0^h e^{a(h-s)} f(t0 + s, y(t0 + s)) ds + int e^{a(t1-u)} g(u) dW_u.

With z = ah, exponential Runge-Kutta methods have the form

    Y_i = e^{c_i z} y + h sum_j a_ij(z) f(t0 + c_j h, Y_j),   y1 = e^z y + h sum_i b_i(z) f(t0 + c_i h, Y_i),

and are classical Runge-Kutta methods if a = 0. Hochbruck & Ostermann 2010, "Exponential integrators", Acta Numerica 19,
209-286.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .equation import Equation, Noise
from .phi import convolution_std, phi
from .solver import Path, Solver, State, add_noise, axpy, cut, scale_by_exp, times_noise


def unbind(weights: Tensor, y: Tensor) -> list[Tensor]:
    """Split weights into a list with one entry for each step.

    Scalar weights stay float64 on the CPU. Weights of a diagonal linear part get the dtype and device of the state.

    Args:
        weights: (n,), or (n, ...) for a diagonal linear part.
        y: the state, (B, ...).
    """
    return list((weights if weights.dim() == 1 else weights.to(y.device, y.dtype)).unbind())


def columns(eq: Equation, times: Tensor) -> tuple[Tensor, Tensor]:
    """The step sizes h (n, 1, ..., 1) and z = ah (n, ...), float64 on the CPU.

    Args:
        eq: the equation.
        times: the grid, strictly monotone, 1-D float64.
    """
    a = torch.as_tensor(eq.a, dtype=torch.float64, device="cpu")
    h = times.diff().reshape(-1, *[1] * a.dim())
    return h, h * a


def noise_scales(eq: Equation, times: Tensor, y: Tensor) -> Sequence[Tensor | None]:
    """The factor of each step that turns dW, of variance |h|, into the transition noise; None for an ODE.

    Args:
        eq: the equation.
        times: the grid, strictly monotone, 1-D float64.
        y: the state, (B, ...).
    """
    if eq.g is None:
        return [None] * (len(times) - 1)
    std = convolution_std(eq, times, y)
    return unbind(std / times.diff().abs().sqrt().reshape(-1, *[1] * (std.dim() - 1)), y)


@dataclass(frozen=True)
class ExpEuler(Solver):
    """The exponential Euler method, of order 1: f is held constant over the step, the other terms are exact.

        y1 = e^{ah} y + h phi_1(ah) f(t0, y) + s xi,      s^2 = int e^{2a(t1-u)} g(u)^2 du.

    One evaluation. It is exact if f is constant. Strong order 1 for additive noise; the transition variance is exact
    at any step size, as in an Ornstein-Uhlenbeck process. Hochbruck & Ostermann 2010."""

    order: ClassVar[int] = 1
    strong_order: ClassVar[float | None] = 1.0
    evals: ClassVar[int] = 1
    noise: ClassVar[Noise] = Noise.ADDITIVE
    reference: ClassVar[str] = "Hochbruck & Ostermann 2010"

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        h, z = columns(eq, times)
        return list(zip(unbind(torch.expm1(z), y), unbind(h * phi(1, z), y), noise_scales(eq, times, y), strict=True))

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

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
        growth, drive, scale = w
        y1 = axpy(scale_by_exp(y, growth), eq.f(t0, y), drive)
        return y1 if noise is None else add_noise(y1, scale, noise(t0, t1)), None, state

    def evaluations(self, n: int) -> int:
        return n


@dataclass(frozen=True)
class ExpMidpoint(Solver):
    """The exponential midpoint method, of order 2.

        y_m = e^{z/2} y + h/2 phi_1(z/2) f(t0, y) + s_1 xi_1,
        y1 = e^z y + h phi_1(z) f(t_m, y_m) + e^{z/2} s_1 xi_1 + s_2 xi_2.

    Two evaluations. s_1 xi_1 and s_2 xi_2 are the transition noises of the two halves of the step, so the stage and the
    step use the same path. Strong order 1 and weak order 2 for additive noise. Along x = alpha x0 + eps it is
    DPM-Solver-2 (Lu et al. 2022, arXiv:2206.00927). Hochbruck & Ostermann 2010."""

    order: ClassVar[int] = 2
    strong_order: ClassVar[float | None] = 1.0
    evals: ClassVar[int] = 2
    noise: ClassVar[Noise] = Noise.ADDITIVE
    substeps: ClassVar[tuple[float, ...]] = (0.5,)
    reference: ClassVar[str] = "Hochbruck & Ostermann 2010"

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        (h, z) = columns(eq, times)
        fine = cut(times, self.substeps)
        weights = (torch.expm1(z / 2), h / 2 * phi(1, z / 2), torch.expm1(z), h * phi(1, z))
        scales = noise_scales(eq, fine, y)
        return list(zip(*(unbind(w, y) for w in weights), fine[1::2].unbind(), scales[::2], scales[1::2], strict=True))

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

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
        half_growth, half_drive, growth, drive, middle, scale0, scale1 = w
        ym = axpy(scale_by_exp(y, half_growth), eq.f(t0, y), half_drive)

        if noise is None:
            return axpy(scale_by_exp(y, growth), eq.f(middle, ym), drive), None, state

        first = times_noise(scale0, noise(t0, middle))
        y1 = axpy(scale_by_exp(y, growth), eq.f(middle, ym + first), drive)

        return add_noise(y1 + scale_by_exp(first, half_growth), scale1, noise(middle, t1)), None, state

    def evaluations(self, n: int) -> int:
        return 2 * n


Weight = Tensor | None  # one weight for each step; None if it is zero


class ExpRungeKutta(Solver):
    """Abstract: an exponential Runge-Kutta method for ODEs. A subclass gives its nodes c and weights a_ij(z), b_i(z).

    It takes no noise, because the noises of the stages would have to be drawn jointly."""

    nodes: ClassVar[tuple[float, ...]]

    @abstractmethod
    def weights(self, z: Tensor) -> tuple[tuple[tuple[Weight, ...], ...], tuple[Weight, ...]]:
        """The rows a_ij(z) of stages 2..s, and the weights b_i(z)."""

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        h, z = columns(eq, times)
        rows, b = self.weights(z)
        table: list[Sequence[Any]] = []

        for c, row in zip((*self.nodes[1:], 1.0), (*rows, b), strict=True):
            scaled = zip(*([None] * len(h) if w is None else unbind(h * w, y) for w in row), strict=True)
            table.append(
                list(zip((times[:-1] + c * times.diff()).unbind(), unbind(torch.expm1(c * z), y), scaled, strict=True))
            )

        return list(zip(*table, strict=True))

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

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
        k = [eq.f(t0, y)]
        point = y
        last = len(w) - 1

        for i, (t, growth, row) in enumerate(w):
            point = scale_by_exp(y, growth)

            for weight, stage in zip(row, k, strict=True):
                point = point if weight is None else axpy(point, stage, weight)

            if i < last:
                k.append(eq.f(t1 if self.nodes[i + 1] == 1.0 else t, point))

        return point, None, state

    def evaluations(self, n: int) -> int:
        return n * self.evals


@dataclass(frozen=True)
class ExpHeun(ExpRungeKutta):
    """The exponential Heun method, of order 2: f is linear between both ends of the step.

        Y = e^z y + h phi_1(z) f(t0, y),      y1 = Y + h phi_2(z) (f(t1, Y) - f(t0, y)).

    Two evaluations. It is ETD2RK of Cox & Matthews 2002, J. Comput. Phys. 176, 430-455."""

    order: ClassVar[int] = 2
    evals: ClassVar[int] = 2
    reference: ClassVar[str] = "Cox & Matthews 2002"
    nodes: ClassVar[tuple[float, ...]] = (0.0, 1.0)

    def weights(self, z: Tensor) -> tuple[tuple[tuple[Weight, ...], ...], tuple[Weight, ...]]:
        p1 = phi(1, z)
        p2 = phi(2, z)
        return ((p1,),), (p1 - p2, p2)


@dataclass(frozen=True)
class ExpRK3(ExpRungeKutta):
    """An exponential Runge-Kutta method of order 3 with stages at the nodes 0, 1/3 and 2/3.

    Three evaluations. Along x = alpha x0 + eps it is DPM-Solver-3 (Lu et al. 2022, arXiv:2206.00927). Hochbruck &
    Ostermann 2010, (5.9)."""

    order: ClassVar[int] = 3
    evals: ClassVar[int] = 3
    reference: ClassVar[str] = "Hochbruck & Ostermann 2010"
    nodes: ClassVar[tuple[float, ...]] = (0.0, 1 / 3, 2 / 3)

    def weights(self, z: Tensor) -> tuple[tuple[tuple[Weight, ...], ...], tuple[Weight, ...]]:
        slope = 4 / 3 * phi(2, 2 / 3 * z)
        b3 = 1.5 * phi(2, z)
        return ((phi(1, z / 3) / 3,), (2 / 3 * phi(1, 2 / 3 * z) - slope, slope)), (phi(1, z) - b3, None, b3)


def fourth_order_weights(z: Tensor) -> tuple[Weight, ...]:
    """The weights b_i(z) of both four-stage methods; at z = 0 they are 1/6, 1/3, 1/3, 1/6."""
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    return p1 - 3 * p2 + 4 * p3, 2 * p2 - 4 * p3, 2 * p2 - 4 * p3, 4 * p3 - p2


@dataclass(frozen=True)
class ETDRK4(ExpRungeKutta):
    """Cox and Matthews' exponential Runge-Kutta method of order 4; at a = 0 it is the classical Runge-Kutta method.

    Four evaluations. Cox & Matthews 2002, J. Comput. Phys. 176, 430-455."""

    order: ClassVar[int] = 4
    evals: ClassVar[int] = 4
    reference: ClassVar[str] = "Cox & Matthews 2002"
    nodes: ClassVar[tuple[float, ...]] = (0.0, 0.5, 0.5, 1.0)

    def weights(self, z: Tensor) -> tuple[tuple[tuple[Weight, ...], ...], tuple[Weight, ...]]:
        half = phi(1, z / 2)
        return ((half / 2,), (None, half / 2), (half * torch.expm1(z / 2) / 2, None, half)), fourth_order_weights(z)


@dataclass(frozen=True)
class ETDRK4Krogstad(ExpRungeKutta):
    """Krogstad's variant of ETDRK4, of order 4: other inner stages give smaller errors on stiff equations.

    Four evaluations. Krogstad 2005, J. Comput. Phys. 203, 72-88."""

    order: ClassVar[int] = 4
    evals: ClassVar[int] = 4
    reference: ClassVar[str] = "Krogstad 2005"
    nodes: ClassVar[tuple[float, ...]] = (0.0, 0.5, 0.5, 1.0)

    def weights(self, z: Tensor) -> tuple[tuple[tuple[Weight, ...], ...], tuple[Weight, ...]]:
        half = phi(1, z / 2)
        slope = phi(2, z / 2)
        p2 = phi(2, z)
        return ((half / 2,), (half / 2 - slope, slope), (phi(1, z) - 2 * p2, None, 2 * p2)), fourth_order_weights(z)

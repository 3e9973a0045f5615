"""The phi functions of exponential integrators, in float64 and without cancellation,

    phi_0(z) = e^z,   phi_k(z) = (phi_{k-1}(z) - 1/(k-1)!) / z = int_0^1 e^{(1-s) z} s^{k-1}/(k-1)! ds

(Hochbruck & Ostermann 2010, "Exponential integrators", Acta Numerica 19), and the standard deviation of the stochastic
convolution int_{t0}^{t1} e^{a (t1-u)} g(u) dW_u, which is the exact transition noise of a linear equation.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .equation import Equation, Field

_SERIES_BELOW = 1.0  # the recursion loses one digit per order at |z| = 0.1; below 1 the series is exact to rounding
_NODES = 32
_SMOOTH = 20.0  # the nodes integrate e^x over an interval of this length to more than ten digits
_ELEMENTS = 1 << 22  # largest number of elements in one call of g


def phi(k: int, z: Tensor) -> Tensor:
    """The function phi_k(z), elementwise in float64.

    Args:
        k: its index, 0 or more.
        z: the argument, of any shape.
    """
    z = z.to(torch.float64)

    if k == 0:
        return z.exp()

    safe = torch.where(z.abs() < _SERIES_BELOW, torch.ones_like(z), z)
    value = torch.expm1(safe) / safe

    for j in range(2, k + 1):
        value = (value - 1 / math.factorial(j - 1)) / safe

    series = torch.zeros_like(z)

    for j in range(20, -1, -1):
        series = series * z + 1 / math.factorial(j + k)

    return torch.where(z.abs() < _SERIES_BELOW, series, value)


@lru_cache
def gauss_legendre() -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes in (0, 1), and weights that sum to one."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return torch.from_numpy(nodes + 1) / 2, torch.from_numpy(weights) / 2


def graded(a: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Quadrature nodes and weights for integrals against an exponential over each step: for smooth q

        sum w e^{a (t1-u)} q(u) = int e^{a (t1-u)} q(u) du      (up to the quadrature error).

    If the exponential varies by more than a factor e^20 over a step, the step is divided into parts, so that the
    integrand is smooth on each. The parts start at the end at which the exponential is largest. Each boundary is four
    times as far from that end as the one before. If entries of `a` have both signs, the parts start at both ends.

    Args:
        a: the linear part, of any shape; all its entries use the same nodes.
        times: the grid, strictly monotone, 1-D float64.

    Returns:
        Nodes u (n, N) and weights w (n, N).
    """

    nodes, weights = gauss_legendre()
    h = times.diff()
    longest = h.detach().abs().max()
    rates = a.abs().reshape(-1).to(torch.float64)
    fastest, slowest = (float(rate * longest) for rate in (rates.max(), rates.min()))

    both = bool((a > 0).any() and (a < 0).any())
    end = 0.5 if both else 1.0  # the parts cover half a step from either end, or a whole step from one end
    shares = [end]  # boundaries as fractions of the longest step, from the end where the exponential is largest

    if fastest > _SMOOTH:
        edge = _SMOOTH / fastest

        while edge < end and (both or edge * slowest < 2 * _SMOOTH):
            shares.insert(-1, edge)
            edge *= 4.0

        if edge < end:
            shares[-1] = edge  # farther away every exponential is negligible

    reach = h.abs().max() * torch.tensor([0.0, *shares], dtype=torch.float64, device="cpu")
    edges = torch.minimum(reach, end * h.abs()[:, None])
    if both:
        edges = torch.cat((edges, h.abs()[:, None] - edges.flip(1)), 1)

    wide = edges.diff(dim=1)
    away = (edges[:, :-1, None] + wide[:, :, None] * nodes).flatten(1)
    falls = bool((a.reshape(-1)[rates.argmax()] * h[0]) <= 0)
    u = times[1:, None] - h.sign()[:, None] * away if falls else times[:-1, None] + h.sign()[:, None] * away

    return u, h.sign()[:, None] * (wide[:, :, None] * weights).flatten(1)


def convolution_std(eq: Equation, times: Tensor, y: Tensor) -> Tensor:
    """The standard deviation of int e^{a (t1-u)} g(u) dW_u over each step.

    It is the square root of the integral of e^{2a(t1-u)} g(u)^2, computed by Gauss-Legendre quadrature in float64 with
    the nodes of `graded`.

    Args:
        eq: the equation; g must depend on t alone (additive noise).
        times: the grid, strictly monotone, 1-D float64.
        y: the state, (B, ...).

    Returns:
        (n, ...), which broadcasts against one sample of y.
    """

    if eq.g is None:
        raise ValueError("`eq` must have a diffusion g to have transition noise, got g None")

    a = torch.as_tensor(eq.a, dtype=torch.float64, device="cpu")
    u, weights = graded(2 * a, times)  # (n, nodes)
    per_call = max(1, _ELEMENTS // (u.shape[1] * y[0].numel()))
    g = torch.cat([_additive(eq.g, part, y) for part in u.split(per_call)])
    rest = [1] * (g.dim() - 2)
    decay = torch.exp(2 * a * (times[1:, None] - u).reshape(*u.shape, *rest))
    std = (weights.abs().reshape(*u.shape, *rest) * decay * g**2).sum(1).sqrt()

    return std.reshape(len(u)) if std[0].numel() == 1 else std


def _additive(g: Field, u: Tensor, y: Tensor) -> Tensor:
    """g at the times u (n, nodes), as (n, nodes, ...) in float64. Only the shape of y matters, not its values."""
    t = u.reshape(-1, *[1] * (y.dim() - 1)).to(y.device, y.dtype)
    value = g(t, y[:1].expand(len(t), *y.shape[1:])).to("cpu", torch.float64)
    value = value if value.dim() else value.reshape([1] * y.dim())
    return value.expand(len(t), *value.shape[1:]).reshape(*u.shape, *value.shape[1:])

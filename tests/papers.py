"""Samplers as their papers write them, in the frame alpha = 1: independent of the library's equations and solvers.

D(x, sigma) is the denoiser, eps = (x - D)/sigma, lam = -log sigma, h the step in lam; `lams` the levels, `z` the normals of each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from scoresde import VPSDE

Model = Callable[[Tensor, float], Tensor]


def sigmas(lams: Tensor) -> list[float]:
    return [math.exp(-v) for v in lams.tolist()]


def eps(model: Model, x: Tensor, sigma: float) -> Tensor:
    return (x - model(x, sigma)) / sigma


def ddim(model: Model, x: Tensor, lams: Tensor, z: Tensor, eta: float = 0.0) -> Tensor:
    """arXiv:2010.02502 eq. 12, in x/sqrt(abar), abar = 1/(1 + s^2): (1 - abar_1)/(1 - abar_0) (1 - abar_0/abar_1) is the full noise."""
    for s0, s1, noise in zip(sigmas(lams)[:-1], sigmas(lams)[1:], z, strict=True):
        abar0, abar1 = 1 / (1 + s0**2), 1 / (1 + s1**2)
        extra = eta**2 * (1 - abar1) / (1 - abar0) * (1 - abar0 / abar1)
        y = x * abar0**0.5
        e = eps(model, x, s0)
        x0 = (y - (1 - abar0) ** 0.5 * e) / abar0**0.5
        y = abar1**0.5 * x0 + (1 - abar1 - extra) ** 0.5 * e + extra**0.5 * noise
        x = y / abar1**0.5
    return x


def ddpm(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2006.11239 eq. 7, posterior mean and variance with beta = 1 - abar_0/abar_1."""
    for s0, s1, noise in zip(sigmas(lams)[:-1], sigmas(lams)[1:], z, strict=True):
        abar0, abar1 = 1 / (1 + s0**2), 1 / (1 + s1**2)
        beta = 1 - abar0 / abar1
        mean = abar1**0.5 * beta / (1 - abar0) * model(x, s0) + (1 - beta) ** 0.5 * (1 - abar1) / (1 - abar0) * x * abar0**0.5
        x = (mean + (beta * (1 - abar1) / (1 - abar0)) ** 0.5 * noise) / abar1**0.5
    return x


def euler_ancestral(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """Euler to sigma_down, then sigma_up of noise, as k-diffusion splits a step."""
    for s0, s1, noise in zip(sigmas(lams)[:-1], sigmas(lams)[1:], z, strict=True):
        up = (s1**2 * (s0**2 - s1**2) / s0**2) ** 0.5
        down = (s1**2 - up**2) ** 0.5
        x = x + eps(model, x, s0) * (down - s0) + up * noise
    return x


def edm_heun(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2206.00364, algorithm 1."""
    for s0, s1 in zip(sigmas(lams)[:-1], sigmas(lams)[1:], strict=True):
        d = eps(model, x, s0)
        y = x + (s1 - s0) * d
        x = x + (s1 - s0) * (d + eps(model, y, s1)) / 2
    return x


def dpm_solver_2(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2206.00927, algorithm 1 (r = 1/2)."""
    for l0, l1 in zip(lams.tolist()[:-1], lams.tolist()[1:], strict=True):
        h, mid = l1 - l0, (l0 + l1) / 2
        u = x - math.exp(-mid) * math.expm1(h / 2) * eps(model, x, math.exp(-l0))
        x = x - math.exp(-l1) * math.expm1(h) * eps(model, u, math.exp(-mid))
    return x


def dpm_solver_3(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2206.00927, algorithm 2 (r1 = 1/3, r2 = 2/3)."""
    r1, r2 = 1 / 3, 2 / 3
    for l0, l1 in zip(lams.tolist()[:-1], lams.tolist()[1:], strict=True):
        h = l1 - l0
        a, b, c = math.exp(-l0 - r1 * h), math.exp(-l0 - r2 * h), math.exp(-l1)
        e0 = eps(model, x, math.exp(-l0))
        u1 = x - a * math.expm1(r1 * h) * e0
        d1 = eps(model, u1, a) - e0
        u2 = x - b * math.expm1(r2 * h) * e0 - b * r2 / r1 * (math.expm1(r2 * h) / (r2 * h) - 1) * d1
        d2 = eps(model, u2, b) - e0
        x = x - c * math.expm1(h) * e0 - c / r2 * (math.expm1(h) / h - 1) * d2
    return x


def dpm_solver_pp_2s(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2211.01095, algorithm 1 (r = 1/2)."""
    for l0, l1 in zip(lams.tolist()[:-1], lams.tolist()[1:], strict=True):
        h, mid = l1 - l0, (l0 + l1) / 2
        d0 = model(x, math.exp(-l0))
        u = math.exp(-h / 2) * x - math.expm1(-h / 2) * d0
        x = math.exp(-h) * x - math.expm1(-h) * model(u, math.exp(-mid))
    return x


def dpm_solver_pp_2m(model: Model, x: Tensor, lams: Tensor, z: Tensor, sde: bool = False) -> Tensor:
    """arXiv:2211.01095, algorithm 2, and its SDE form (eq. for SDE-DPM-Solver++(2M))."""
    old, before = None, 0.0
    for (l0, l1), noise in zip(zip(lams.tolist()[:-1], lams.tolist()[1:], strict=True), z, strict=True):
        h, d0 = l1 - l0, model(x, math.exp(-l0))
        d = d0 if old is None else (1 + h / (2 * before)) * d0 - h / (2 * before) * old
        if sde:
            x = math.exp(-2 * h) * x - math.expm1(-2 * h) * d + math.exp(-l1) * math.sqrt(-math.expm1(-2 * h)) * noise
        else:
            x = math.exp(-h) * x - math.expm1(-h) * d
        old, before = d0, h
    return x


def unipc(model: Model, x: Tensor, lams: Tensor, z: Tensor, order: int = 3) -> Tensor:
    """arXiv:2302.04867, data prediction with B(h) = e^h - 1 ("bh2"), orders ramping up; the last corrector is not called."""
    levels = lams.tolist()
    past = [(levels[0], model(x, math.exp(-levels[0])))]
    for i in range(len(levels) - 1):
        l0, l1 = levels[i], levels[i + 1]
        h, p, m0 = l1 - l0, min(order, i + 1), past[0][1]
        ratios = [(past[k][0] - l0) / h for k in range(1, p)]
        slopes = [(past[k][1] - m0) / r for k, r in zip(range(1, p), ratios, strict=True)]
        big = math.expm1(-h)
        rows = np.array([[r**k for r in (*ratios, 1.0)] for k in range(p)])
        factor, phi, rhs = 1, big / -h - 1, []
        for k in range(1, p + 1):
            rhs.append(phi * factor / big)
            factor *= k + 1
            phi = phi / -h - 1 / factor
        base = math.exp(-h) * x - big * m0
        weights = [0.5] if p == 2 else np.linalg.solve(rows[:-1, :-1], rhs[:-1]).tolist()
        x = base - big * sum((w * s for w, s in zip(weights, slopes, strict=True)), torch.zeros_like(x))
        if i == len(levels) - 2:
            break
        new = model(x, math.exp(-l1))
        weights = [0.5] if p == 1 else np.linalg.solve(rows, rhs).tolist()
        x = base - big * (sum((w * s for w, s in zip(weights, slopes, strict=False)), torch.zeros_like(x)) + weights[-1] * (new - m0))
        past = [(l1, new), *past][:order]
    return x


def multistep(model: Model, x: Tensor, lams: Tensor, clock: Callable[[np.ndarray], np.ndarray], order: int) -> Tensor:
    """x1 = x0 + sum_j eps_j int L_j(clock) d sigma, by quadrature in sigma with many nodes, orders ramping up."""
    nodes, weights = np.polynomial.legendre.leggauss(120)
    s = np.array(sigmas(lams))
    past: list[tuple[float, Tensor]] = []
    for s0, s1 in pairwise(s.tolist()):
        past = [(float(clock(np.array(s0))), eps(model, x, s0)), *past][:order]
        at = clock((s0 + s1) / 2 + (s1 - s0) / 2 * nodes)
        for j, (cj, e) in enumerate(past):
            lagrange = np.prod([(at - ck) / (cj - ck) for k, (ck, _) in enumerate(past) if k != j], axis=0) * np.ones_like(at)
            x = x + e * float((lagrange * weights).sum() * (s1 - s0) / 2)
    return x


def deis(model: Model, x: Tensor, lams: Tensor, z: Tensor, order: int = 3) -> Tensor:
    """arXiv:2204.13902, tAB-DEIS: eps a polynomial of degree `order` in VP time."""
    sde = VPSDE()
    return multistep(model, x, lams, lambda s: sde.time(torch.as_tensor(-np.log(s))).numpy(), order + 1)


def lms(model: Model, x: Tensor, lams: Tensor, z: Tensor, order: int = 4) -> Tensor:
    """k-diffusion's linear multistep: a polynomial in sigma."""
    return multistep(model, x, lams, lambda s: s, order)

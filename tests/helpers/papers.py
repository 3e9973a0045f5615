"""Samplers as their papers write them, in the frame alpha = 1: independent of the library's equations and solvers.

D(x, sigma) is the denoiser, eps = (x - D)/sigma, lam = -log sigma, h the step in lam; `lams` the levels, `z` the
normals of each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from scoresde import VPSDE
from solvers.noise import CHURN, CORRECTOR, INCREMENT

Model = Callable[[Tensor, float], Tensor]
Draw = Callable[[int, int], Tensor]  # normals: (stream, index)


def sigmas(lams: Tensor) -> list[float]:
    return [math.exp(-v) for v in lams.tolist()]


def eps(model: Model, x: Tensor, sigma: float) -> Tensor:
    return (x - model(x, sigma)) / sigma


def heun_step(model: Model, x: Tensor, s0: float, s1: float) -> Tensor:
    d = eps(model, x, s0)
    return x + (s1 - s0) * (d + eps(model, x + (s1 - s0) * d, s1)) / 2


def ddim(model: Model, x: Tensor, lams: Tensor, z: Tensor, eta: float = 0.0) -> Tensor:
    """arXiv:2010.02502 eq. 12, in x/sqrt(abar), abar = 1/(1 + s^2): (1 - abar_1)/(1 - abar_0) (1 - abar_0/abar_1) is
    the full noise."""
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
        mean = (
            abar1**0.5 * beta / (1 - abar0) * model(x, s0)
            + (1 - beta) ** 0.5 * (1 - abar1) / (1 - abar0) * x * abar0**0.5
        )
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
    for s0, s1 in pairwise(sigmas(lams)):
        x = heun_step(model, x, s0, s1)
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
    """arXiv:2302.04867, data prediction with B(h) = e^h - 1 ("bh2"), orders ramping up; the last corrector is not
    called."""
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
        x = base - big * (
            sum((w * s for w, s in zip(weights, slopes, strict=False)), torch.zeros_like(x)) + weights[-1] * (new - m0)
        )
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
            lagrange = np.prod(
                [(at - ck) / (cj - ck) for k, (ck, _) in enumerate(past) if k != j], axis=0
            ) * np.ones_like(at)
            x = x + e * float((lagrange * weights).sum() * (s1 - s0) / 2)
    return x


def deis(model: Model, x: Tensor, lams: Tensor, z: Tensor, order: int = 3) -> Tensor:
    """arXiv:2204.13902, tAB-DEIS: eps a polynomial of degree `order` in VP time."""
    sde = VPSDE()
    return multistep(model, x, lams, lambda s: sde.time(torch.as_tensor(-np.log(s))).numpy(), order + 1)


def lms(model: Model, x: Tensor, lams: Tensor, z: Tensor, order: int = 4) -> Tensor:
    """k-diffusion's linear multistep: a polynomial in sigma."""
    return multistep(model, x, lams, lambda s: s, order)


def dpm_solver_pp_3m(
    model: Model, x: Tensor, lams: Tensor, z: Tensor, sde: bool = False, weight: float = 1.0
) -> Tensor:
    """arXiv:2211.01095, multistep of order 3 as published (weight 1 on D2 phi_3; 2 is its integral); its second step
    is 2M."""
    past: list[tuple[float, Tensor]] = []
    for (l0, l1), noise in zip(pairwise(lams.tolist()), z, strict=True):
        h = (2 if sde else 1) * (l1 - l0)
        past = [(l0, model(x, math.exp(-l0))), *past][:3]
        d0 = past[0][1]
        x = math.exp(-h) * x - math.expm1(-h) * d0
        phi1 = math.expm1(-h) / h + 1
        if len(past) == 2:
            slope = (d0 - past[1][1]) / (l0 - past[1][0])
            x = x - math.expm1(-h) / 2 * (l1 - l0) * slope
        if len(past) == 3:
            r0, r1 = (l0 - past[1][0]) / (l1 - l0), (past[1][0] - past[2][0]) / (l1 - l0)
            d10, d11 = (d0 - past[1][1]) / r0, (past[1][1] - past[2][1]) / r1
            x = x + phi1 * (d10 + r0 / (r0 + r1) * (d10 - d11)) - weight * (phi1 / h - 0.5) * (d10 - d11) / (r0 + r1)
        if sde:
            x = x + math.exp(-l1) * math.sqrt(-math.expm1(-h)) * noise
    return x


def ddpm_large(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2006.11239 with sigma_t^2 = beta_t."""
    for s0, s1, noise in zip(sigmas(lams)[:-1], sigmas(lams)[1:], z, strict=True):
        abar0, abar1 = 1 / (1 + s0**2), 1 / (1 + s1**2)
        beta = 1 - abar0 / abar1
        mean = (
            abar1**0.5 * beta / (1 - abar0) * model(x, s0)
            + (1 - beta) ** 0.5 * (1 - abar1) / (1 - abar0) * x * abar0**0.5
        )
        x = (mean + beta**0.5 * noise) / abar1**0.5
    return x


def ipndm(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """Equal-step Adams-Bashforth weights in a DDIM step, as diff-sampler and diffusers write them."""
    table = ((1,), (1.5, -0.5), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
    past: list[Tensor] = []
    for s0, s1 in pairwise(sigmas(lams)):
        past = [eps(model, x, s0), *past][:4]
        x = x + (s1 - s0) * sum((w * e for w, e in zip(table[len(past) - 1], past, strict=True)), torch.zeros_like(x))
    return x


def pndm(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2202.09778, F-PNDM: transfer(x, e, s0, s1) is a DDIM step; the middle of a step is that of its VP time."""
    sde = VPSDE()
    past: list[Tensor] = []
    for l0, l1 in pairwise(lams.tolist()):
        s0, s1 = math.exp(-l0), math.exp(-l1)
        t0, t1 = sde.time(l0).item(), sde.time(l1).item()
        mid = math.exp(-sde.lam((t0 + t1) / 2).item())
        e = eps(model, x, s0)
        past = [e, *past][:4]
        if len(past) < 4:
            e2 = eps(model, x + (mid - s0) * e, mid)
            e3 = eps(model, x + (mid - s0) * e2, mid)
            e = (e + 2 * e2 + 2 * e3 + eps(model, x + (s1 - s0) * e3, s1)) / 6
        else:
            e = (55 * past[0] - 59 * past[1] + 37 * past[2] - 9 * past[3]) / 24
        x = x + (s1 - s0) * e
    return x


def reverse_diffusion(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2011.13456, eq. 46-47 for the variance-exploding process: x + (s0^2 - s1^2) score + sqrt(s0^2 - s1^2) z."""
    for s0, s1, noise in zip(sigmas(lams)[:-1], sigmas(lams)[1:], z, strict=True):
        gap = s0**2 - s1**2
        x = x - gap * eps(model, x, s0) / s0 + gap**0.5 * noise
    return x


def er_sde(model: Model, x: Tensor, lams: Tensor, z: Tensor) -> Tensor:
    """arXiv:2309.06169, VE ER-SDE-Solver-1 with phi(s) = s (exp(s^0.3) + 10)."""
    phi = {s: s * (math.exp(s**0.3) + 10) for s in sigmas(lams)}
    for s0, s1, noise in zip(sigmas(lams)[:-1], sigmas(lams)[1:], z, strict=True):
        r = phi[s1] / phi[s0]
        x = r * x + (1 - r) * model(x, s0) + (s1**2 - s0**2 * r**2) ** 0.5 * noise
    return x


def sa_solver(model: Model, x: Tensor, lams: Tensor, z: Tensor, tau: float = 1.0, order: int = 3) -> Tensor:
    """arXiv:2309.05019, algorithm 1 (data prediction, constant tau): the integrals of the Lagrange polynomials by
    quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    k = 1 + tau**2

    def integral(known: list[tuple[float, Tensor]], l0: float, l1: float) -> Tensor:
        at = (l0 + l1) / 2 + (l1 - l0) / 2 * nodes
        total = torch.zeros_like(known[0][1])
        for j, (lj, value) in enumerate(known):
            lagrange = np.prod(
                [(at - li) / (lj - li) for i, (li, _) in enumerate(known) if i != j], axis=0
            ) * np.ones_like(at)
            total = total + value * float((weights * np.exp(-k * (l1 - at)) * k * lagrange).sum() * (l1 - l0) / 2)
        return total

    past: list[tuple[float, Tensor]] = []
    base, before = x, math.nan
    for (l0, l1), noise in zip(pairwise(lams.tolist()), z, strict=True):
        new = (l0, model(x, math.exp(-l0)))
        if past:  # correct the point the last step predicted, with the same noise
            x = base + integral([new, *past], before, l0)
        past = [new, *past][:order]
        base = math.exp(-k * (l1 - l0)) * x + math.exp(-l1) * math.sqrt(-math.expm1(-2 * tau**2 * (l1 - l0))) * noise
        x, before = base + integral(past, l0, l1), l0
    return x


def edm_stochastic(model: Model, x: Tensor, lams: Tensor, draw: Draw) -> Tensor:
    """arXiv:2206.00364, algorithm 2 with S_churn 40, S_min .05, S_max 50, S_noise 1.003."""
    s = sigmas(lams)
    for k, (s0, s1) in enumerate(pairwise(s)):
        gamma = min(40 / len(s), 2**0.5 - 1) if 0.05 <= s0 <= 50 else 0.0
        hat = s0 * (1 + gamma)
        x = x + (hat**2 - s0**2) ** 0.5 * 1.003 * draw(CHURN, k)
        x = heun_step(model, x, hat, s1)
    return x


def restart(model: Model, x: Tensor, lams: Tensor, draw: Draw) -> Tensor:
    """arXiv:2306.14878, algorithm 1: one interval [0.06, 0.3], two returns of two Karras steps."""
    s = sigmas(lams)
    at = int(np.abs(np.array(s[1:]) - 0.06).argmin()) + 1
    ramp = [(0.3 ** (1 / 7) + i / 2 * (s[at] ** (1 / 7) - 0.3 ** (1 / 7))) ** 7 for i in range(3)]
    for k, (s0, s1) in enumerate(pairwise(s)):
        x = heun_step(model, x, s0, s1)
        for j in range(2 if k + 1 == at else 0):
            x = x + (0.3**2 - s[at] ** 2) ** 0.5 * draw(CHURN, j)
            for a, b in pairwise(ramp):
                x = heun_step(model, x, a, b)
    return x


def langevin_step(model: Model, x: Tensor, s: float, delta: Tensor | float, noise: Tensor) -> Tensor:
    return x - delta * eps(model, x, s) / s + (2 * delta) ** 0.5 * noise


def predictor_corrector(model: Model, x: Tensor, lams: Tensor, draw: Draw) -> Tensor:
    """arXiv:2011.13456, algorithm 2 with reverse diffusion and algorithm 4's step, snr 0.16, each sample its own
    norms."""
    for k, pair in enumerate(pairwise(lams)):
        x = reverse_diffusion(model, x, torch.stack(pair), draw(INCREMENT, k)[None])
        s, noise = math.exp(-pair[1].item()), draw(CORRECTOR, k)
        delta = 2 * (0.16 * noise.norm(dim=1, keepdim=True) / (eps(model, x, s) / s).norm(dim=1, keepdim=True)) ** 2
        x = langevin_step(model, x, s, delta, noise)
    return x


def annealed_langevin(model: Model, x: Tensor, lams: Tensor, draw: Draw) -> Tensor:
    """arXiv:1907.05600, algorithm 1: alpha_i = 0.2 sigma_i^2, x + alpha/2 score + sqrt(alpha) z, 5 steps a level from
    the second on."""
    for k, s in enumerate(sigmas(lams)[1:]):
        for j in range(5):
            x = langevin_step(model, x, s, 0.1 * s**2, draw(CORRECTOR, 5 * k + j))
    return x

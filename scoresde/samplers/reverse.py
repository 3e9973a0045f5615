"""The one formula: process x denoiser x eta x split -> Equation.

    dx = [f x - (1 + eta^2)/2 g^2 score] dt + eta g dW        (eta 0: probability flow, eta 1: Anderson's reverse SDE)

With D = E[x0|x], eps = (x - alpha D)/sigma = -sigma score and lam' = alpha'/alpha - sigma'/sigma, toward data:

    x0 split    [(sigma'/sigma - eta^2 lam') x + (1+eta^2)(alpha' - alpha sigma'/sigma) D] dt + eta sqrt(2|lam'|) sigma
        dW
    eps split   [(alpha'/alpha) x + (1+eta^2)(sigma' - sigma alpha'/alpha) eps] dt          + eta sqrt(2|lam'|) sigma dW
    flow split  [alpha' D + sigma' eps] dt                                                   (eta 0; never divides)

(Song et al. 2021, arXiv:2011.13456; Cao et al. 2023, arXiv:2306.07002.) This module alone changes the argument order
`(x, t)` of score networks to `(t, y)` of solvers.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from solvers import Equation, Noise, check

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..processes.base import Process
from ..processes.coefficients import CachedCoefficients, as_number, like


class Split(enum.Enum):
    """Which part of the drift is treated as linear. The drift itself is the same in all three."""

    X0 = "x0"
    EPS = "eps"
    FLOW = "flow"


def reverse(
    process: Process,
    denoiser: BaseDenoiser,
    eta: float = 0.0,
    split: Split = Split.FLOW,
    cond: Any = None,
) -> Equation:
    """The generative equation of `denoiser` along `process`. If the linear part of the drift is constant, it is passed
    as `a`.

    Args:
        process: the process along which the equation is integrated.
        denoiser: the model, a `BaseDenoiser`.
        eta: amount of noise in the equation: 0 is the ODE, 1 Anderson's reverse SDE. The FLOW split is for eta 0 only.
        split: which part of the drift is treated as linear.
        cond: condition for the denoiser, with one entry per sample, or None.
    """

    eta = check.number("eta", eta, least=0.0)

    if not isinstance(split, Split):
        raise TypeError(f"`split` must be a member of Split, got {split!r}")
    if split is Split.FLOW and eta > 0:
        raise ValueError(f"`split` must be Split.X0 or Split.EPS for eta > 0, got Split.FLOW with eta = {eta:g}")

    constant, weights, scale = _terms(process, eta, split)

    def rest(t: Tensor, x: Tensor) -> Tensor:
        alpha, sigma, *mixed = weights(t)
        return denoiser(x, alpha, sigma, cond).combine(*mixed)

    def diffusion(t: Tensor, x: Tensor) -> Tensor:
        return like(scale(t), x)

    def take(index: Tensor) -> Equation:
        return reverse(process, denoiser, eta, split, conditions.rows(cond, index))

    a = 0.0 if constant is None else constant
    rows = None if cond is None else take

    if eta == 0.0:
        return Equation(rest, a=a, select=rows)

    return Equation(
        rest,
        diffusion,
        a,
        Noise.ADDITIVE,
        _toward_data(process),
        select=rows,
    )


def with_unit_noise(flow: Equation, process: Process) -> Equation:
    """A probability flow with noise g = 1, for a solver that scales the noise of each step itself.

    Args:
        flow: an equation made by `reverse` with eta 0.
        process: the process along which it runs.
    """

    def unit(t: Tensor, x: Tensor) -> Tensor:
        return torch.ones_like(t)

    return replace(flow, g=unit, noise=Noise.ADDITIVE, direction=_toward_data(process), select=None)


def _toward_data(process: Process) -> int:
    """The sign of a step toward data."""
    return 1 if process.t_data > process.t_noise else -1


Weights = tuple[Tensor, Tensor, Tensor | float, Tensor | float, Tensor | float]


@functools.lru_cache(maxsize=64)
def _terms(
    process: Process, eta: float, split: Split
) -> tuple[float | None, CachedCoefficients[Weights], CachedCoefficients[Tensor]]:
    """The constant linear part or None; alpha, sigma and the weights of x, x0 and eps in the rest of the drift; the
    diffusion."""

    more = 1 + eta**2
    log_alpha_rate, log_sigma_rate = process.constant_rates()
    constant: float | None = None

    if split is Split.EPS:
        constant = log_alpha_rate
    elif split is Split.X0 and log_alpha_rate is not None and log_sigma_rate is not None:
        constant = log_sigma_rate - eta**2 * (log_alpha_rate - log_sigma_rate)

    def weights(t: Tensor) -> Weights:
        alpha = process.alpha(t)
        sigma = process.sigma(t)
        alpha_rate = process.alpha_rate(t)
        sigma_rate = process.sigma_rate(t)

        if split is Split.FLOW:
            return alpha, sigma, 0.0, as_number(alpha_rate), as_number(sigma_rate)

        if split is Split.EPS:
            linear = 0.0 if constant is not None else alpha_rate / alpha
            return alpha, sigma, as_number(linear), 0.0, as_number(more * (sigma_rate - sigma * alpha_rate / alpha))

        linear = (
            0.0 if constant is not None else sigma_rate / sigma - eta**2 * (alpha_rate / alpha - sigma_rate / sigma)
        )

        return alpha, sigma, as_number(linear), as_number(more * (alpha_rate - alpha * sigma_rate / sigma)), 0.0

    return constant, CachedCoefficients(weights), CachedCoefficients(lambda t: eta * process.diffusion(t))

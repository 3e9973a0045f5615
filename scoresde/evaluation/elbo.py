"""The evidence lower bound (ELBO) of a discrete chain, term by term.

    -log p(x_0) <= L_T + sum_{i=2}^T L_{i-1} + L_0,
    L_T     = KL(q(x_T|x_0) || N(0, I)),
    L_{i-1} = KL(q(x_{i-1}|x_i, x_0) || p(x_{i-1}|x_i)) = c_0^2 |x_0 - D(x_i)|^2 / (2 var_i),
    L_0     = -log N(x_0; D(x_1), beta_1),

with D the denoiser, and c_0 and var_i the coefficient of x_0 and the variance of the posterior q(x_{i-1}|x_i, x_0) (the
"small" variance). This treats DDPM as a hierarchical VAE. Ho et al. 2020, arXiv:2006.11239, eq. 5; Kingma et al. 2021,
arXiv:2107.00630.

A network may predict its variances (`LearnedRange`), as e^r times the fixed ones. Then the squared errors are
multiplied by e^-r. Each element adds r/2 to L_0, and (r + e^-r - 1)/2 to each L_{i-1}. Nichol & Dhariwal 2021,
arXiv:2102.09672.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PROBE

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..processes.coefficients import like
from ..processes.ddpm import DiscreteVP, log_variances, posterior
from ..samplers.sampling import evaluating


@dataclass(frozen=True)
class Bound:
    """The terms of the bound in nats per sample; their sum `total` is an upper bound of -log p(x_0).

    prior           L_T, (B,)
    steps           L_1 .. L_{T-1}, (T - 1, B)
    reconstruction  L_0, (B,)
    """

    prior: Tensor
    steps: Tensor
    reconstruction: Tensor

    @property
    def total(self) -> Tensor:
        """L_T + sum L_{i-1} + L_0, (B,)."""
        return self.prior + self.steps.sum(0) + self.reconstruction


def elbo(
    denoiser: BaseDenoiser,
    chain: DiscreteVP,
    x0: Tensor,
    *,
    seed: int = 0,
    cond: Any = None,
) -> Bound:
    """The bound of `chain` on -log p(x0), estimated from one draw of x_i per level.

    The estimate is unbiased and takes T calls of the denoiser. It is deterministic in (seed, index).

    Args:
        denoiser: the model, a `BaseDenoiser`.
        chain: a discrete chain of `ddpm`.
        x0: clean samples, (B, ...).
        seed: of the noise at each level. The noise of a sample is a function of (seed, index).
        cond: condition of each sample, or None (`denoisers.conditions`).

    Raises:
        TypeError, ValueError: naming the argument.
    """

    x0 = check.state("x0", x0)

    if not isinstance(chain, DiscreteVP):
        raise TypeError(
            f"`chain` must be a ddpm chain, got {chain!r}; for example ddpm.linear(1000), or ddpm.of(process, 1000)"
        )

    cond = conditions.prepared(cond, len(x0), x0.device)
    source = SeededNoise(seed)
    terms = list[Tensor]()

    with evaluating(denoiser), torch.no_grad():
        for i in range(1, chain.steps + 1):
            alpha = chain.alpha(i / chain.steps)
            sigma = chain.sigma(i / chain.steps)
            eps = source.normal(PROBE, range(i, i + 1), x0.shape, x0.dtype, x0.device)[0]
            terms.append(
                term(
                    chain,
                    torch.tensor(i, device="cpu"),
                    x0,
                    denoiser(x0 * like(alpha, x0) + eps * like(sigma, x0), alpha, sigma, cond),
                )
            )

    return Bound(prior_term(chain, x0), torch.stack(terms[1:]), terms[0])


def term(
    chain: DiscreteVP,
    level: Tensor,
    x0: Tensor,
    prediction: Prediction,
) -> Tensor:
    """L_{i-1} of each sample, (B,), from the model's prediction at level i.

    Args:
        chain: a discrete chain of `ddpm`.
        level: i in 1..T, integers (B,), or 0-d for all samples.
        x0: clean samples, (B, ...).
        prediction: the model's prediction at level i for the noisy x0.
    """

    weight, constant, gap, first = (like(c, x0) for c in _coefficients(chain)[:, level.to("cpu", torch.int64) - 1])
    error = weight * (prediction.x0 - x0).square()

    if prediction.variance_logit is not None:
        r = ((prediction.variance_logit + 1) / 2 - first) * gap  # the fixed variance is beta at i = 1, beta~ elsewhere
        error = error * torch.exp(-r) + r / 2 + (1 - first) * torch.expm1(-r) / 2

    return (error + constant).reshape(len(x0), -1).sum(1)


@functools.lru_cache(maxsize=8)
def _coefficients(chain: DiscreteVP) -> Tensor:
    """Coefficients of every level, (4, T): w and c of L_{i-1} = sum over elements of w (x_0 - D)^2 + c at the fixed
    variances, then log beta/beta~, then 1 at i = 1 and 0 elsewhere."""

    rows: list[tuple[float, ...]] = []

    for i in range(1, chain.steps + 1):
        small, large = log_variances(chain, i)

        if i == 1:
            weight = 0.5 * math.exp(-large)
            constant = 0.5 * (math.log(2 * math.pi) + large)
        else:
            c_0, _, variance = posterior(chain, i)
            weight = c_0**2 / (2 * variance)
            constant = 0.0

        rows.append((weight, constant, large - small, float(i == 1)))

    return torch.tensor(rows, dtype=torch.float64, device="cpu").T


def prior_term(chain: DiscreteVP, x0: Tensor) -> Tensor:
    """The prior term L_T = sum (abar x_0^2 + (1 - abar) - 1 - log(1 - abar)) / 2, (B,).

    Args:
        chain: a discrete chain of `ddpm`.
        x0: clean samples, (B, ...).
    """
    log_abar = chain.log_abar[-1]
    rest = -math.expm1(log_abar)
    return 0.5 * (math.exp(log_abar) * x0.reshape(len(x0), -1).square() + rest - 1 - math.log(rest)).sum(1)


def gaussian_bound(
    chain: DiscreteVP,
    mean: Tensor,
    variance: Tensor,
    learned: bool = False,
) -> tuple[float, float, float]:
    """The expected terms (L_T, sum of L_{i-1}, L_0) for Gaussian data N(mean, diag variance) and their exact denoiser.

    No samples are drawn. With lam the variance of an element of the data, its posterior variance at level i is

        p = lam sigma^2 / (alpha^2 lam + sigma^2),    E|x_0 - D(x_i)|^2 = sum p.

    The best variance of step i is the variance of x_{i-1} given x_i, which is beta~ + c_0^2 p. With it L_{i-1} = sum
    log(1 + c_0^2 p/beta~)/2 and L_0 = sum (log(2 pi p) + 1)/2.

    Args:
        chain: a discrete chain of `ddpm`.
        mean: mean of the data, (d,).
        variance: variance of each element of the data, (d,).
        learned: True: steps have the best variances; False: the fixed ones.
    """

    t = torch.arange(1, chain.steps + 1, dtype=torch.float64, device="cpu").unsqueeze(1) / chain.steps
    alpha = chain.alpha(t)
    sigma = chain.sigma(t)
    left = variance * sigma**2 / (alpha**2 * variance + sigma**2)
    weights, constants = _coefficients(chain)[:2].unsqueeze(2)
    log_abar = chain.log_abar[-1]
    rest = -math.expm1(log_abar)
    prior = 0.5 * (math.exp(log_abar) * (variance + mean**2) + rest - 1 - math.log(rest)).sum()
    terms = weights * left + constants

    if learned:
        terms = torch.cat([torch.log(2 * math.pi * left[:1]) + 1, torch.log1p(2 * weights[1:] * left[1:])]) / 2

    return prior.item(), terms[1:].sum().item(), terms[0].sum().item()

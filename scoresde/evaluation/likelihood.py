"""Log densities by the probability-flow ODE, with an error bar.

Along the flow dx = F(x, t) dt the log density obeys d log p = -div F dt. Therefore

    log p_0(x_0) = log p_T(x_T) + int_0^T div F(x_t, t) dt.

The state and the integral are solved together. The divergence is exact (one vector-Jacobian product per dimension), or
it is Hutchinson's estimate v^T (dF/dx) v with random signs v (Rademacher probes) that stay fixed along the solve. Each
probe has its own column of the integral. Chen et al. 2018, arXiv:1806.07366; Grathwohl et al. 2019, arXiv:1810.01367;
Song et al. 2021, arXiv:2011.13456. p_T is the prior N(0, sigma_T^2 I), not the marginal of the noisy data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import Adaptive, DormandPrince54, Equation, SeededNoise, check, solve
from solvers.noise import PROBE

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..processes.base import Process
from ..processes.coefficients import like
from ..processes.forward import VPSDE
from ..samplers.reverse import Split, reverse
from ..samplers.sampling import evaluating

EXACT_UP_TO = 256  # dimensions; above it the exact trace costs too much


@dataclass(frozen=True)
class Likelihood:
    """The result of `log_likelihood`.

    log_prob        log density in nats, (B,)
    standard_error  of log_prob over the probes, (B,); None if the trace is exact or there is one probe
    latent          the state at the noisy end, scaled like a draw of N(0, I), shaped like x
    evals           drift evaluations, (B,)
    """

    log_prob: Tensor
    standard_error: Tensor | None
    latent: Tensor
    evals: Tensor


def log_likelihood(
    denoiser: BaseDenoiser,
    x: Tensor,
    *,
    process: Process | None = None,
    probes: int | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    seed: int = 0,
    cond: Any = None,
    first: int = 0,
) -> Likelihood:
    """The log density of x at the clean end of `process`, in nats, by one solve of the probability-flow ODE.

    Deterministic in (seed, index). The network runs in eval mode.

    Args:
        denoiser: the model, a `BaseDenoiser`.
        x: samples at the clean end of `process`, (B, ...).
        process: the process of the flow; x is its state at t_data. None: the denoiser's training process, else VPSDE().
        probes: number of Rademacher probes of the trace; None: exact, for up to 256 dimensions.
        rtol: relative tolerance of the solve.
        atol: absolute tolerance of the solve.
        seed: of the probes.
        cond: condition of each sample, or None (`denoisers.conditions`).
        first: index of the first sample, if the samples are passed in several calls. Probes depend on the index.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    if not isinstance(denoiser, BaseDenoiser):
        raise TypeError(f"`denoiser` must be a Denoiser, got {type(denoiser).__name__}")

    x = check.state("x", x)
    process = process or denoiser.process or VPSDE()
    dim = x[0].numel()
    if probes is None and dim > EXACT_UP_TO:
        raise ValueError(
            f"`probes` must be given for more than {EXACT_UP_TO} dimensions, got None for {dim}; for example probes=8"
        )

    if probes is not None:
        check.integer("probes", probes)
        signs = (
            SeededNoise(seed, first)
            .uniform(PROBE, range(1), (len(x), probes * dim), x.dtype, x.device)[0]
            .sub_(0.5)
            .sign_()
        )
        vectors = signs.reshape(len(x), probes, dim)
    else:
        vectors = torch.eye(dim, dtype=x.dtype, device=x.device).expand(len(x), dim, dim)

    cond = conditions.prepared(cond, len(x), x.device)
    flow = reverse(process, denoiser, 0.0, Split.FLOW, cond)
    _check_differentiable(denoiser, process, x[:1], conditions.rows(cond, slice(1)))
    columns = 1 if probes is None else probes
    start = torch.cat([x.reshape(len(x), -1), torch.zeros(len(x), columns, dtype=x.dtype, device=x.device)], 1)

    with evaluating(denoiser):
        solution = solve(
            _augmented(flow, vectors, x.shape[1:], probes is None),
            start,
            DormandPrince54(),
            Adaptive(process.t_data, process.t_noise, rtol=rtol, atol=atol),
        )

    end = solution.y[:, :dim]
    integral = solution.y[:, dim:]
    each = process.prior_log_prob(end).unsqueeze(1) + integral
    error = each.std(1) / math.sqrt(columns) if columns > 1 else None
    sigma = like(process.sigma(process.t_noise), end)
    assert isinstance(solution.evals, Tensor)

    return Likelihood(each.mean(1), error, (end / sigma).reshape(x.shape), solution.evals)


def _check_differentiable(
    denoiser: BaseDenoiser,
    process: Process,
    x: Tensor,
    cond: Any,
) -> None:
    """Raise ValueError if the network's output has no gradient: the trace would miss the network without notice."""
    with evaluating(denoiser), torch.enable_grad():
        x = x.detach().requires_grad_()
        t = process.t_data
        out = denoiser(x, process.alpha(t), process.sigma(t), cond).out
        gradient: Any = torch.autograd.grad(out.sum(), x, allow_unused=True)[0] if out.requires_grad else None
        if gradient is None:
            raise ValueError(
                "`denoiser` must be differentiable in x, got one whose network's answer has no gradient; look"
                " for no_grad or detach in it"
            )


def _augmented(
    flow: Equation,
    vectors: Tensor,
    shape: torch.Size,
    exact: bool,
) -> Equation:
    """The flow together with the integral of its divergence: state (B, d + columns)."""
    dim = vectors.shape[-1]

    def f(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            x = y[:, :dim].detach().requires_grad_()
            drift = flow.drift(t.reshape(-1, *[1] * len(shape)) if t.dim() else t, x.reshape(-1, *shape)).reshape(
                len(x), -1
            )
            along = [
                torch.autograd.grad(drift, x, vectors[:, k], retain_graph=True)[0] for k in range(vectors.shape[1])
            ]

        each = torch.stack([(g * vectors[:, k]).sum(1) for k, g in enumerate(along)], 1)
        return torch.cat([drift.detach(), each.sum(1, keepdim=True) if exact else each], 1)

    def take(index: Tensor) -> Equation:
        return _augmented(flow if flow.select is None else flow.select(index), vectors[index], shape, exact)

    return Equation(f, select=take)


def bits_per_dim(log_prob: Tensor, dim: int, half_range: float = 127.5) -> Tensor:
    """Convert log p in nats in the model's scale to bits per dimension, -log2 p / d on the integer scale of the data.

    The data are integers x_int = x * half_range + centre, with uniform noise of one unit added (dequantisation). The
    density per unit cell is then p(x)/half_range^d. Theis et al. 2016, arXiv:1511.01844.

    Args:
        log_prob: log p in nats, in the model's scale.
        dim: d, number of elements of a sample.
        half_range: integers per unit of x; 127.5 for 8-bit images scaled to [-1, 1].
    """

    check.integer("dim", dim, most=10**9)
    check.number("half_range", half_range, above=0.0)

    return -(log_prob / dim - math.log(half_range)) / math.log(2)

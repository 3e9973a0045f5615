"""Posterior samples by sequential Monte Carlo, exact in the limit of many particles."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..runtime.torch_state import evaluating
from ..samplers.method import Method
from ..samplers.plan import check_method, method_levels
from ..samplers.sampling import state_place
from .denoisers import PiGDM
from .measurement import Measurement

_RESAMPLE = 0.5  # of the particles, effective, below which they are drawn anew
_COLLAPSED = 0.02
_UNIFORMS = 1 << 20  # steps from which uniforms are drawn
_LAST = 1 << 19  # a step that no filter reaches


class Particles(NamedTuple):
    """Draws of a posterior.

    x            (B, ...), equally weighted
    log_weights  of the particles at the end, (P,), normalised
    ess          effective number of particles before each step and at the end: a small one says that few particles
                 carry the answer
    """

    x: Tensor
    log_weights: Tensor
    ess: Tensor


def twisted(
    denoiser: BaseDenoiser,
    measurement: Measurement,
    shape: Sequence[int],
    method: Method,
    *,
    particles: int = 256,
    seed: int = 0,
    cond: Any = None,
    data_std: float | None = None,
    batch: int = 4096,
) -> Particles:
    """Samples of p(x0 | y) by a twisted particle filter: ancestral steps led by the measurement, corrected by weights.

    Between noise levels s > s' of x = x0 + s eps a particle moves by the ancestral step of the led denoiser,

        x' ~ q = N(x + (s^2 - s'^2) (x0_led - x)/s^2, v),    v = s'^2 (s^2 - s'^2)/s^2,

    and its weight is multiplied by p(x' | x) p~(y | x')/(q p~(y | x)), p the ancestral step of the prior and p~ the
    likelihood as `PiGDM` has it. The last weight holds the measurement itself. The error falls as the square root of
    the number of particles; what is left is the discretisation of the prior's own chain. Wu et al. 2023,
    arXiv:2306.17775.

    Args:
        denoiser: the prior.
        measurement: with a linear operator and std above 0.
        shape: (B, ...); B draws are made of all the particles. More than a quarter of them repeat noticeably.
        method: whose levels are taken, such as catalogue.ddpm(100). The steps are ancestral whatever it says.
        particles: P, at least 2.
        seed: of all draws.
        cond: a number, which holds for all particles, or P equal rows; None for none.
        data_std: standard deviation of the data in p~; None: what the denoiser knows of its data, else 1.
        batch: particles at once, where memory is short.

    Raises:
        TypeError, ValueError: naming the argument; `denoiser` where particles become NaN or infinite.

    Warns:
        UserWarning: where the effective number of particles at the end is below 2 in 100.
    """

    shape = check.shape("shape", shape)
    count = check.integer("particles", particles, least=2)
    check_method(denoiser, method)
    if method.n is None or method.frame is not None:
        raise ValueError(f"`method` must have a fixed grid and no frame, such as catalogue.ddpm(100), got {method!r}")

    check.integer("batch", batch)
    if not isinstance(measurement, Measurement):
        raise TypeError(f"`measurement` must be an inverse.Measurement, got {type(measurement).__name__}")
    if not measurement.operator.linear:
        raise ValueError("`measurement` must have a linear operator, got a Function")
    if measurement.std == 0.0:
        raise ValueError("`measurement` must have a std above 0, which weights divide by, got 0")

    if data_std is None:
        data_std = float(denoiser.moments.scale) if denoiser.moments is not None else 1.0

    levels = (-method_levels(denoiser, method)).exp()
    if not bool(levels.isfinite().all()):
        raise ValueError("`method` must begin at a finite noise level, got one that begins at pure noise")

    led = PiGDM(denoiser, measurement, data_std)
    place, dtype = state_place(denoiser, None, None)
    cond = conditions.prepared(cond, count, place)
    one = torch.ones((), dtype=torch.float64, device="cpu")

    def asked(x: Tensor, s: Tensor) -> _Seen:
        starts = range(0, count, batch)
        rows = [slice(i, i + batch) for i in starts]
        parts = [led.led(x[some], one, s, conditions.rows(cond, some)) for some in rows]
        return _Seen(
            torch.cat([part.plain.x0 for part in parts]),
            torch.cat([part.prediction.x0 for part in parts]),
            torch.cat([part.fit for part in parts]),
        )

    source = SeededNoise(seed)
    start = source.normal(PRIOR, range(1), (count, *shape[1:]), dtype, place)[0] * levels[0]

    with torch.no_grad(), evaluating(denoiser):
        x0, log_weights, ess = _filtered(asked, measurement, levels, start, source)

    if not bool(x0.isfinite().all() and log_weights.isfinite().all()):
        raise ValueError(
            "`denoiser` must answer finite numbers: particles or their weights became NaN or infinite on the way"
        )

    drawn = _resampled(log_weights, shape[0], source, _LAST)
    shuffled = torch.argsort(_uniform(source, _LAST + 1, shape[0], place))
    if float(ess[-1]) < max(2.0, _COLLAPSED * count):
        warnings.warn(
            f"few particles carry the answer: {float(ess[-1]):.1f} of {count} are effective at the end; take more, or"
            " more levels",
            stacklevel=2,
        )

    return Particles(x0[drawn[shuffled]], log_weights.log_softmax(0), ess)


class _Seen(NamedTuple):
    """What the denoisers say of the particles: x0 of the prior and with the measurement, and log p~(y | x)."""

    plain: Tensor
    led: Tensor
    fit: Tensor


def _filtered(
    asked: Callable[[Tensor, Tensor], _Seen],
    measurement: Measurement,
    levels: Tensor,
    x: Tensor,
    source: SeededNoise,
) -> tuple[Tensor, Tensor, Tensor]:
    """Particles x0, their log weights, and the effective numbers on the way."""
    seen = asked(x, levels[0])
    log_weights = seen.fit.double()
    ess = [_effective(log_weights)]

    for k in range(1, len(levels)):
        if float(ess[-1]) < _RESAMPLE * len(x):
            kept = _resampled(log_weights, len(x), source, k)
            x = x[kept]
            seen = _Seen(*(part[kept] for part in seen))
            log_weights = torch.zeros_like(log_weights)

        s = levels[k - 1]
        s_next = levels[k]
        gain = 1 - (s_next / s) ** 2
        spread = s_next * gain.sqrt()
        z = source.normal(PRIOR, range(k, k + 1), tuple(x.shape), x.dtype, x.device)[0]
        moved = x + gain * (seen.led - x) + spread * z
        toward = z + (gain / spread) * (seen.led - seen.plain)  # the same move, as a draw of the prior's step
        log_ratio = 0.5 * (z.square() - toward.square()).flatten(1).sum(1)

        x = moved
        after = asked(x, s_next)
        log_weights = log_weights + (log_ratio + after.fit - seen.fit).double()
        seen = after
        ess.append(_effective(log_weights))

    log_weights = log_weights + (measurement.log_prob(seen.plain) - seen.fit).double()
    ess.append(_effective(log_weights))

    return seen.plain, log_weights, torch.stack(ess)


def _effective(log_weights: Tensor) -> Tensor:
    """1/sum w^2 of normalised weights."""
    return (-(2 * log_weights.log_softmax(0)).logsumexp(0)).exp()


def _uniform(source: SeededNoise, step: int, count: int, device: torch.device) -> Tensor:
    return source.uniform(PRIOR, range(_UNIFORMS + step, _UNIFORMS + step + 1), (count, 1), device=device).flatten()


def _resampled(log_weights: Tensor, count: int, source: SeededNoise, step: int) -> Tensor:
    """Indices of `count` particles by systematic resampling: each comes as often as its weight says, to one."""
    u = _uniform(source, step, 1, log_weights.device).double()
    at = (torch.arange(count, dtype=torch.float64, device=log_weights.device) + u) / count
    return torch.searchsorted(log_weights.softmax(0).cumsum(0), at).clamp(max=len(log_weights) - 1)

"""Sequential Monte Carlo along noise levels: particles are moved, weighted, and resampled if few of them have most of
the weight.

A `Twist` defines how particles move and how they are weighted. The filters differ only in their twist.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
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
from ..samplers.plan import check_method
from ..samplers.ranges import method_levels
from ..samplers.sampling import state_place

_RESAMPLE = 0.5  # particles are resampled if the effective share of them falls below this
_COLLAPSED = 0.02  # a smaller effective share at the end gives a warning
_UNIFORMS = 1 << 20  # offset of the draw indices of uniform numbers
_LAST = 1 << 19  # draw index of the last resampling; no filter has so many levels


class Particles(NamedTuple):
    """Posterior samples of a particle filter, and its weights.

    x            posterior samples, equally weighted, (B, ...)
    log_weights  normalised log weights of the particles at the end, (P,)
    ess          effective number of particles before each step and at the end. If it is small, few particles determine
                 the result
    """

    x: Tensor
    log_weights: Tensor
    ess: Tensor


class Seen(NamedTuple):
    """Predictions for the particles at a noise level.

    plain  x0 predicted by the prior
    led    x0 predicted with the measurement, or by the prior
    fit    log of the twist (P,), an approximation of log p(y | x) that enters the weights
    """

    plain: Tensor
    led: Tensor
    fit: Tensor


class Moved(NamedTuple):
    """Particles at the next level, and the log of the ratio of target to proposal density without the twists, (P,)."""

    x: Tensor
    log_ratio: Tensor


class Twist(ABC):
    """Abstract: how particles move between noise levels s > s' of x = x0 + s eps, and how they are weighted.

    levels  s of all noise levels, falling
    """

    def __init__(self, levels: Tensor):
        self.levels = levels

    @abstractmethod
    def start(self, z: Tensor) -> Moved:
        """Particles at the first level, made from standard normals z."""

    @abstractmethod
    def seen(self, x: Tensor, k: int, cond: Any) -> Seen:
        """The predictions for particles at level k.

        Args:
            x: particles, (P, ...).
            k: index of their level, from 0.
            cond: condition of each particle, or None.
        """

    @abstractmethod
    def move(self, seen: Seen, x: Tensor, k: int, z: Tensor) -> Moved:
        """Move particles from level k - 1 to level k, with standard normals.

        Args:
            seen: predictions for the particles at level k - 1.
            x: particles at level k - 1, (P, ...).
            k: index of the level to which they move.
            z: standard normals like x.
        """

    @abstractmethod
    def end(self, seen: Seen) -> Tensor:
        """Log of the ratio of the likelihood to the last twist, (P,)."""


def noise_levels(denoiser: BaseDenoiser, method: Method) -> Tensor:
    """The noise levels s = sigma/alpha of a method on a fixed grid, falling.

    Args:
        denoiser: the prior; its training process gives the range of noise levels.
        method: with a fixed grid and no frame.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    check_method(denoiser, method)
    if method.n is None or method.frame is not None:
        raise ValueError(f"`method` must have a fixed grid and no frame, such as catalogue.ddpm(100), got {method!r}")

    levels = (-method_levels(denoiser, method)).exp()
    if not bool(levels.isfinite().all()):
        raise ValueError("`method` must begin at a finite noise level, got one that begins at pure noise")

    return levels


def check_finite(*made: Tensor) -> None:
    """Raise ValueError naming `denoiser` if samples or their weights are NaN or infinite."""
    if not all(bool(part.isfinite().all()) for part in made):
        raise ValueError("`denoiser` must answer finite numbers: samples or weights became NaN or infinite on the way")


def filtered(
    twist: Twist,
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    particles: int,
    seed: int,
    cond: Any,
    batch: int,
) -> Particles:
    """Run the filter of a twist; see `twisted` for the arguments.

    Args:
        twist: how particles move and how they are weighted.
        denoiser: the prior; the particles have its device and dtype.
        shape: shape of the posterior samples, (B, ...).
        particles: P, at least 2.
        seed: of all draws.
        cond: condition of the particles, or None.
        batch: particles per network call.

    Raises:
        TypeError, ValueError: naming the argument; `denoiser` if particles become NaN or infinite.
    """

    shape = check.shape("shape", shape)
    count = check.integer("particles", particles, least=2)
    check.integer("batch", batch)
    place, dtype = state_place(denoiser, None, None)
    cond = conditions.prepared(cond, count, place)
    source = SeededNoise(seed)
    z = source.normal(PRIOR, range(1), (count, *shape[1:]), dtype, place)[0]

    def asked(x: Tensor, k: int) -> Seen:
        rows = [slice(i, i + batch) for i in range(0, count, batch)]
        parts = [twist.seen(x[some], k, conditions.rows(cond, some)) for some in rows]
        return Seen(*map(torch.cat, zip(*parts, strict=True)))

    with torch.no_grad(), evaluating(denoiser):
        x0, log_weights, ess = _along(twist, asked, z, source)

    check_finite(x0, log_weights)
    drawn = _resampled(log_weights, shape[0], source, _LAST)
    shuffled = torch.argsort(_uniform(source, _LAST + 1, shape[0], place))
    if float(ess[-1]) < max(2.0, _COLLAPSED * count):
        warnings.warn(
            f"few particles carry the answer: {float(ess[-1]):.1f} of {count} are effective at the end; take more, or"
            " more levels",
            stacklevel=3,
        )

    return Particles(x0[drawn[shuffled]], log_weights.log_softmax(0), ess)


def _along(
    twist: Twist,
    asked: Callable[[Tensor, int], Seen],
    z: Tensor,
    source: SeededNoise,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the filter: x0 of the particles, their log weights, and the effective numbers of particles on the way."""
    x, log_ratio = twist.start(z)
    seen = asked(x, 0)
    log_weights = (log_ratio + seen.fit).double()
    ess = [_effective(log_weights)]

    for k in range(1, len(twist.levels)):
        if float(ess[-1]) < _RESAMPLE * len(x):
            kept = _resampled(log_weights, len(x), source, k)
            x = x[kept]
            seen = Seen(*(part[kept] for part in seen))
            log_weights = torch.zeros_like(log_weights)

        z = source.normal(PRIOR, range(k, k + 1), tuple(x.shape), x.dtype, x.device)[0]
        x, log_ratio = twist.move(seen, x, k, z)
        after = asked(x, k)
        log_weights = log_weights + (log_ratio + after.fit - seen.fit).double()
        seen = after
        ess.append(_effective(log_weights))

    log_weights = log_weights + twist.end(seen).double()
    ess.append(_effective(log_weights))

    return seen.plain, log_weights, torch.stack(ess)


def _effective(log_weights: Tensor) -> Tensor:
    """The effective number of particles, 1/sum w^2 of normalised weights."""
    return (-(2 * log_weights.log_softmax(0)).logsumexp(0)).exp()


def _uniform(source: SeededNoise, step: int, count: int, device: torch.device) -> Tensor:
    return source.uniform(PRIOR, range(_UNIFORMS + step, _UNIFORMS + step + 1), (count, 1), device=device).flatten()


def _resampled(log_weights: Tensor, count: int, source: SeededNoise, step: int) -> Tensor:
    """Indices of `count` particles by systematic resampling: each occurs count * weight times, up to rounding."""
    u = _uniform(source, step, 1, log_weights.device).double()
    at = (torch.arange(count, dtype=torch.float64, device=log_weights.device) + u) / count
    return torch.searchsorted(log_weights.softmax(0).cumsum(0), at).clamp(max=len(log_weights) - 1)

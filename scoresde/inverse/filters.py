"""Sequential Monte Carlo along noise levels: particles are moved, weighted, and resampled where few of them have most
of the weight.

A `Twist` defines how particles move and what they weigh; the filters differ in nothing else.
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


class Seen(NamedTuple):
    """Predictions for the particles at a level.

    plain  x0 of the prior
    led    x0 that knows the measurement, or the prior's
    fit    log of the twist: what the particles are weighed by, beside the law that they were drawn from, (P,)
    """

    plain: Tensor
    led: Tensor
    fit: Tensor


class Moved(NamedTuple):
    """Particles at the next level, and the log of target over proposal, the twists left out, (P,)."""

    x: Tensor
    log_ratio: Tensor


class Twist(ABC):
    """Abstract: how particles move between noise levels s > s' of x = x0 + s eps, and what they weigh.

    levels  s of all levels, falling
    """

    def __init__(self, levels: Tensor):
        self.levels = levels

    @abstractmethod
    def start(self, z: Tensor) -> Moved:
        """Particles at the first level, of standard normals."""

    @abstractmethod
    def seen(self, x: Tensor, k: int, cond: Any) -> Seen:
        """What is known of particles at level k.

        Args:
            x: particles, (P, ...).
            k: index of their level, from 0.
            cond: condition of each particle, or None.
        """

    @abstractmethod
    def move(self, seen: Seen, x: Tensor, k: int, z: Tensor) -> Moved:
        """Particles at level k, of those at level k - 1 and standard normals.

        Args:
            seen: what is known of the particles at level k - 1.
            x: particles at level k - 1, (P, ...).
            k: index of the level they go to.
            z: standard normals like x.
        """

    @abstractmethod
    def end(self, seen: Seen) -> Tensor:
        """Log of the likelihood over the last twist, (P,)."""


def noise_levels(denoiser: BaseDenoiser, method: Method) -> Tensor:
    """s of the levels of a method on a fixed grid. Raises TypeError or ValueError naming the argument.

    Args:
        denoiser: the prior; its training process gives the range.
        method: with a fixed grid and no frame.
    """
    check_method(denoiser, method)
    if method.n is None or method.frame is not None:
        raise ValueError(f"`method` must have a fixed grid and no frame, such as catalogue.ddpm(100), got {method!r}")

    levels = (-method_levels(denoiser, method)).exp()
    if not bool(levels.isfinite().all()):
        raise ValueError("`method` must begin at a finite noise level, got one that begins at pure noise")

    return levels


def check_finite(*made: Tensor) -> None:
    """Raise ValueError naming `denoiser` where samples or their weights are NaN or infinite."""
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
        twist: how particles move and what they weigh.
        denoiser: the prior, whose place and dtype the particles have.
        shape: (B, ...), of the draws.
        particles: P, at least 2.
        seed: of all draws.
        cond: condition of the particles, or None.
        batch: particles at once.

    Raises:
        TypeError, ValueError: naming the argument; `denoiser` where particles become NaN or infinite.
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
    """Particles x0, their log weights, and the effective numbers on the way."""
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
    """1/sum w^2 of normalised weights."""
    return (-(2 * log_weights.log_softmax(0)).logsumexp(0)).exp()


def _uniform(source: SeededNoise, step: int, count: int, device: torch.device) -> Tensor:
    return source.uniform(PRIOR, range(_UNIFORMS + step, _UNIFORMS + step + 1), (count, 1), device=device).flatten()


def _resampled(log_weights: Tensor, count: int, source: SeededNoise, step: int) -> Tensor:
    """Indices of `count` particles by systematic resampling: each comes as often as its weight says, to one."""
    u = _uniform(source, step, 1, log_weights.device).double()
    at = (torch.arange(count, dtype=torch.float64, device=log_weights.device) + u) / count
    return torch.searchsorted(log_weights.softmax(0).cumsum(0), at).clamp(max=len(log_weights) - 1)

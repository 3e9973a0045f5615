"""Samplers that insert the measurement after every step: replacement, and RePaint, which also goes back to noisier
levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from solvers import Equation, Solver, check
from solvers.noise import CHURN, CORRECTOR

from ..processes.base import Process
from ..samplers.wrappers import StepContext, StepHooks, Wrapper
from ..samplers.wrappers.base import SubSolve
from ..samplers.wrappers.churn import ForwardJump
from .measurement import SEEN, Measurement, check_linear


@dataclass(frozen=True)
class InPlace(Wrapper):
    """Abstract: after each step, the measured directions of x are replaced by the measurement with noise of the present
    level.

        x <- alpha A^+ y + sqrt(sigma^2 - alpha^2 std^2/a^2) z    in a direction of singular value a

    The noise of the measurement is thus a part of the noise of the level. If the measurement is noisier than the level,
    x is not changed in this direction.
    """

    measurement: Measurement

    def __post_init__(self) -> None:
        check_linear(self.measurement)

    def _places(self, ground: StepContext, y: Tensor) -> _Places:
        """The measurement, prepared for states like y."""
        self.measurement.check_fits(y)
        known = self.measurement.pseudo_inverse().to(y)
        return _Places(self.measurement, known, ground.process, ground.drawing(CORRECTOR))


class _Places(NamedTuple):
    """A measurement and the noise with which it is inserted at each level.

    measurement  with a linear operator
    known        A^+ y
    process      of the states
    draw         normals like a state, by index
    """

    measurement: Measurement
    known: Tensor
    process: Process
    draw: Callable[[int, Tensor], Tensor]

    def put(self, x: Tensor, t: Tensor, index: int) -> Tensor:
        """x with the measurement inserted.

        Args:
            x: the state, (B, ...).
            t: its time, 0-d.
            index: of the draw of noise.
        """
        operator = self.measurement.operator
        spread = self._spread(t)
        alpha = self.process.alpha(t).item()
        kept = operator.spectral(x, lambda c: (spread(c) < 0).to(c))
        put_there = operator.spectral(self.known, lambda c: (spread(c) >= 0).to(c))
        noise = operator.spectral(self.draw(index, x), lambda c: spread(c).clamp(min=0.0).sqrt())

        return kept + alpha * put_there + noise

    def held(self, x: Tensor, before: Tensor, t: Tensor) -> Tensor:
        """x with those directions of `before` in which the measurement is noisier than the level at t.

        Args:
            x: the state, (B, ...).
            before: an earlier state at the same time, like x.
            t: the time of both, 0-d.
        """
        spread = self._spread(t)
        return x + self.measurement.operator.spectral(before - x, lambda c: ((c > SEEN) & (spread(c) < 0)).to(c))

    def _spread(self, t: Tensor) -> Callable[[Tensor], Tensor]:
        """Variance of the noise to add, for squared singular values; below 0 if the direction is not changed."""
        sigma = self.process.sigma(t).item()
        noise = (self.process.alpha(t).item() * self.measurement.std) ** 2
        return lambda c: torch.where(c > SEEN, sigma**2 - noise / c.clamp(min=SEEN), -1.0)


@dataclass(frozen=True)
class Replacement(InPlace):
    """The replacement method: after every step the measurement is inserted, as in `InPlace`. Use it as an entry of a
    method's `wrap`.

    Song et al. 2021, arXiv:2011.13456, appendix I.

    Args:
        measurement: with a linear operator.
    """

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return 0

    def around(
        self,
        solver: Solver,
        ground: StepContext,
        eq: Equation,
        times: Tensor,
        y: Tensor,
    ) -> Sequence[StepHooks]:
        places = self._places(ground, y)
        return [StepHooks(after=lambda eq, x, k=k, t=t: places.put(x, t, k)) for k, t in enumerate(times[1:])]


@dataclass(frozen=True)
class RePaint(InPlace):
    """RePaint, replacement with resampling: after every `jump` steps it goes back by `jump` levels and repeats the
    steps, so each step is made `resamplings` times.

    Repeated steps would lose a direction in which the measurement is noisier than the level. So such a direction keeps
    its value of the first pass. The method must have eta 0. Lugmayr et al. 2022, arXiv:2201.09865; the paper has jump
    10 and resamplings 10 on 250 levels.

    Args:
        measurement: with a linear operator.
        jump: number of steps that are repeated together.
        resamplings: how often each step is made; 1 is plain replacement.
    """

    jump: int = 1
    resamplings: int = 10

    stochastic: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check.integer("jump", self.jump)
        check.integer("resamplings", self.resamplings)

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return (self.resamplings - 1) * (n - n % self.jump) * calls(1)

    def around(
        self,
        solver: Solver,
        ground: StepContext,
        eq: Equation,
        times: Tensor,
        y: Tensor,
    ) -> Sequence[StepHooks]:

        places = self._places(ground, y)
        climb = ground.drawing(CHURN)
        legs = [SubSolve.of(solver, eq, times[k : k + 2], y) for k in range(len(times) - 1)]
        count = len(legs)

        def stretch(k: int) -> StepHooks:
            """The hooks of step k; if a group of `jump` steps ends with it, they repeat the group."""
            ends = (k + 1) % self.jump == 0
            begin = k + 1 - self.jump
            lift = ForwardJump.between(ground.process, times[k + 1], times[begin], 1.0) if ends else None

            def after(eq: Equation, x: Tensor) -> Tensor:
                x = first = places.put(x, times[k + 1], k)
                for again in range(1, self.resamplings if lift is not None else 1):
                    assert lift is not None
                    x = lift(x, climb(again * count + k, x))
                    for step in range(begin, k + 1):
                        x = places.put(legs[step](eq, x), times[step + 1], again * count + step)
                    x = places.held(x, first, times[k + 1])
                return x

            return StepHooks(after=after)

        return [stretch(k) for k in range(count)]

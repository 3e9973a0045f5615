"""The samples of an adaptive solve that have not reached the end."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .brownian import BrownianTree
from .equation import Equation
from .solver import State


@dataclass
class Live:
    """The samples that have not reached the end: their rows in the batch, equation, path, time, state, next step, last
    error ratio."""

    rows: Tensor
    eq: Equation
    path: BrownianTree | None
    t: Tensor
    y: Tensor
    state: State
    h: Tensor
    before: Tensor

    def keep(self, going: Tensor) -> Live:
        """The rows where `going` is True."""
        index = going.nonzero().flatten()
        return Live(
            rows=self.rows[going],
            eq=self.eq if self.eq.select is None else self.eq.select(index),
            path=None if self.path is None else self.path.take(index),
            t=self.t[going],
            y=self.y[going],
            state=tuple(s[going] for s in self.state),
            h=self.h[going],
            before=self.before[going],
        )


@dataclass(frozen=True, eq=False)
class Attempt:
    """One step of all live samples, which each of them accepts or rejects.

    t1      its end, (L,)
    y1      the state there, (L, ...)
    state   what the solver remembers after it
    ratio   error over tolerance, (L,); infinite where the error or y1 is not finite
    finite  whether both are finite, (L,) bool
    accept  whether the step is accepted, (L,) bool"""

    t1: Tensor
    y1: Tensor
    state: State
    ratio: Tensor
    finite: Tensor
    accept: Tensor

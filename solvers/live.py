"""The samples of an adaptive solve that have not reached the end, and one attempted step of them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .brownian import BrownianTree
from .equation import Equation
from .solver import State


@dataclass
class Live:
    """The L live samples: those that have not reached the end.

    rows    their rows in the batch, (L,)
    eq      their equation
    path    their Brownian path; None for an ODE
    t       their times, (L,)
    y       their states, (L, ...)
    state   the solver's memory
    h       their next step sizes, positive, (L,)
    before  their error ratios of the last accepted step, (L,)"""

    rows: Tensor
    eq: Equation
    path: BrownianTree | None
    t: Tensor
    y: Tensor
    state: State
    h: Tensor
    before: Tensor

    def keep(self, going: Tensor) -> Live:
        """The live samples for which `going` is True."""
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
    """One attempted step of the L live samples. Each sample accepts or rejects its own step.

    t1      end of the step, (L,)
    y1      the state at t1, (L, ...)
    state   the solver's memory after the step
    ratio   error over tolerance, (L,); infinite if the error or y1 is not finite
    finite  whether both are finite, (L,) bool
    accept  whether the step is accepted, (L,) bool"""

    t1: Tensor
    y1: Tensor
    state: State
    ratio: Tensor
    finite: Tensor
    accept: Tensor

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
        state = tuple(s[going] for s in self.state)
        index = going.nonzero().flatten()
        eq = self.eq if self.eq.select is None else self.eq.select(index)
        path = None if self.path is None else self.path.take(index)
        return Live(
            self.rows[going],
            eq,
            path,
            self.t[going],
            self.y[going],
            state,
            self.h[going],
            self.before[going],
        )

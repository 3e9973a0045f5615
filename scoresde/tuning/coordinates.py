"""The steps of a method, as a table along other coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from solvers import Solver
from solvers.table import rows_of, states_at_calls

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..processes.base import Process
from ..samplers.method import Method
from ..samplers.ranges import radius
from ..samplers.reverse import reverse


class _Symbolic(BaseDenoiser):
    """Answers call after call with the next of some symbols for x0."""

    def __init__(self, symbols: Iterator[Tensor]):
        super().__init__()
        self.process: Process | None = None
        self.symbols = symbols

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        return Prediction(x, next(self.symbols), alpha, sigma, (0.0, 1.0), (1 / sigma, -alpha / sigma))


def rows_along(method: Method, lams: Tensor, along: Process) -> list[Tensor]:
    """The rows of the table that makes a method's steps along another process, in the flow split.

    Any two coordinates differ by a factor of the state and by which combination of state and x0 is the slope, so that
    linear methods of one call a step are the same tables in all of them.

    Args:
        method: deterministic, of one call a step.
        lams: its levels, (n + 1,) float64; may carry gradients.
        along: whose flow the slopes are of.

    Raises:
        ValueError: naming `solver` where it calls elsewhere than once at the beginning of each step.
    """
    assert isinstance(method.solver, Solver)
    symbols = torch.eye(len(lams), dtype=torch.float64, device="cpu")  # of the first state, x0 at call 0, 1, ...
    own = method.process
    times = own.time(lams)
    eq = reverse(own, _Symbolic(iter(symbols[1:, None])), 0.0, method.split)
    states = states_at_calls(eq, method.solver, times, symbols[:1]) / radius(own, times)[:, None]

    clock = along.time(lams)
    states = states * radius(along, clock)[:, None]
    called = states[:-1]
    t = clock[:-1, None]
    alpha, sigma = along.alpha(t), along.sigma(t)
    noise = (called - alpha * symbols[1:]) / sigma
    slopes = along.alpha_rate(t) * symbols[1:] + along.sigma_rate(t) * noise

    return rows_of(states, slopes, clock)

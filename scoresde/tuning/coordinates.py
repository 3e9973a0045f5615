"""The steps of a method as a table of coefficients in other coordinates."""

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
    """A denoiser whose k-th call returns the k-th of some given symbols as x0."""

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
    """The rows of the `Table` that makes the same steps as a given method along another process, with Split.FLOW.

    Two coordinates differ by a factor of the state, and by the combination of state and x0 that is the slope. Therefore
    a linear method with one call per step can be written as a table in any coordinates.

    Args:
        method: deterministic, with one network call per step.
        lams: its noise levels lam, (n + 1,) float64; may carry gradients.
        along: the process whose flow gives the slopes.

    Returns:
        Row k of the table for k = 0, ..., n - 1, (k + 2,) each.

    Raises:
        ValueError: naming `solver`, if it does not call the model exactly once per step, at its beginning.
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

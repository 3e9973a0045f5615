"""An adapter to torchdiffeq (Chen et al. 2018, arXiv:1806.07366)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .. import check
from ..equation import Equation
from ..solution import Solution
from .base import Adapter, FlatEquation, ode_only


@dataclass(frozen=True)
class TorchDiffEq(Adapter):
    """torchdiffeq's odeint(method, rtol, atol), for ODEs.

    Adaptive methods use one step size for the whole batch. They must stop at the last time, because they would
    otherwise evaluate f beyond it. Fixed-grid methods make one step from each output time to the next."""

    method: str = "dopri5"
    rtol: float = 1e-5
    atol: float = 1e-5

    def __post_init__(self) -> None:
        check.number("rtol", self.rtol, above=0.0)
        check.number("atol", self.atol, above=0.0)

    def integrate(
        self,
        eq: Equation,
        y0: Tensor,
        times: Tensor,
        noise: Any,
    ) -> Solution:
        from torchdiffeq import odeint
        from torchdiffeq._impl.odeint import SOLVERS
        from torchdiffeq._impl.rk_common import RKAdaptiveStepsizeODESolver

        ode_only(self, eq, noise)
        check.choice("method", self.method, SOLVERS)
        flat = FlatEquation(eq, y0, times)
        ts = flat.times.to(y0.device)
        options = {"step_t": ts[-1:]} if issubclass(SOLVERS[self.method], RKAdaptiveStepsizeODESolver) else {}
        ys: Any = odeint(
            flat.f,
            flat.y0,
            ts,
            method=self.method,
            rtol=self.rtol,
            atol=self.atol,
            options=options,
        )

        return flat.solution(times, ys)

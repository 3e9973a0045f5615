"""An adapter to SciPy's solve_ivp (Virtanen et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import check
from ..equation import Equation
from ..solution import Solution
from .base import Adapter, FlatEquation, ode_only

_METHODS = ("RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA")


@dataclass(frozen=True)
class SciPy(Adapter):
    """SciPy's solve_ivp(method, rtol, atol), for ODEs.

    SciPy computes in float64 on the CPU and uses one step size for the whole batch."""

    method: str = "RK45"
    rtol: float = 1e-5
    atol: float = 1e-5

    def __post_init__(self) -> None:
        check.choice("method", self.method, _METHODS)
        check.number("rtol", self.rtol, above=0.0)
        check.number("atol", self.atol, above=0.0)

    def integrate(
        self,
        eq: Equation,
        y0: Tensor,
        times: Tensor,
        noise: Any,
    ) -> Solution:
        from scipy.integrate import solve_ivp

        ode_only(self, eq, noise)
        flat = FlatEquation(eq, y0, times)

        def right_side(tau: float, y: Any) -> Any:
            state = torch.from_numpy(y).to(y0.device, y0.dtype).reshape(flat.y0.shape)
            return flat.f(tau, state).to("cpu", torch.float64).flatten().numpy()

        with torch.no_grad():
            start = flat.y0.detach().to("cpu", torch.float64).flatten().numpy()
            result = solve_ivp(
                right_side,
                (0.0, flat.end),
                start,
                self.method,
                flat.times.numpy(),
                rtol=self.rtol,
                atol=self.atol,
            )

        if not result.success:
            raise RuntimeError(f"SciPy stopped: {result.message}")

        return flat.solution(times, torch.from_numpy(result.y.T.copy()).to(y0.device, y0.dtype))

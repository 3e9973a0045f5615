"""The interface of an adapter, and the form of an equation that other libraries take.

The library gets the state flattened to (B, D), and a time tau that increases from 0: tau = t - t0 on an increasing
grid, tau = t0 - t on a decreasing one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..counting import Tally, counted
from ..equation import Equation
from ..solution import Solution


class Adapter(ABC):
    """Abstract: an integrator of another library. It makes a whole solve in one call.

    The times of the grid are output times. The library chooses its own steps between them."""

    @abstractmethod
    def integrate(
        self,
        eq: Equation,
        y0: Tensor,
        times: Tensor,
        noise: Any,
    ) -> Solution:
        """Solve from times[0] to times[-1] and return the states at `times`.

        Args:
            eq: the equation.
            y0: the state at the first time, (B, ...).
            times: the output times, strictly monotone, 1-D float64.
            noise: the noise that the library takes, such as a seed; None for an ODE.
        """


class FlatEquation:
    """An equation in the form that other libraries take: flat state, increasing time.

    Calls are counted, and the returned tensors are checked."""

    def __init__(self, eq: Equation, y0: Tensor, times: Tensor):
        self.tally = Tally()
        self.eq = counted(eq, self.tally)
        self.shape = y0.shape
        self.start = times[0]
        self.way = 1.0 if bool(times[-1] > times[0]) else -1.0
        self.y0 = y0.reshape(len(y0), -1)
        self.times = (times - times[0]) * self.way
        self.end = self.times[-1].item()

    def f(self, tau: Any, y: Tensor) -> Tensor:
        """The drift in the time tau, (B, D).

        Args:
            tau: the library's time, which increases from 0.
            y: the flat state, (B, D).

        Raises:
            FloatingPointError: if the drift is NaN or infinite.
        """
        out = self.way * self._call(self.eq.drift, tau, y)
        if not bool(out.isfinite().all()):
            raise FloatingPointError(
                f"f is NaN or infinite at t = {float(self.time(tau)):.6g}; the library would not return"
            )
        return out

    def g(self, tau: Any, y: Tensor) -> Tensor:
        """The diffusion in the time tau, broadcast to (B, D).

        Args:
            tau: the library's time, which increases from 0.
            y: the flat state, (B, D).
        """
        assert self.eq.g is not None
        t = self.time(tau)
        x = y.reshape(-1, *self.shape[1:])
        return (self.eq.g(t, x).to(y.dtype) + torch.zeros_like(x)).reshape(y.shape)

    def time(self, tau: Any) -> Tensor:
        """The time t that corresponds to tau. It is clamped, because some libraries evaluate beyond the last time."""
        tau = torch.as_tensor(tau, dtype=torch.float64, device="cpu").detach().clamp(0.0, self.end)
        return self.start + self.way * tau

    def _call(self, field: Callable[[Tensor, Tensor], Tensor], tau: Any, y: Tensor) -> Tensor:
        return field(self.time(tau), y.reshape(-1, *self.shape[1:])).reshape(y.shape)

    def solution(self, times: Tensor, ys: Tensor) -> Solution:
        """The Solution, with states in their original shape.

        Args:
            times: the output times t of the equation, (S,).
            ys: the flat states there, (S, B, D) or (S, B D).
        """
        ys = ys.reshape(len(times), *self.shape)
        ok = torch.isfinite(ys[-1].detach()).reshape(self.shape[0], -1).all(1)
        return Solution(
            times[-1],
            ys[-1],
            times,
            ys,
            self.tally.f,
            self.tally.f,
            self.tally.g,
            len(times) - 1,
            0,
            ok,
        )


def ode_only(adapter: Adapter, eq: Equation, noise: Any) -> None:
    """Raise ValueError if the equation is stochastic or if noise is given.

    Args:
        adapter: the adapter, for the message.
        eq: the equation.
        noise: the noise given by the caller; must be None.
    """
    if eq.g is not None:
        raise ValueError(
            f"`solver` must take {eq.kind.name} noise, got {adapter!r}, which takes NONE; use TorchSDE or a"
            " native solver"
        )
    if noise is not None:
        raise ValueError("`noise` must be None for an ODE")

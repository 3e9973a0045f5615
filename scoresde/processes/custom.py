"""A user's own process, made from two functions of t.

Rates are computed by automatic differentiation. time(lam) is found by Newton's method inside a bracket; if a step
leaves the bracket, bisection replaces it. The only condition is that lam is monotone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import check

from .base import Process, Rates
from .coefficients import as_time

Function = Callable[[Tensor], Tensor]
_LOOKS = 257  # number of times at which the two functions are checked


@dataclass(frozen=True)
class CustomProcess(Process):
    """A process x = signal(t) x0 + noise(t) eps, given by two functions, for t between `t_data` and `t_noise`.

    signal, noise  alpha(t) and sigma(t): elementwise torch functions of a float tensor. sigma > 0; alpha > 0, or 0 at
                   t_noise only; alpha/sigma must decrease strictly towards t_noise

    Either end may be the larger. Outside the range, `time` raises ValueError naming `lam`. time(lam) is accurate to
    1e-10 in float64 and is not differentiable. Example: CustomProcess(lambda t: 1 - t, lambda t: t, t_noise=1.0,
    t_data=1e-3) is RectifiedFlow. Raises TypeError or ValueError naming the argument."""

    signal: Function
    noise: Function
    t_noise: float = 1.0  # pyright: ignore[reportIncompatibleVariableOverride]
    t_data: float = 1e-3  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self) -> None:
        check.number("t_noise", self.t_noise)
        check.number("t_data", self.t_data)

        if self.t_noise == self.t_data:
            raise ValueError(f"`t_noise` must differ from t_data, got both {self.t_data!r}")

        t = torch.linspace(self.t_data, self.t_noise, _LOOKS, dtype=torch.float64, device="cpu")
        t[0], t[-1] = self.t_data, self.t_noise
        values: list[Tensor] = []

        for name, function in (("signal", self.signal), ("noise", self.noise)):
            check.takes(name, function, 1, "t -> tensor like t")
            value: Any = function(t)
            if not isinstance(value, Tensor) or value.shape != t.shape or not value.is_floating_point():
                raise TypeError(
                    f"`{name}` must return a float tensor like t, got {value!r:.60}; for a constant use"
                    " torch.ones_like(t)"
                )

            inside = value[:-1] if name == "signal" else value
            if not bool(value.isfinite().all() & (inside > 0).all() & (value >= 0).all()):
                i = int((~(value.isfinite() & (value > 0))).nonzero()[0])
                raise ValueError(
                    f"`{name}` must be finite and positive on [{self.t_min:g}, {self.t_max:g}], got {value[i]:g}"
                    f" at t = {t[i]:g}"
                )

            values.append(value)

        falls = (values[0] / values[1]).diff() < 0
        if not bool(falls.all()):
            worst = float(t[int((~falls).nonzero()[0])])
            raise ValueError(
                "`t_noise` must be the noisy end, with signal/noise strictly falling on the way there, which it"
                f" does not at t = {worst:g}"
            )

        object.__setattr__(self, "_known", (t.flip(0), self.lam(t).flip(0)))

    def __repr__(self) -> str:
        named = [getattr(f, "__name__", type(f).__name__) for f in (self.signal, self.noise)]
        return f"CustomProcess(signal={named[0]}, noise={named[1]}, t_noise={self.t_noise!r}, t_data={self.t_data!r})"

    @property
    def t_min(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The smaller end."""
        return min(self.t_noise, self.t_data)

    @property
    def t_max(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The larger end."""
        return max(self.t_noise, self.t_data)

    def log_alpha(self, t: Any) -> Tensor:
        return self.signal(as_time(t)).log()

    def log_sigma(self, t: Any) -> Tensor:
        return self.noise(as_time(t)).log()

    def alpha_rate(self, t: Any) -> Tensor:
        return _slope(self.signal, as_time(t))

    def variance_rate(self, t: Any) -> Tensor:
        return _slope(lambda s: self.noise(s) ** 2, as_time(t))

    def constant_rates(self) -> Rates:
        return None, None

    def time(self, lam: Any) -> Tensor:
        target = as_time(lam, "lam")
        wanted = target.detach().to(torch.float64)
        times, levels = (known.to(wanted.device) for known in self.__dict__["_known"])
        first = levels[0]
        last = levels[-1]
        near = 1e-6 if target.dtype == torch.float64 else 1e-4  # rounding may put an end just outside
        if not bool(((wanted >= first - near) & (wanted <= last + near)).all()):
            worst = float(wanted[~((wanted >= first - near) & (wanted <= last + near))].flatten()[0])
            raise ValueError(
                f"`lam` must lie in [{float(first):.6g}, {float(last):.6g}], where {self!r} is defined, got"
                f" {worst:.6g}; widen t_noise or t_data"
            )

        wanted = wanted.clamp(first, last)
        k = torch.searchsorted(levels, wanted.contiguous()).clamp(1, _LOOKS - 1)
        noisy = times[k - 1]
        clean = times[k]
        share = (wanted - levels[k - 1]) / (levels[k] - levels[k - 1])
        t = noisy + share.nan_to_num(0.5) * (clean - noisy)

        for _ in range(100):
            gap = self.lam(t) - wanted
            noisy = torch.where(gap <= 0, t, noisy)
            clean = torch.where(gap >= 0, t, clean)
            newton = t - gap / _slope(self.lam, t)
            inside = (newton - noisy) * (newton - clean) <= 0
            step = torch.where(inside, newton, 0.5 * (noisy + clean)) - t
            t = t + step
            if bool((step.abs() <= 1e-11 * t.abs()).all()):  # the error is then about the square of the step
                break

        return torch.where(wanted == first, times[0], torch.where(wanted == last, times[-1], t)).to(target.dtype)


def _slope(function: Function, t: Tensor) -> Tensor:
    """d function / dt, elementwise: the gradient of its sum."""
    with torch.enable_grad():
        s = t.detach().clone().requires_grad_()
        return torch.autograd.grad((function(s) + 0 * s).sum(), s)[0]

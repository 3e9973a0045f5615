"""Exponential Adams methods. They integrate a polynomial through past values of f exactly against e^{a(t1-u)}:

    y1 = e^{ah} y + int_{t0}^{t1} e^{a(t1-u)} p(u) du + int_{t0}^{t1} e^{a(t1-u)} g(u) dW_u.

The polynomial p interpolates f at the last k times. For a = 0 these are the classical Adams methods, on any grid. The
polynomial may be one in another time variable, the `clock`: p(u) = P(clock(u)), P of degree k - 1. With
s = (clock(u) - clock(t0)) / (clock(t1) - clock(t0)) the weights are

    w_j = sum_m c_jm int_{t0}^{t1} e^{a(t1-u)} s(u)^m du,      sum_m c_jm s^m the Lagrange polynomial of node j.

Without a clock the integral is h m! phi_{m+1}(ah); otherwise it is a Gauss-Legendre sum. Certaine 1960; Norsett 1969;
Hochbruck & Ostermann 2011, "Exponential multistep methods of Adams-type", BIT 51, 889-908.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from . import check
from .adams_weights import combined, lagrange, started
from .equation import Equation, Noise
from .exponential import columns, noise_scales, unbind
from .phi import graded, phi
from .solver import Path, Solver, State, add_noise, scale_by_exp

Clock = Callable[[Tensor], Tensor]
Rule = Callable[[Tensor], Tensor]


class Step(NamedTuple):
    """The weights of one step.

    If `start` is set, the starter makes the step. If `correct` is None, the step has no corrector."""

    start: Any | None
    growth: Tensor
    scale: Tensor | None
    predict: list[Tensor]
    correct: list[Tensor] | None


@dataclass(frozen=True)
class Adams(Solver):
    """Abstract: an exponential Adams method, with the arguments that both methods share.

    order     order of the predictor, 1 to 4: the number of values of f that it interpolates
    midpoint  True: replace interpolants of degree 1 by their value in the middle of the step (in the clock), as
              DPM-Solver++ and UniPC do
    clock     strictly monotone function of the time; p is a polynomial in it. None: the time itself. Only `plan` calls
              it
    rule      function that replaces the exact moments of k values by those that a paper uses, (n, k, ...) -> (n, k,
              ...); None: exact moments
    start     one-step solver for the first order - 1 steps; None: the first steps have orders 1, 2, ... (a ramp), which
              limits the order of convergence

    Raises TypeError or ValueError naming the argument.
    """

    order: int  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]
    midpoint: bool = False
    clock: Clock | None = None
    start: Solver | None = None
    rule: Rule | None = None

    strong_order: ClassVar[float | None] = 1.0
    evals: ClassVar[int] = 1
    noise: ClassVar[Noise] = Noise.ADDITIVE
    reference: ClassVar[str] = "Hochbruck & Ostermann 2011"

    def __post_init__(self) -> None:
        check.integer("order", self.order, least=1, most=4)
        for name, said in (("clock", "of the time"), ("rule", "of the moments")):
            value = getattr(self, name)
            if not (value is None or callable(value)):
                raise TypeError(f"`{name}` must be a function {said}, got {type(value).__name__}")
        if not (self.start is None or (isinstance(self.start, Solver) and not isinstance(self.start, Adams))):
            raise TypeError(f"`start` must be a one-step solver or None, got {self.start!r}; for example ExpRK3()")

    @property
    @abstractmethod
    def global_order(self) -> int:
        """The order of convergence, which the first steps may limit."""

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Step]:
        starter = self.start
        if (
            eq.g is not None
            and starter is not None
            and (starter.noise < eq.kind or starter.needs_levy_area or starter.substeps)
        ):
            raise ValueError(
                f"`start` must take {eq.kind.name} noise, one increment a step, got {starter!r}; use ExpEuler() or None"
            )

        _, z = columns(eq, times)
        growth = unbind(torch.expm1(z), y)
        scale = noise_scales(eq, times, y)
        predict, correct = self._weights(eq, times, y)
        first: list[Any] = (
            []
            if starter is None
            else [starter.plan(eq, times[i : i + 2], y)[0] for i in range(min(self.order, len(times)) - 1)]
        )
        steps: list[Step] = []

        for i in range(len(growth)):
            begin = (starter, first[i]) if i < len(first) else None
            corrected = correct[i - 1] if i > len(first) else None
            steps.append(Step(begin, growth[i], scale[i], predict[i], corrected))

        return steps

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

    def evaluations(self, n: int) -> int:
        first = 0 if self.start is None else min(n, self.order - 1)
        return n - first + (0 if self.start is None else first * self.start.evaluations(1))

    def _weights(self, eq: Equation, times: Tensor, y: Tensor) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Predictor weights of [f_i, f_{i-1}, ...] and corrector weights of [f_{i+1}, f_i, ...] for each step i."""
        tau = self._clocked(times)
        moments = self._moments(eq, times, tau)
        predict: list[list[Tensor]] = []
        correct: list[list[Tensor]] = []
        count = len(times) - 1

        # Step k - 1 uses k values of f until k reaches the order. All later steps use that many.
        for k in range(1, min(self.order, count) + 1):
            rows = torch.arange(k - 1, k if k < self.order else count, device="cpu")  # the steps with k values, (R,)
            past = rows[:, None] - torch.arange(k, device="cpu")  # indices of their values, newest first, (R, k)
            step = tau[rows + 1] - tau[rows]  # in the clock, (R,)
            s = (tau[past] - tau[rows, None]) / step[:, None]  # nodes: 0 at the start of the step, 1 at its end, (R, k)
            with_end = torch.cat((torch.ones_like(s[:, :1]), s), 1)  # the corrector also uses f at the end, (R, k + 1)
            predict += self._solved(s, moments[rows, :k], y)
            correct += self._solved(with_end, moments[rows, : k + 1], y)

        return predict, correct

    def _clocked(self, times: Tensor) -> Tensor:
        if self.clock is None:
            return times

        tau = torch.as_tensor(self.clock(times), dtype=torch.float64, device="cpu")
        gaps = tau.diff()
        if (
            tau.shape != times.shape
            or not bool(tau.isfinite().all())
            or not bool(((gaps > 0).all()) | ((gaps < 0).all()))
        ):
            raise ValueError(
                "`clock` must be elementwise, finite and strictly monotone on the grid `steps`, and is not"
            )

        return tau

    def _moments(self, eq: Equation, times: Tensor, tau: Tensor) -> Tensor:
        """The moments int e^{a(t1-u)} s(u)^m du for m = 0, ..., order, shape (n, order + 1, ...)."""
        h, z = columns(eq, times)

        if self.clock is None:
            return torch.stack([h * math.factorial(m) * phi(m + 1, z) for m in range(self.order + 1)], 1)

        a = torch.as_tensor(eq.a, dtype=torch.float64, device="cpu")
        u, weights = graded(a, times)
        s = (torch.as_tensor(self.clock(u), dtype=torch.float64, device="cpu") - tau[:-1, None]) / tau.diff()[:, None]
        rest = [1] * (z.dim() - 1)
        left = (times[1:, None] - u).reshape(*u.shape, *rest)
        decay = torch.exp(a * left) * weights.reshape(*u.shape, *rest)

        return torch.stack([(decay * (s**m).reshape(*s.shape, *rest)).sum(1) for m in range(self.order + 1)], 1)

    def _solved(self, s: Tensor, moments: Tensor, y: Tensor) -> list[list[Tensor]]:
        """Weights w_j = sum_m c_jm moment_m of each row, as `axpy` takes them; s (R, k), moments (R, k, ...)."""
        k = s.shape[1]
        if self.midpoint and k == 2:
            moments = torch.stack((moments[:, 0], 0.5 * moments[:, 0]), 1)

        if self.rule is not None:
            moments = self.rule(moments)

        coefficients = lagrange(s).reshape(len(s), k, k, *[1] * (moments.dim() - 2))  # c_jm of each row
        w = (coefficients * moments.unsqueeze(1)).sum(2)  # (R, k, ...)
        columns = [unbind(w[:, j], y) for j in range(k)]  # w_j of all rows

        return [list(row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class ExpAdams(Adams):
    """The exponential Adams-Bashforth method of order `order`: an explicit multistep method.

    One evaluation per step. The order of convergence is `order` if `start` is accurate enough; without a starter it is
    at most 2. The method is exact if f is a polynomial in the clock of degree below `order`. Additive noise has the
    exact transition variance. DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095) and DEIS (Zhang & Chen 2022,
    arXiv:2204.13902) are of this kind. Arguments and errors: `Adams`."""

    @property
    def global_order(self) -> int:
        """The order of convergence. Without a starter it is at most 2, as the first step is exponential Euler."""
        return min(self.order, 2 if self.start is None else self.start.order + 1)

    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Step,
    ) -> tuple[Tensor, Tensor | None, State]:
        if w.start is not None:
            y1, value = started(
                w.start,
                eq,
                t0,
                t1,
                y,
                noise,
            )
        else:
            value = eq.f(t0, y)
            y1 = combined(scale_by_exp(y, w.growth), w.predict, (value, *state))

            if noise is not None and w.scale is not None:
                y1 = add_noise(y1, w.scale, noise(t0, t1))

        return y1, None, (value, *state)[: self.order - 1]


@dataclass(frozen=True)
class ExpAdamsPC(Adams):
    """The exponential Adams predictor-corrector method: a predictor of order p = `order`, a corrector of order p + 1.

    One evaluation per step. f is evaluated at the predicted point only. The next step first corrects that point with
    this value; f is not evaluated at the corrected point. The result of a step is its predicted state, so the last
    point is not evaluated. The order of convergence is p + 1 if `start` is accurate enough; without a starter it is at
    most 3. UniPC (Zhao et al. 2023, arXiv:2302.04867; variant bh2, midpoint=True) is of this kind. Arguments and
    errors: `Adams`."""

    @property
    def global_order(self) -> int:
        """The order of convergence: that of the corrector, unless the first steps limit it."""
        return min(self.order + 1, 3 if self.start is None or self.order == 1 else self.start.order + 1)

    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Step,
    ) -> tuple[Tensor, Tensor | None, State]:
        if w.start is not None:
            y1, value = started(
                w.start,
                eq,
                t0,
                t1,
                y,
                noise,
            )
            return y1, None, (y1, value, *state[1:])[: self.order]

        value = eq.f(t0, y)
        values = (value, *state[1:])  # state: the part of y without f, then the values of f, newest first

        if w.correct is not None:
            y = combined(state[0], w.correct, values)

        base = scale_by_exp(y, w.growth)

        if noise is not None and w.scale is not None:
            base = add_noise(base, w.scale, noise(t0, t1))

        return combined(base, w.predict, values), None, (base, *values[: self.order])

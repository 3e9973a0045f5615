"""Adaptive steps, each sample its own.

The error of a step is measured per sample, sqrt(mean((e / (atol + rtol max(|y0|, |y1|)))^2)), and each sample accepts,
rejects and chooses its next step by itself (PI control: Gustafsson 1991; Hairer, Norsett & Wanner, "Solving ODEs I",
II.4), so that an answer never depends on batch mates. Steps are clamped to the interval: f is never evaluated outside
it. Finished samples leave the batch and cost nothing more.

Stochastic equations go the same way on a BrownianTree: a rejected step is tried again, shorter, on the path it was
rejected on. Drawing its noise afresh would throw away the unlucky increments and bias the law.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from . import check
from .brownian import BrownianTree
from .control import Adaptive
from .counting import Tally, counted
from .equation import Equation
from .solution import MaxStepsError, NonFiniteError, Solution, SolveError, StepSizeUnderflow
from .solver import ErrorEstimate, Solver, State
from .tableau import RungeKutta

_SAFETY = 0.9
_SHRINK = 0.2
_GROW = 10.0
_PROPORTIONAL = 0.7  # exponents of the PI controller, over the order of the error
_INTEGRAL = 0.4
# limit of h |f'| in stochastic steps: an Ornstein-Uhlenbeck process then keeps 99 % of its variance at any tolerance
_STIFF = 0.25
_RUNNING, _DONE, _EVALS, _UNDERFLOW, _NOT_FINITE = range(5)


@dataclass
class Live:
    """The samples still on their way: their rows in the batch, equation, path, time, state, next step, last error
    ratio."""

    rows: Tensor
    eq: Equation
    path: BrownianTree | None
    t: Tensor
    y: Tensor
    state: State
    h: Tensor
    before: Tensor

    def keep(self, going: Tensor) -> Live:
        """The rows where `going`."""
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


class AdaptiveRun:
    """One adaptive solve of a batch: buffers for the samples that ended, `Live` for the rest."""

    def __init__(
        self,
        eq: Equation,
        y0: Tensor,
        solver: Solver,
        control: Adaptive,
        path: BrownianTree | None,
        save: Tensor | None = None,
    ):
        if solver.embedded is None:
            other = "DormandPrince54()" if path is None else "SRA1()"
            raise ValueError(
                f"`solver` must have an embedded error estimate to choose its steps, got {solver!r}; for"
                f" example {other}"
            )

        floor = 4 * torch.finfo(y0.dtype).eps
        if 0 < control.rtol < floor:
            hint = "; for float32 use >= 1e-6" if y0.dtype == torch.float32 else ""
            raise ValueError(f"`rtol` must be at least 4 eps({y0.dtype}) = {floor:.1e}, got {control.rtol!r}{hint}")

        self.solver = solver
        self.control = control
        self.save = _inside(save, control)
        self.dense = solver if isinstance(solver, RungeKutta) else None  # others land on the save times
        self.order = solver.embedded + 1
        self.tally = Tally()
        self.way = 1.0 if control.t1 > control.t0 else -1.0
        self.column = (-1, *[1] * (y0.dim() - 1))
        batch = y0.shape[0]
        device = y0.device
        self.y = y0.clone()
        self.t = torch.full((batch,), control.t0, dtype=torch.float64, device=device)
        self.evals, self.accepted, self.rejected, self.status = torch.zeros(
            (4, batch), dtype=torch.int64, device=device
        )
        self.saved = None if self.save is None else y0.unsqueeze(0).repeat(len(self.save), *[1] * y0.dim())
        rows = torch.arange(batch, device=device)
        span = torch.full_like(self.t, control.span)
        one = torch.ones_like(self.t)
        self.live = Live(
            rows,
            counted(eq, self.tally),
            path,
            self.t.clone(),
            y0,
            (),
            span,
            one,
        )

    def states(self, strict: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
        """(t, y) of the whole batch after each attempted step."""
        for _ in self.attempts():
            t = self.t.clone()
            y = self.y.clone()
            t[self.live.rows], y[self.live.rows] = self.live.t, self.live.y
            yield t, y
        self.solution(strict)

    def solution(self, strict: bool) -> Solution:
        """What was reached; raises where a sample failed and `strict`."""
        ok = self.status == _DONE
        evals = self.evals
        ts = self.save
        solution = Solution(
            self.t,
            self.y,
            ts,
            self.saved,
            evals,
            self.tally.f,
            self.tally.g,
            self.accepted,
            self.rejected,
            ok,
        )

        if strict and not bool(ok.all()):
            raise self._error(solution)

        return solution

    def attempts(self) -> Iterator[None]:
        """Step all live samples once per turn until none is left."""
        c = self.control
        solver = self.solver
        self._start()

        while len(self.live.rows):
            now = self.live
            goal = self._goal()
            t1 = torch.where(now.h * 1.01 >= (goal - now.t).abs(), goal, now.t + self.way * now.h)
            ends = now.t.reshape(self.column), t1.reshape(self.column)

            try:
                y1, estimate, state = solver.step(
                    now.eq,
                    *ends,
                    now.y,
                    now.state,
                    now.path,
                    None,
                )
            except RuntimeError as error:
                if len(now.rows) == len(self.t) or now.eq.select is not None:
                    raise
                said = (
                    "`eq` must have a `select`, which takes rows, where f or g hold per-sample data, got none:"
                    f" {len(now.rows)} of {len(self.t)} samples are left"
                )
                raise ValueError(f"{said}, and f or g failed on them ({' '.join(str(error).split())[:200]})") from error

            self.evals[now.rows] += solver.evals
            ratio = self._ratio(
                cast("Tensor | ErrorEstimate", estimate), c.atol + c.rtol * torch.maximum(now.y.abs(), y1.abs())
            )
            finite = ratio.isfinite() & torch.isfinite(y1.detach()).reshape(len(y1), -1).all(1)
            ratio = torch.where(finite, ratio, torch.inf)
            accept = ratio <= 1

            if self.save is not None:
                self._save(accept, t1, y1, state)

            self.accepted[now.rows] += accept
            self.rejected[now.rows] += ~accept
            made = (t1 - now.t).abs()
            h = made * self._factor(ratio, now.before, accept)
            cut = accept & (made < 0.99 * now.h)  # by a save time: what was proposed before it holds
            h = torch.where(cut, torch.maximum(h, now.h), h)
            status = torch.where(~accept & (h < c.smallest), torch.where(finite, _UNDERFLOW, _NOT_FINITE), _RUNNING)
            keep = accept.reshape(self.column)
            carried = state[len(state) - len(now.state) :]
            self.live = Live(
                now.rows,
                now.eq,
                now.path,
                torch.where(accept, t1, now.t),
                torch.where(keep, y1, now.y),
                tuple(torch.where(keep, new, old) for new, old in zip(carried, now.state, strict=True)),
                h.clamp(c.smallest, c.largest),
                torch.where(accept & ~cut, ratio.clamp(min=1e-4), now.before),
            )
            status = torch.where(
                (self.evals[now.rows] + solver.evals > c.max_evals) & (status == _RUNNING), _EVALS, status
            )
            self._retire(torch.where(self.live.t == c.t1, _DONE, status))
            yield

    def _goal(self) -> Tensor:
        """Where each live sample must stop next: t1, or a save time that no interpolant serves."""
        c = self.control
        now = self.live
        goal = torch.full_like(now.t, c.t1)

        if self.save is None or self.dense is not None:
            return goal

        save = self.save.to(now.t.device)[:, None].expand(-1, len(now.t))
        ahead = self.way * (save - now.t) > 0

        return (
            torch.cat((torch.where(ahead, self.way * save, self.way * c.t1), self.way * goal[None])).amin(0) * self.way
        )

    def _start(self) -> None:
        """First derivative and first step (Hairer, Norsett & Wanner, II.4, per sample)."""
        c = self.control
        now = self.live
        now.state = self.solver.init(now.eq, now.t.reshape(self.column), now.y)
        f0 = now.state[-1] if now.state else now.eq.drift(now.t.reshape(self.column), now.y)
        now.h = torch.full_like(now.t, c.largest if c.h_init is None else min(c.h_init, c.largest))

        if c.h_init is None:
            scale = c.atol + c.rtol * now.y.abs()
            d0 = _rms(now.y, scale)
            d1 = _rms(f0, scale)
            h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), torch.full_like(d0, 1e-6), 0.01 * d0 / d1).clamp(max=c.largest)
            trial = now.t + self.way * h0
            step = (self.way * h0).reshape(self.column).to(now.y.dtype)
            f1 = now.eq.drift(trial.reshape(self.column), now.y + step * f0)
            d2 = _rms(f1 - f0, scale) / h0
            steep = torch.maximum(d1, d2)
            h1 = torch.where(
                steep <= 1e-15, (h0 * 1e-3).clamp(min=1e-6), torch.exp(torch.log(0.01 / steep) / self.order)
            )
            now.h = torch.minimum(100 * h0, h1).nan_to_num(c.smallest).clamp(c.smallest, c.largest)

        self.evals += self.tally.f
        self._retire(torch.where(torch.isfinite(f0.detach()).reshape(len(f0), -1).all(1), _RUNNING, _NOT_FINITE))

    def _ratio(self, estimate: Tensor | ErrorEstimate, scale: Tensor) -> Tensor:
        """Error over tolerance; or, of an estimate that says it, h |f'| over its limit, in the same power of h."""
        if isinstance(estimate, Tensor):
            return _rms(estimate, scale)
        return torch.maximum(
            _rms(estimate.error, scale), torch.exp((estimate.stiffness.detach().double() / _STIFF).log() * self.order)
        )

    def _factor(self, ratio: Tensor, before: Tensor, accept: Tensor) -> Tensor:
        """Next step over this one."""
        ratio = ratio.clamp(min=1e-10)
        grow = _SAFETY * torch.exp(
            (_INTEGRAL * before.log() - _PROPORTIONAL * ratio.log()) / self.order
        )  # pow is not bit-equal across batch sizes
        shrink = _SAFETY * torch.exp(-ratio.log() / self.order)
        return torch.where(accept, grow.clamp(_SHRINK, _GROW), shrink.clamp(_SHRINK, 1.0))

    def _retire(self, status: Tensor) -> None:
        """Store the samples that ended and drop them from the live ones."""
        now = self.live
        ended = status != _RUNNING
        if bool(ended.any()):
            rows = now.rows[ended]
            self.t[rows], self.status[rows] = now.t[ended], status[ended]
            self.y[rows] = now.y[ended]
            self.live = now.keep(~ended)

    def _save(
        self,
        accept: Tensor,
        t1: Tensor,
        y1: Tensor,
        stages: State,
    ) -> None:
        """The states at the save times inside the accepted steps, by the solver's interpolant where it has one."""
        now = self.live
        solver = self.dense
        saved = cast(Tensor, self.saved)
        save = cast(Tensor, self.save).to(now.t.device)
        inside = accept & (self.way * (save[:, None] - now.t) > 0) & (self.way * (t1 - save[:, None]) >= 0)  # (S, live)
        hit = inside.any(0)
        if not bool(hit.any()):
            return

        if solver is not None:
            stages = solver.extend(now.eq, now.t.reshape(self.column), t1.reshape(self.column), now.y, stages)
            self.evals[now.rows[hit]] += len(solver.tableau.extra)

        for index in map(int, inside.any(1).nonzero().flatten()):
            rows = inside[index]
            value = y1[rows]

            if solver is not None:
                h = (t1 - now.t)[rows]
                theta = ((save[index] - now.t[rows]) / h).reshape(self.column).to(now.y.dtype)
                h = h.reshape(self.column).to(now.y.dtype)
                value = torch.where(
                    theta == 1, value, solver.dense(theta, h, now.y[rows], value, tuple(k[rows] for k in stages))
                )

            saved[index, now.rows[rows]] = value

    def _error(self, solution: Solution) -> SolveError:
        row = int((self.status != _DONE).nonzero()[0])
        count = int((self.status != _DONE).sum())
        t = float(self.t[row])
        where = f"at t = {t:.6g} in {count} of {len(self.t)} samples (first: {row})"
        limit = self.control.max_evals
        smallest = self.control.smallest
        jump = "a jump of f (solve up to it, and go on from it)"
        kinds: dict[int, tuple[type[SolveError], str, str]] = {
            _EVALS: (
                MaxStepsError,
                f"max_evals = {limit} evaluations used up",
                "a stiff or noisy f (a network in train mode), or too small a tolerance",
            ),
            _UNDERFLOW: (
                StepSizeUnderflow,
                f"the step fell below h_min = {smallest:.3g}",
                f"a stiff equation, {jump}, or f not finite there",
            ),
            _NOT_FINITE: (
                NonFiniteError,
                "f is NaN or infinite",
                "a singular right-hand side near that time, or a state that ran away",
            ),
        }
        kind, what, why = kinds[int(self.status[row])]

        return kind(f"{what} {where}; likely causes: {why}", solution)


def _rms(x: Tensor, scale: Tensor) -> Tensor:
    """Per-sample RMS of x / scale, in float64, without a gradient."""
    x = x.detach()
    scale = scale.detach()
    ratio = torch.where(x == 0, 0.0, x / scale).to(
        torch.float64
    )  # where atol = 0 and a component stays 0 there is nothing to err
    return ratio.reshape(len(ratio), -1).square().mean(1).sqrt()


def _inside(save: Any, control: Adaptive) -> Tensor | None:
    if save is None:
        return None
    save = check.floating("save", save).detach().to("cpu", torch.float64).flatten()
    low, high = sorted((control.t0, control.t1))
    if not bool(((save >= low) & (save <= high)).all()):
        raise ValueError(f"`save` must lie between t0 and t1, got {save.tolist()} for [{low:g}, {high:g}]")
    return save

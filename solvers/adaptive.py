"""Adaptive steps. Each sample of the batch has its own step size.

The error of a step is measured per sample, sqrt(mean((e / (atol + rtol max(|y0|, |y1|)))^2)). Each sample accepts or
rejects the step and chooses its next step size independently (PI control: Gustafsson 1991; Hairer, Norsett & Wanner,
"Solving ODEs I", II.4). So a result never depends on the other samples of the batch. Steps are clamped to the interval:
f is never evaluated outside it. Finished samples leave the batch and cause no further cost.

Stochastic equations are solved in the same way on a BrownianTree. A rejected step is repeated with a smaller step size
on the same Brownian path. New noise after each rejection would discard large increments and bias the distribution.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from . import check
from .brownian import BrownianTree
from .control import Adaptive
from .counting import Tally, counted
from .equation import Equation
from .live import Attempt, Live
from .solution import Solution
from .solver import ErrorEstimate, Solver, State
from .step_control import DONE, EVALS, NOT_FINITE, RUNNING, UNDERFLOW, error_ratio, failure, rms, step_factor
from .tableau import RungeKutta


class AdaptiveRun:
    """One adaptive solve of a batch. Ended samples are in buffers, the others in `live`."""

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
        keeps = isinstance(solver, RungeKutta) and solver.tableau.fsal  # it returns its stages and the drift at the end
        self.dense = solver if isinstance(solver, RungeKutta) and keeps else None  # others stop at save times
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
        self.live = Live(
            rows=torch.arange(batch, device=device),
            eq=counted(eq, self.tally),
            path=path,
            t=self.t.clone(),
            y=y0,
            state=(),
            h=torch.full_like(self.t, control.span),
            before=torch.ones_like(self.t),
        )

    def states(self, strict: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (t, y) of the whole batch after each attempted step."""
        for _ in self.attempts():
            t = self.t.clone()
            y = self.y.clone()
            t[self.live.rows], y[self.live.rows] = self.live.t, self.live.y
            yield t, y
        self.solution(strict)

    def solution(self, strict: bool) -> Solution:
        """The solution. Raises a SolveError if a sample failed and `strict` is True."""
        ok = self.status == DONE
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
            raise failure(self.status, solution, self.control)

        return solution

    def attempts(self) -> Iterator[None]:
        """Attempt one step of all live samples per iteration, until none is left."""
        self._start()

        while len(self.live.rows):
            attempt = self._judge(self._propose())
            if self.save is not None:
                self._save(attempt.accept, attempt.t1, attempt.y1, attempt.state)

            self._advance(attempt)
            yield

    def _propose(self) -> Tensor:
        """The end of each live sample's next step: t + h, or its goal if that is not more than 1.01 h away."""
        now = self.live
        goal = self._goal()
        return torch.where(now.h * 1.01 >= (goal - now.t).abs(), goal, now.t + self.way * now.h)

    def _judge(self, t1: Tensor) -> Attempt:
        """Make the steps to t1 and compute their error ratios."""
        now = self.live
        y1, estimate, state = self._step(t1)
        self.evals[now.rows] += self.solver.evals

        scale = self.control.atol + self.control.rtol * torch.maximum(now.y.abs(), y1.abs())
        ratio = error_ratio(cast("Tensor | ErrorEstimate", estimate), scale, self.order)
        finite = ratio.isfinite() & torch.isfinite(y1.detach()).reshape(len(y1), -1).all(1)
        ratio = torch.where(finite, ratio, torch.inf)

        return Attempt(t1=t1, y1=y1, state=state, ratio=ratio, finite=finite, accept=ratio <= 1)

    def _step(self, t1: Tensor) -> tuple[Tensor, Any, State]:
        """One step of the solver for all live samples."""
        now = self.live
        t0 = now.t.reshape(self.column)

        try:
            return self.solver.step(now.eq, t0, t1.reshape(self.column), now.y, now.state, now.path, None)
        except RuntimeError as error:
            if len(now.rows) == len(self.t) or now.eq.select is not None:
                raise
            said = (
                "`eq` must have a `select`, the equation of some rows, where f or g hold per-sample data, got none:"
                f" {len(now.rows)} of {len(self.t)} samples are left"
            )
            raise ValueError(f"{said}, and f or g failed on them ({' '.join(str(error).split())[:200]})") from error

    def _advance(self, attempt: Attempt) -> None:
        """Count the steps, update the samples with an accepted step, and drop those that ended."""
        c = self.control
        now = self.live
        accept = attempt.accept
        self.accepted[now.rows] += accept
        self.rejected[now.rows] += ~accept

        # If a save time shortened the step, the next step is at least as long as the one that was proposed before.
        made = (attempt.t1 - now.t).abs()
        h = made * step_factor(attempt.ratio, now.before, accept, self.order)
        cut = accept & (made < 0.99 * now.h)
        h = torch.where(cut, torch.maximum(h, now.h), h)

        failed = torch.where(attempt.finite, UNDERFLOW, NOT_FINITE)
        status = torch.where(~accept & (h < c.smallest), failed, RUNNING)
        spent = self.evals[now.rows] + self.solver.evals > c.max_evals
        status = torch.where(spent & (status == RUNNING), EVALS, status)

        keep = accept.reshape(self.column)
        carried = attempt.state[len(attempt.state) - len(now.state) :]
        self.live = Live(
            rows=now.rows,
            eq=now.eq,
            path=now.path,
            t=torch.where(accept, attempt.t1, now.t),
            y=torch.where(keep, attempt.y1, now.y),
            state=tuple(torch.where(keep, new, old) for new, old in zip(carried, now.state, strict=True)),
            h=h.clamp(c.smallest, c.largest),
            before=torch.where(accept & ~cut, attempt.ratio.clamp(min=1e-4), now.before),
        )
        self._retire(torch.where(self.live.t == c.t1, DONE, status))

    def _goal(self) -> Tensor:
        """The time at which each live sample must stop next: t1, or the next save time if the solver has no
        interpolant."""
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
        """Compute the first derivative and the first step size (Hairer, Norsett & Wanner, II.4, per sample)."""
        c = self.control
        now = self.live
        now.state = self.solver.init(now.eq, now.t.reshape(self.column), now.y)
        f0 = now.state[-1] if now.state else now.eq.drift(now.t.reshape(self.column), now.y)
        now.h = torch.full_like(now.t, c.largest if c.h_init is None else min(c.h_init, c.largest))

        if c.h_init is None:
            scale = c.atol + c.rtol * now.y.abs()
            d0 = rms(now.y, scale)
            d1 = rms(f0, scale)
            h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), torch.full_like(d0, 1e-6), 0.01 * d0 / d1)
            h0 = h0.nan_to_num(1e-6).clamp(max=c.largest)  # times stay finite where f0 is not; such samples end below
            trial = now.t + self.way * h0
            step = (self.way * h0).reshape(self.column).to(now.y.dtype)
            f1 = now.eq.drift(trial.reshape(self.column), now.y + step * f0)
            d2 = rms(f1 - f0, scale) / h0
            steep = torch.maximum(d1, d2)
            h1 = torch.where(
                steep <= 1e-15, (h0 * 1e-3).clamp(min=1e-6), torch.exp(torch.log(0.01 / steep) / self.order)
            )
            now.h = torch.minimum(100 * h0, h1).nan_to_num(c.smallest).clamp(c.smallest, c.largest)

        self.evals += self.tally.f
        self._retire(torch.where(torch.isfinite(f0.detach()).reshape(len(f0), -1).all(1), RUNNING, NOT_FINITE))

    def _retire(self, status: Tensor) -> None:
        """Store the samples that ended and drop them from the live ones."""
        now = self.live
        ended = status != RUNNING
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
        """Store the states at the save times inside accepted steps, interpolated if the solver can interpolate."""
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


def _inside(save: Any, control: Adaptive) -> Tensor | None:
    if save is None:
        return None
    save = check.floating("save", save).detach().to("cpu", torch.float64).flatten()
    low, high = sorted((control.t0, control.t1))
    if not bool(((save >= low) & (save <= high)).all()):
        raise ValueError(f"`save` must lie between t0 and t1, got {save.tolist()} for [{low:g}, {high:g}]")
    return save

"""The loop over steps: `iterate` yields after each step, `solve` runs to the end. Both check all their arguments
first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .adapters.base import Adapter
from .adaptive import AdaptiveRun
from .brownian import BrownianTree
from .control import Adaptive
from .counting import Tally, counted
from .edges import bind, check_problem, check_times, saved_indices
from .equation import Equation
from .noise import Path
from .probe import check_declared
from .solution import NonFiniteError, Solution
from .solver import Solver

_LOOK_EVERY = 16  # number of steps between checks of the state for NaN
_SMALL = 1 << 16  # states of at most this many elements are kept between checks, to find the step that failed


def iterate(
    eq: Equation,
    y0: Tensor,
    solver: Solver | Adapter,
    steps: Tensor | Adaptive,
    noise: Any = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Integrate an equation and yield (t, y) after each step, so that the caller can show progress or stop early.

    Under an `Adaptive`, t is (B,), and (t, y) is yielded after each attempted step. Arguments are checked at the call.

    Args:
        eq: the equation.
        y0: the state at the first time, (B, ...).
        solver: a solver of this package; no adapter.
        steps: a 1-D tensor of times, or an `Adaptive`, as in `solve`.
        noise: the Brownian path or its source, as in `solve`; None for an ODE.

    Raises:
        TypeError, ValueError: naming the argument. Later, an adaptive solve raises the errors of `solve`.
    """

    if isinstance(solver, Adapter):
        raise TypeError(f"`solver` must be a native solver to be iterated, got {solver!r}; use solve")

    y0 = check_problem(eq, y0, solver)

    if isinstance(steps, Adaptive):
        return adaptive_run(eq, y0, solver, steps, noise).states()

    times = check_times(eq, steps)
    path = bind(eq, solver, times, y0, noise)
    check_declared(eq, solver, times[0], y0)

    return fixed_steps(counted(eq, Tally()), y0, solver, times, path)


def solve(
    eq: Equation,
    y0: Tensor,
    solver: Solver | Adapter,
    steps: Tensor | Adaptive,
    noise: Any = None,
    save: Tensor | None = None,
    strict: bool = True,
) -> Solution:
    """Integrate an equation from the initial state y0 over a grid of times, or with adaptive steps.

    Args:
        eq: the equation.
        y0: the initial state (B, ...), of any floating dtype. The solution has its dtype.
        solver: a solver of this package, or an adapter to another library.
        steps: a 1-D tensor of strictly monotone times (either direction), or an `Adaptive(t0, t1, rtol=...,
            atol=...)`.
        noise: for a stochastic equation: a Source (WhiteNoise, SeededNoise, GridPath, BrownianTree) or any callable
            (t0, t1) -> increment like y. An `Adaptive` needs a BrownianTree.
        save: times at which to keep the state, in any order. They must be grid points (up to rounding) on a fixed grid;
            under an `Adaptive`, any times between t0 and t1.
        strict: True: raise an error if a sample fails; the error holds the partial Solution. False: the other samples
            continue to the end; see `Solution.ok`.

    Returns:
        The Solution: final state, saved states, cost.

    Raises:
        TypeError, ValueError: naming the argument.
        NonFiniteError, MaxStepsError, StepSizeUnderflow: if a sample does not reach the end and `strict` is True.
    """

    if isinstance(solver, Adapter):
        return _integrated(solver, eq, check_problem(eq, y0, None), check_times(eq, steps), noise, save, strict)

    y0 = check_problem(eq, y0, solver)

    if isinstance(steps, Adaptive):
        run = adaptive_run(eq, y0, solver, steps, noise, save)

        for _ in run.attempts():
            pass

        return run.solution(strict)

    times = check_times(eq, steps)
    path = bind(eq, solver, times, y0, noise)
    keep = saved_indices(save, times)
    check_declared(eq, solver, times[0], y0)

    return _solve_fixed(
        eq,
        y0,
        solver,
        times,
        path,
        keep,
        strict,
    )


def _integrated(
    solver: Adapter,
    eq: Equation,
    y0: Tensor,
    times: Tensor,
    noise: Any,
    save: Tensor | None,
    strict: bool,
) -> Solution:
    """The solution by another library, with the states at the save times."""
    keep = saved_indices(save, times)
    solution = solver.integrate(eq, y0, times, noise)
    if keep and solution.ys is not None:
        solution = replace(solution, ts=times[keep], ys=solution.ys[keep])

    if strict and not bool(solution.ok.all()):
        raise NonFiniteError(
            f"the state became NaN or infinite before t = {times[-1].item():.6g}, in {int((~solution.ok).sum())} of"
            f" {len(solution.ok)} samples, by {solver!r}",
            solution,
        )

    return solution


def fixed_steps(
    eq: Equation,
    y: Tensor,
    solver: Solver,
    times: Tensor,
    path: Path | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The loop over a fixed grid: yields (t, y) after each step. It checks no arguments and waits for no device.

    Args:
        eq: the equation, as `counted` returns it.
        y: the state at the first time, (B, ...).
        solver: a solver of `solvers`.
        times: the grid, strictly monotone, 1-D float64.
        path: the Brownian path, as `bind` returns it; None for an ODE.
    """
    grid = times.unbind()
    plan = solver.plan(eq, times, y)
    state = solver.init(eq, grid[0], y)

    for t0, t1, w in zip(grid[:-1], grid[1:], plan, strict=True):
        y, _, state = solver.step(
            eq,
            t0,
            t1,
            y,
            state,
            path,
            w,
        )
        yield t1, y


def _solve_fixed(
    eq: Equation,
    y0: Tensor,
    solver: Solver,
    times: Tensor,
    path: Path | None,
    keep: list[int],
    strict: bool,
) -> Solution:
    tally = Tally()
    total = len(times) - 1
    wanted = set(keep)  # indices of the grid
    kept = {0: y0} if 0 in wanted else {}
    t = times[0]
    y = y0
    done = 0
    recent: list[Tensor] = []  # states since the last check; a NaN stays NaN, so the first bad one is among them
    watch = y0.device.type == "cpu"  # on another device, a check would wait for it
    small = watch and y0.numel() <= _SMALL

    steps = fixed_steps(counted(eq, tally), y0, solver, times, path)

    for done, (t, y) in enumerate(steps, 1):  # noqa: B007 - the last value of done is used below
        if done in wanted:
            kept[done] = y

        if strict and small:
            recent.append(y.detach())

        if strict and watch and not done % _LOOK_EVERY:
            if not (y.detach().sum().isfinite() or y.detach().isfinite().all()):  # a sum of finite numbers may overflow
                break
            recent.clear()

    ok = torch.isfinite(y.detach()).reshape(len(y), -1).all(1)
    reached = [index for index in keep if index in kept]
    ts = times[reached] if keep else None
    solution = Solution(
        t,
        y,
        ts,
        torch.stack([kept[index] for index in reached]) if reached else None,
        tally.f,
        tally.f,
        tally.g,
        done,
        0,
        ok,
    )

    if strict and not bool(ok.all()):
        finite = [bool(r.isfinite().all()) for r in recent]
        step = done - len(finite) + finite.index(False) + 1 if False in finite else done
        raise NonFiniteError(
            f"the state became NaN or infinite {'at' if small else 'by'} step {step} of {total}, t ="
            f" {times[step].item():.6g},"
            f" in {int((~ok).sum())} of {len(ok)} samples (first: {int((~ok).nonzero()[0])});"
            f" likely causes: f is not finite there, or the step is too large for {solver!r}",
            solution,
        )

    return solution


def adaptive_run(
    eq: Equation,
    y0: Tensor,
    solver: Solver,
    steps: Adaptive,
    noise: Any,
    save: Tensor | None = None,
) -> AdaptiveRun:
    """Check the arguments of an adaptive solve and prepare it.

    Args:
        eq: the equation.
        y0: the state at the first time, (B, ...).
        solver: a solver with an embedded error estimate.
        steps: tolerances and limits.
        noise: a BrownianTree; None for an ODE.
        save: times at which the state is kept, or None.
    """
    ends = torch.tensor([steps.t0, steps.t1], dtype=torch.float64, device="cpu")
    check_times(eq, ends)

    if eq.g is None:
        if noise is not None:
            raise ValueError("`noise` must be None for an ODE solved adaptively")
        return AdaptiveRun(
            eq,
            y0,
            solver,
            steps,
            None,
            save,
        )

    if not isinstance(noise, BrownianTree):
        raise ValueError(
            f"`noise` must be a BrownianTree for adaptive steps, got {noise!r}: new noise after a rejected step"
            " biases the distribution;"
            f" use BrownianTree(y0, {steps.t0!r}, {steps.t1!r}, seed=0)"
        )

    check_declared(eq, solver, ends[0], y0)

    return AdaptiveRun(
        eq,
        y0,
        solver,
        steps,
        noise.on(ends, y0),
        save,
    )

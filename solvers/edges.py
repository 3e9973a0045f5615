"""Checks of the arguments of a solve, made before anything is computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import check
from .equation import Equation, Noise
from .noise import BoundPath, Path, Source
from .solver import Solver, cut


def check_problem(eq: Any, y0: Any, solver: Any) -> Tensor:
    """Check the equation, the state, and whether the solver can solve the equation.

    Args:
        eq: the equation.
        y0: the state at the first time, (B, ...).
        solver: a solver of `solvers`; None: it is not checked, because adapters check themselves.

    Returns:
        y0.
    """
    if not isinstance(eq, Equation):
        raise TypeError(f"`eq` must be a solvers.Equation, got {type(eq).__name__}")

    check.takes("f", eq.f, 2, "(t, y) -> tensor")

    if eq.g is not None:
        check.takes("g", eq.g, 2, "(t, y) -> tensor")

    y0 = check.state("y0", y0)

    if solver is None:
        return y0

    if not isinstance(solver, Solver):
        hint = f"; call the class: {solver.__name__}()" if isinstance(solver, type) else "; for example solvers.Heun()"
        raise TypeError(f"`solver` must be a solver object, got {solver!r}{hint}")

    if eq.kind > solver.noise:
        raise ValueError(
            f"`solver` must take {eq.kind.name} noise, got {solver!r}, which takes {solver.noise.name};"
            " use EulerMaruyama() or Milstein(), or declare noise=Noise.ADDITIVE if g depends on t alone"
        )
    if eq.kind is Noise.DIAGONAL and solver.sense not in (None, eq.sense):
        raise ValueError(
            f"`solver` must read g dW in the {eq.sense.value} sense of the equation, got {solver!r}, which does not"
        )

    return y0


def check_times(eq: Equation, steps: Any) -> Tensor:
    """Check the times of a grid. The equation must allow their direction and their range.

    Args:
        eq: the equation.
        steps: the grid of times, or both ends of an adaptive solve.

    Returns:
        The times in float64 on the CPU.
    """
    times = check.times("steps", steps)

    if eq.time_range is not None:
        low, high = eq.time_range
        outside = times[
            (times < low - 1e-6 * abs(low)) | (times > high + 1e-6 * abs(high))
        ]  # the tolerance accepts an end that was rounded to float32
        if len(outside):
            raise ValueError(
                f"`steps` must lie in [{low:g}, {high:g}], the time range of the equation, got {outside[0].item():g}"
            )

    if eq.g is not None and eq.direction is not None and eq.direction * (times[-1] - times[0]).item() < 0:
        way = "increasing" if eq.direction > 0 else "decreasing"
        raise ValueError(
            f"`steps` must be {way}, the direction of this stochastic equation, got {times[0].item():g} to"
            f" {times[-1].item():g}; flip the grid"
        )

    return times


def bind(
    eq: Equation,
    solver: Solver,
    times: Tensor,
    y0: Tensor,
    noise: Any,
) -> Path | None:
    """The Brownian path of a solve on a fixed grid; None for an ODE.

    Args:
        eq: the equation.
        solver: a solver of `solvers`.
        times: the grid, strictly monotone, 1-D float64.
        y0: the state at the first time, (B, ...).
        noise: the Brownian path or its source; None for an ODE.
    """
    if eq.g is None:
        return None
    if noise is None:
        raise ValueError(
            "`noise` must be given for a stochastic equation, got None; for example SeededNoise(0) or"
            " WhiteNoise(torch.Generator())"
        )
    if isinstance(noise, Source):
        return noise.on(cut(times, solver.substeps), y0)
    if isinstance(noise, BoundPath):
        return noise
    if not callable(noise):
        raise TypeError(f"`noise` must be a Source or a callable (t0, t1) -> increment, got {type(noise).__name__}")

    area = getattr(noise, "levy", None)
    if solver.needs_levy_area and area is None:
        raise ValueError(
            f"`noise` must offer levy(t0, t1) -> (dW, H) for {solver!r}, got {type(noise).__name__} without it"
        )

    return UserPath(noise, area, y0)


class UserPath:
    """A path given by the caller. The shape, dtype and device of every returned increment are checked."""

    def __init__(self, increment: Any, area: Any, y0: Tensor):
        self.increment = increment
        self.area = area
        self.like = y0

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        return self._checked(self.increment(t0, t1))

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        dw, h = self.area(t0, t1)
        return self._checked(dw), self._checked(h)

    def _checked(self, dw: Any) -> Tensor:
        like = self.like
        if not isinstance(dw, Tensor) or (dw.shape, dw.dtype, dw.device) != (like.shape, like.dtype, like.device):
            got = f"{tuple(dw.shape)} {dw.dtype} on {dw.device}" if isinstance(dw, Tensor) else type(dw).__name__
            raise ValueError(
                f"`noise` must return increments of shape {tuple(like.shape)} {like.dtype} on {like.device}, got {got}"
            )
        return dw


def saved_indices(save: Any, times: Tensor) -> list[int]:
    """The indices of the save times in the grid, in the order of `save`.

    A time that was rounded to float32 matches its grid point.

    Args:
        save: times at which the state is kept, or None.
        times: the grid, strictly monotone, 1-D float64.
    """

    if save is None:
        return []

    wanted = check.floating("save", save).detach().to("cpu", torch.float64).flatten()
    gaps = (wanted[:, None] - times).abs()
    nearest, index = gaps.min(1)
    rounding = min(1e-6 * float(times.abs().max()), 0.25 * float(times.diff().abs().min()))
    missing = wanted[~(nearest <= rounding)]
    if len(missing):
        raise ValueError(
            f"`save` must hold points of the grid `steps`, got {missing[0].item()!r}, which is none; add it to"
            " `steps` or use Adaptive"
        )

    return [int(i) for i in check.values(index)]

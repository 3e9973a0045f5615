"""Untuned methods of a budget: what a tuner starts from, and what it has to beat."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.moments import Moments
from ..samplers import catalogue, grids
from ..samplers.grids import Grid
from ..samplers.method import Method
from ..samplers.recommend import recommended

GRIDS = {
    "karras": grids.karras,
    "uniform_lambda": grids.uniform_lambda,
    "uniform_time": grids.uniform_time,
    "quadratic": grids.quadratic,
}


def untuned(
    denoiser: BaseDenoiser,
    calls: int,
    moments: Moments,
    frames: bool = True,
) -> dict[str, Method]:
    """Deterministic methods whose `sample` makes exactly so many calls, by name or `name@grid`.

    Args:
        denoiser: the model.
        calls: network calls of a sample.
        moments: of its data.
        frames: whether methods that move in a frame are among them.
    """
    found = {"best": catalogue.best(calls, moments.scale)}
    if frames:
        found["recommended"] = recommended(denoiser, calls, moments=moments)

    for name, make in catalogue.fixed_step_methods().items():
        takes_grid = "grid" in inspect.signature(make).parameters
        for kind, grid in GRIDS.items() if takes_grid else [("", None)]:
            method = _of_calls(make, calls, grid)
            if method is not None and not method.stochastic and not method.wrap:
                found.setdefault(f"{name}@{kind}" if kind else name, method)

    return found


def _of_calls(make: Callable[..., Method], calls: int, grid: Grid | None) -> Method | None:
    """The method of the fewest levels that makes so many calls; None: there is none."""
    for n in range(1, calls + 1):
        method = make(n) if grid is None else make(n, grid=grid)
        if method.calls == calls:
            return method
    return None

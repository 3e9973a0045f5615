"""Untuned methods for a budget of network calls: a tuner starts from them, and its result is compared with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.moments import Moments
from ..samplers import catalogue
from ..samplers.method import Method, with_last_step
from ..samplers.recommend import recommended


def untuned(
    denoiser: BaseDenoiser,
    calls: int,
    moments: Moments,
    frames: bool = True,
    denoise: bool = True,
) -> dict[str, Method]:
    """Deterministic methods that make exactly `calls` network calls, by name or `name@grid` as in `compare`.

    Args:
        denoiser: the model.
        calls: network calls per sample.
        moments: moments of its data.
        frames: whether methods with a `Frame` are included.
        denoise: True: the last call denoises the state, as in `sample`. False: it makes a step, as in `transport`.
    """

    def ending(method: Method) -> Method:
        return method if denoise else with_last_step(method)

    found = {"best": ending(catalogue.best(calls, moments.scale))}
    if frames:
        found["recommended"] = ending(recommended(denoiser, calls, moments=moments))

    for name, method in _spending(calls, ending):
        if not method.stochastic and not method.wrap:
            found.setdefault(name, method)

    return found


def noisy(calls: int) -> dict[str, Method]:
    """Stochastic methods that make exactly `calls` network calls, by name or `name@grid`.

    Args:
        calls: network calls per sample.
    """
    return {name: method for name, method in _spending(calls, lambda m: m) if method.stochastic or method.wrap}


def _spending(calls: int, ending: Callable[[Method], Method]) -> Iterator[tuple[str, Method]]:
    """The methods of the catalogue on every grid, each with the number of levels for which it makes `calls` calls."""
    for name, make in catalogue.fixed_step_methods().items():
        takes_grid = "grid" in inspect.signature(make).parameters
        for kind, grid in catalogue.GRIDS.items() if takes_grid else [("", None)]:
            more = {} if grid is None else {"grid": grid}
            tried = (ending(make(n, **more)) for n in range(1, calls + 1))
            method = next((m for m in tried if m.calls == calls), None)
            if method is not None:
                yield f"{name}@{kind}" if kind else name, method

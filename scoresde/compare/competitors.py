"""The methods of a comparison, found by the names that a user types: methods of the catalogue and of other libraries.

A name is `NAME`, `NAME@GRID` or `LIBRARY:NAME@GRID`, GRID one of karras, lambda, time, quadratic; without GRID the
method's own grid is used. `recommended` uses what is known of each model; `best` does so for a trained model only.
FILE.json is a tuned method. This is the only module where a name selects a method.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import Source

from .. import tuning
from ..denoisers.denoiser import Denoiser
from ..processes.coordinates import EDM
from ..samplers import catalogue
from ..samplers.catalogue import GRIDS as GRIDS
from ..samplers.grids import Grid
from ..samplers.method import Method
from ..samplers.recommend import recommended
from ..samplers.transport import transport
from . import peers
from .problems import Problem

Solve = Callable[[Problem, Tensor, Any], Tensor]  # (problem, start, seed or noise source)
OURS = "scoresde"


@dataclass(frozen=True)
class Entry:
    """A method of a comparison.

    name        as typed
    family      library of its code; it sets the colour in figures
    stochastic  whether it adds noise
    adaptive    whether its cost is a tolerance, not a budget of calls
    bind        cost -> ((problem, start, seed) -> state at problem.low), or None if the budget is below one step
    """

    name: str
    family: str
    stochastic: bool
    adaptive: bool
    bind: Callable[[float], Solve | None] = field(repr=False)


@functools.cache
def names() -> dict[str, str]:
    """All names of methods, each with the library that it needs."""
    ours = dict.fromkeys((*catalogue.fixed_step_methods(), "recommended", "probability_flow"), OURS)
    return ours | {p.name: p.library for p in (*peers.DETERMINISTIC, *peers.STOCHASTIC, *peers.adaptive(1e-3))}


def entry(name: str) -> Entry:
    """The method of a name. For an unknown name it raises ValueError, which lists the names and the nearest one."""
    if is_file(name):
        return _tuned(name)

    plain, _, chosen = name.partition("@")
    check.choice("methods", plain, names())
    grid = GRIDS[check.choice("methods", chosen, GRIDS)] if chosen else None

    if plain == "probability_flow":
        return Entry(name, OURS, False, True, lambda tolerance: _ours(catalogue.probability_flow(tolerance)))
    if plain in ("recommended", "best") and grid is None:
        return Entry(name, OURS, False, False, lambda budget: _knowing(plain, int(budget)))
    if plain == "recommended":
        raise ValueError(f"`methods` must name recommended without a grid, whose levels are its own, got {name!r}")

    if ":" not in plain:
        make = catalogue.fixed_step_methods()[plain]
        sample = make(4) if grid is None else make(4, grid=grid)
        return Entry(
            name,
            OURS,
            sample.stochastic or bool(sample.wrap),
            False,
            lambda budget: _on_budget(make, grid, int(budget)),
        )

    adaptive = {p.name for p in peers.adaptive(1e-3)}
    if plain in adaptive:
        return Entry(
            name,
            names()[plain],
            False,
            True,
            lambda tolerance: _peer(next(p for p in peers.adaptive(tolerance) if p.name == plain), 1, None),
        )

    found = next(p for p in (*peers.DETERMINISTIC, *peers.STOCHASTIC) if p.name == plain)

    return Entry(
        name, found.library, found.stochastic, False, lambda budget: _peer(found, int(budget) // found.calls, grid)
    )


def is_file(name: str) -> bool:
    """Whether a name of a competitor is a file that `tune` wrote.

    Args:
        name: as typed, or with a digest after it.
    """
    return name.partition("#")[0].endswith(".json")


def _tuned(name: str) -> Entry:
    """A method from a file of `tune`, named FILE.json#DIGEST, so that rows of a former version of the file differ."""
    path, _, known = name.partition("#")
    method = tuning.load(path)
    digest = hashlib.sha256(repr(method).encode()).hexdigest()[:8]
    if known not in ("", digest):
        raise ValueError(f"`methods` must name a file as it was, got {path}, which changed meanwhile")

    def bind(budget: float) -> Solve | None:
        return _ours(method) if method.calls == int(budget) else None

    return Entry(f"{path}#{digest}", OURS, method.stochastic, False, bind)


def _on_budget(make: Callable[..., Method], grid: Grid | None, budget: int) -> Solve | None:
    """The method with the most steps whose transport costs at most `budget` calls."""
    more: dict[str, Any] = {} if grid is None else {"grid": grid}
    for n in range(budget, 0, -1):
        method = make(n, **more)
        if method.transport_calls is not None and method.transport_calls <= budget:
            return _ours(method)
    return None


def _knowing(name: str, budget: int) -> Solve:
    """The recommended method for the model of each problem. `best` ignores what a closed-form denoiser knows."""

    def solve(problem: Problem, x: Tensor, seed: int | Source) -> Tensor:
        blind = name == "best" and not isinstance(problem.denoiser, Denoiser)
        return _ours(catalogue.best(budget) if blind else recommended(problem.denoiser, budget))(problem, x, seed)

    return solve


def _ours(method: Method) -> Solve:
    drawn = method.stochastic or bool(method.wrap)

    def solve(problem: Problem, x: Tensor, seed: int | Source) -> Tensor:
        source = seed if isinstance(seed, Source) else SeededNoise(seed)
        return transport(
            problem.denoiser,
            x,
            method,
            EDM(),
            problem.high,
            problem.low,
            source if drawn else None,
        ).y

    return solve


def _peer(peer: peers.Peer, steps: int, grid: Grid | None) -> Solve | None:
    def solve(problem: Problem, x: Tensor, seed: int) -> Tensor:
        one = torch.tensor(1.0, dtype=torch.float64, device="cpu")
        ends = EDM().lam(torch.tensor([problem.high, problem.low], dtype=torch.float64, device="cpu")).tolist()
        levels = torch.exp(-(peer.grids[0] if grid is None else grid)(steps + 1, *ends))
        levels[0], levels[-1] = problem.high, problem.low
        return peer.solve(lambda y, s: problem.denoiser(y, one, s).x0, x, levels, seed)

    return solve if steps > 0 else None

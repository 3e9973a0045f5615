"""Tests for your own solver: `check_solver(MySolver())` checks the properties that every solver must have."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from .equation import Equation, Noise
from .noise import SeededNoise
from .solve import solve
from .solver import Solver

_F64 = torch.float64
_SHORTFALL = 0.3  # the measured order may be lower than the declared one by this much


def check_solver(solver: Solver) -> None:
    """Check that a solver has the properties that every solver must have.

    It must be a frozen dataclass, hashable and equal to its copy. On y' = -y + sin t its error must decrease with the
    declared order. It must integrate a constant right-hand side exactly, allow decreasing times, and call f as often as
    it declares. A sample must not depend on the others of its batch. With noise, the same path must give the same
    result, and another path another result.

    Args:
        solver: an object of a class derived from `solvers.Solver`.

    Raises:
        AssertionError: naming the property that does not hold, and the measured value.
        TypeError: if `solver` is not a solver.

    Example:
        >>> from solvers import Heun
        >>> check_solver(Heun())
    """
    if not isinstance(solver, Solver):
        raise TypeError(f"`solver` must be a solver object, got {solver!r}; for example check_solver(Heun())")

    _check_value(solver)
    _check_order(solver)
    _check_constant(solver)
    _check_direction(solver)
    _check_calls(solver)
    _check_batch(solver)
    start = getattr(solver, "start", None)
    if solver.noise > Noise.NONE and (start is None or start.noise > Noise.NONE):
        _check_path(solver)


def _grid(steps: int, start: float = 0.0, end: float = 1.0) -> Tensor:
    return torch.linspace(start, end, steps + 1, dtype=_F64, device="cpu")


def _state(*values: float) -> Tensor:
    return torch.tensor([[value] for value in values], dtype=_F64, device="cpu")


def _demand(holds: bool, law: str) -> None:
    if not holds:
        raise AssertionError(law)


def _check_value(solver: Solver) -> None:
    frozen = dataclasses.is_dataclass(solver) and type(solver).__dataclass_params__.frozen  # pyright: ignore
    _demand(bool(frozen), f"{solver!r} must be a frozen dataclass")
    again = copy.deepcopy(solver)
    _demand(again == solver and hash(again) == hash(solver), f"{solver!r} must be equal to its copy")


def _error(solver: Solver, steps: int) -> float:
    """The error at t = 1 on y' = -y + sin t, y(0) = 1. The solution is y = 1.5 exp(-t) + (sin t - cos t)/2."""
    solution = solve(Equation(lambda t, y: torch.sin(t) - y), _state(1.0), solver, _grid(steps))
    exact = 1.5 * math.exp(-1.0) + (math.sin(1.0) - math.cos(1.0)) / 2
    return abs(float(solution.y) - exact)


def _check_order(solver: Solver) -> None:
    order = getattr(solver, "global_order", solver.order)
    errors = [_error(solver, steps) for steps in (32, 64, 128)]
    if errors[-1] < 1e-12:
        return

    found = math.log2(errors[-2] / errors[-1])
    _demand(
        found > order - _SHORTFALL, f"{solver!r} declares order {order}, and its error falls with order {found:.2f}"
    )


def _check_constant(solver: Solver) -> None:
    solution = solve(Equation(lambda t, y: torch.ones_like(y)), _state(0.0), solver, _grid(5))
    off = abs(float(solution.y) - 1.0)
    _demand(off < 1e-12, f"{solver!r} must integrate a constant exactly, and is {off:.2g} off")


def _check_direction(solver: Solver) -> None:
    there = solve(Equation(lambda t, y: -y), _state(1.0), solver, _grid(64)).y
    back = solve(Equation(lambda t, y: -y), there, solver, _grid(64, 1.0, 0.0)).y
    off = abs(float(back) - 1.0)
    _demand(off < 0.1, f"{solver!r} must run with falling times too, and comes back {off:.2g} off")


def _check_calls(solver: Solver) -> None:
    counted = 0

    def f(t: Tensor, y: Tensor) -> Tensor:
        nonlocal counted
        counted += 1
        return -y

    solution = solve(Equation(f), _state(1.0), solver, _grid(7))
    _demand(counted == solution.calls, f"{solver!r} called f {counted} times, and the solution says {solution.calls}")
    declared = solver.evaluations(7)
    _demand(counted == declared, f"{solver!r} declares {declared} calls of f for 7 steps, and made {counted}")


def _check_batch(solver: Solver) -> None:
    eq = Equation(lambda t, y: torch.sin(y) * t)
    both = solve(eq, _state(0.3, -1.0), solver, _grid(6)).y
    alone = torch.cat([solve(eq, _state(value), solver, _grid(6)).y for value in (0.3, -1.0)])
    _demand(bool((both - alone).abs().max() < 1e-12), f"{solver!r} must treat each sample by itself")


def _check_path(solver: Solver) -> None:
    rules: dict[Noise, Callable[[Tensor, Tensor], Tensor]] = {
        Noise.ADDITIVE: lambda t, y: 0.2 + 0.1 * t,
        Noise.DIAGONAL: lambda t, y: 0.2 * torch.cos(y),
    }
    sense = solver.sense or Equation.sense
    eq = Equation(lambda t, y: -y, rules[solver.noise], noise=solver.noise, sense=sense)
    ends = [solve(eq, _state(0.3, -1.0), solver, _grid(6), SeededNoise(seed)).y for seed in (0, 0, 1)]
    _demand(torch.equal(ends[0], ends[1]), f"{solver!r} must give the same answer on the same path")
    _demand(not torch.equal(ends[0], ends[2]), f"{solver!r} must use its noise")

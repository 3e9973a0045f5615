"""What a solve returns or raises. Each error carries the partial `Solution`, with `ok` False where it went wrong."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Solution:
    """State y reached at t, and how.

    t         0-d on a fixed grid, (B,) when adaptive (float64)
    y         final state, shaped like y0
    ts, ys    save times (S,) and states (S, *y.shape); None unless asked for
    evals     evaluations of f per sample: an int on fixed grids, (B,) int64 when adaptive
    calls     batched calls of f that were made;  g_calls  the same for g
    accepted, rejected   steps: ints on fixed grids, (B,) int64 when adaptive
    ok        (B,) bool: whether the sample reached the end with a finite state
    """

    t: Tensor
    y: Tensor
    ts: Tensor | None
    ys: Tensor | None
    evals: int | Tensor
    calls: int
    g_calls: int
    accepted: int | Tensor
    rejected: int | Tensor
    ok: Tensor


class SolveError(RuntimeError):
    """An integration did not reach its end; `.solution` holds what was reached."""

    def __init__(self, message: str, solution: Solution):
        super().__init__(message)
        self.solution = solution

    def __reduce__(self) -> tuple[type[SolveError], tuple[str, Solution], dict[str, object]]:
        return type(self), (str(self), self.solution), self.__dict__  # so that it crosses to another process whole


class NonFiniteError(SolveError):
    """The right-hand side or the state became NaN or infinite."""


class MaxStepsError(SolveError):
    """An adaptive solve used up `max_evals` evaluations."""


class StepSizeUnderflow(SolveError):
    """An adaptive solve asked for steps below `h_min`: a stiff equation, or one that is not finite or not smooth."""

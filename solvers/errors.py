"""What can go wrong while integrating. Each error carries the partial `Solution`, with `ok` False where it went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .solve import Solution


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

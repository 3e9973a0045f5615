"""The result of a solve, and the errors it may raise.

Each error holds the partial `Solution`. There `ok` is False for every sample that failed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Solution:
    """The result of a solve: the final state, the saved states, and the cost.

    t         the time reached: 0-d on a fixed grid, (B,) under adaptive steps (float64)
    y         the state at t, shaped like y0
    ts, ys    save times (S,) and states (S, *y.shape); None if `save` was not given
    evals     evaluations of f per sample: an int on fixed grids, (B,) int64 under adaptive steps
    calls     number of batched calls of f
    g_calls   number of batched calls of g
    accepted, rejected   number of steps: ints on fixed grids, (B,) int64 under adaptive steps
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

    def summary(self) -> str:
        """A text of a few lines: how many samples reached the end, the final time, and the cost."""
        count = len(self.ok)
        reached = int(self.ok.sum())
        t = self.t.double()
        where = (
            f"t = {float(t.mean()):.6g}"
            if t.dim() == 0 or bool((t == t[0]).all())
            else f"t = {t.min():.6g} to {t.max():.6g}"
        )

        def mean(value: int | Tensor) -> str:
            if isinstance(value, Tensor):
                return f"{value.double().mean():.1f} on average, {int(value.min())} to {int(value.max())},"
            return str(value)

        lines = [
            f"{reached} of {count} samples reached the end; the state is at {where}.",
            f"Evaluations of f a sample: {mean(self.evals)} in {self.calls} batched calls.",
            f"Steps accepted: {mean(self.accepted)} rejected: {mean(self.rejected)}".rstrip(",") + ".",
        ]
        if self.ts is not None:
            lines.append(f"{len(self.ts)} states are kept.")
        return "\n".join(lines)


class SolveError(RuntimeError):
    """A solve did not reach its end. The attribute `solution` holds the partial `Solution`."""

    def __init__(self, message: str, solution: Solution):
        super().__init__(message)
        self.solution = solution

    def __reduce__(self) -> tuple[type[SolveError], tuple[str, Solution], dict[str, object]]:
        return type(self), (str(self), self.solution), self.__dict__  # pickling keeps the solution


class NonFiniteError(SolveError):
    """The right-hand side or the state became NaN or infinite."""


class MaxStepsError(SolveError):
    """An adaptive solve used up `max_evals` evaluations."""


class StepSizeUnderflow(SolveError):
    """An adaptive solve needs steps below `h_min`: the equation is stiff, not smooth, or not finite."""

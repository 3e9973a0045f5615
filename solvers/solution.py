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
    calls     batched calls of f that were made
    g_calls   the same for g
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

    def summary(self) -> str:
        """The solve in words: how far it came, for how many samples, at what cost."""
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

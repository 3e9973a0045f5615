"""What every solver has: facts of its class, and four functions of values. A solver holds no state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .equation import Equation, Noise, Sense
from .noise import Path as Path

State = tuple[Tensor, ...]


class ErrorEstimate(NamedTuple):
    """An embedded error estimate, and a stiffness estimate h |f'| of each sample, taken from the stages. The error
    estimate is only reliable where the stiffness is small."""

    error: Tensor
    stiffness: Tensor


class Solver(ABC):
    """Abstract solver. Concrete ones are final frozen dataclasses: hashable, their `repr` a benchmark key.

    order         order of convergence for ODEs (and the weak order claimed for SDEs)
    strong_order  strong order for an SDE of the declared noise kind; None for ODE-only solvers
    evals         evaluations of f per step on a fixed grid; `evaluations(n)` counts those of n steps, start-up included
    noise         the most general noise the solver takes
    sense         the sense in which it reads diagonal noise; None: noise it takes has one meaning only
    needs_levy_area  whether it needs the space-time Levy area H beside dW
    substeps          points inside a step (as fractions) at which the solver needs its own Brownian increment
    embedded      order of its embedded error estimate, whose local size is h^(embedded + 1); None: fixed grids only
    """

    order: ClassVar[int]
    strong_order: ClassVar[float | None] = None
    evals: ClassVar[int]
    noise: ClassVar[Noise] = Noise.NONE
    sense: ClassVar[Sense | None] = None
    needs_levy_area: ClassVar[bool] = False
    substeps: ClassVar[tuple[float, ...]] = ()
    embedded: ClassVar[float | None] = None
    reference: ClassVar[str]

    @abstractmethod
    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        """Weights of every step, computed once per solve in float64.

        Args:
            eq: the equation.
            times: the grid, strictly monotone, 1-D float64.
            y: the state, (B, ...).
        """

    @abstractmethod
    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        """The state carried between steps: a tuple of tensors whose first dimension is the batch.

        Args:
            eq: the equation.
            t: the first time, 0-d.
            y: the state, (B, ...).
        """

    @abstractmethod
    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Any,
    ) -> tuple[Tensor, Tensor | ErrorEstimate | None, State]:
        """One step from t0 to t1: (y1, error estimate or None, state). h = t1 - t0 is signed in the drift.

        Times are 0-d on a fixed grid, where no error is asked for, and (B, 1, ..., 1) where each sample has its own.

        Args:
            eq: the equation.
            t0: start of the step.
            t1: end of the step.
            y: the state, (B, ...).
            state: what the solver remembers between steps.
            noise: the Brownian path or its source; None for an ODE.
            w: what `plan` prepared for the step.
        """

    @abstractmethod
    def evaluations(self, n: int) -> int:
        """Evaluations of f in a solve of n fixed steps."""


class OneStep(Solver):
    """Abstract: no state between steps and no weights that depend on the grid alone."""

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        return [None] * (len(times) - 1)

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

    def evaluations(self, n: int) -> int:
        return n * self.evals


def cut(times: Tensor, fractions: tuple[float, ...]) -> Tensor:
    """The grid with the points at `fractions` of every step inserted: the times at which a solver reads its path.

    Args:
        times: the grid, strictly monotone, 1-D float64.
        fractions: rising, in (0, 1).
    """
    inner = [times[:-1] + c * times.diff() for c in fractions]
    return torch.cat((torch.stack((times[:-1], *inner), 1).flatten(), times[-1:]))


def is_plain_scalar(w: Tensor) -> bool:
    """True if w can be replaced by a Python float: a 0-d CPU tensor without gradient, outside torch.compile."""
    return w.dim() == 0 and w.is_cpu and not w.requires_grad and not torch.compiler.is_dynamo_compiling()


def axpy(y: Tensor, k: Tensor, w: Tensor) -> Tensor:
    """y + w k, in one pass where w is a scalar.

    Args:
        y: the state, (B, ...).
        k: like y.
        w: float64 of dimension 0 on the CPU, or broadcasting against k.
    """
    if is_plain_scalar(w):
        return torch.add(y, k, alpha=w.item())
    return y + k * w.to(y.dtype)


def scale_by_exp(y: Tensor, w: Tensor) -> Tensor:
    """y e^z from w = e^z - 1. Where w is small, y w is added to y: this avoids the error that a rounded factor near 1
    would accumulate over many steps.

    Args:
        y: the state, (B, ...).
        w: e^z - 1, a scalar or broadcasting against y.
    """
    if is_plain_scalar(w):
        return axpy(y, y, w) if abs(w.item()) < 0.5 else y * (1 + w.item())
    small = w.abs() < 0.5
    return y * small.to(y.dtype) + y * torch.where(small, w, 1 + w).to(y.dtype)


def add_noise(
    y: Tensor,
    g: Tensor,
    dw: Tensor,
    fresh: bool = False,
) -> Tensor:
    """y + g dW, in one pass where g is a number.

    Args:
        y: the state, (B, ...).
        g: 0-d, or broadcasting against dw.
        dw: the increment, like y.
        fresh: y was made in this step, and may be overwritten if no gradient is kept.
    """
    if fresh and is_plain_scalar(g) and not torch.is_grad_enabled():
        return y.add_(dw, alpha=g.item())
    return axpy(y, dw, g) if g.dim() == 0 else y + times_noise(g, dw)


def times_noise(g: Tensor, dw: Tensor) -> Tensor:
    """g dW, without promoting the state's dtype.

    Args:
        g: broadcasts against dw.
        dw: the increment, like the state.
    """
    return dw * g.to(dw.dtype)

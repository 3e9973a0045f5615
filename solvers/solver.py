"""The interface of all solvers: class attributes such as the order, and four methods. A solver object holds no
state."""

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
    """An embedded error estimate, and a stiffness estimate h |f'| of each sample, computed from the stages.

    The error estimate is only reliable if the stiffness estimate is small."""

    error: Tensor
    stiffness: Tensor


class Solver(ABC):
    """Abstract: a solver of ODEs, or of ODEs and SDEs.

    Concrete solvers are frozen dataclasses without subclasses. They are hashable, and benchmarks identify a solver by
    its `repr`.

    order         order of convergence for ODEs
    strong_order  strong order for an SDE of the declared noise kind; None for ODE-only solvers
    evals         evaluations of f per step on a fixed grid; `evaluations(n)` counts those of n steps, start-up included
    noise         the most general kind of noise that the solver supports
    sense         the sense in which it interprets diagonal noise; None: it supports no diagonal noise
    needs_levy_area  whether it needs the space-time Levy area H in addition to dW
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
        """The weights of every step, computed once per solve in float64.

        Args:
            eq: the equation.
            times: the grid, strictly monotone, 1-D float64.
            y: the state, (B, ...).

        Returns:
            One entry for each step, which `step` receives as `w`.
        """

    @abstractmethod
    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        """The solver's memory before the first step: a tuple of tensors. Their first dimension is the batch.

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
        """Make one step from t0 to t1. The step size h = t1 - t0 is negative if time decreases.

        Times are 0-d on a fixed grid; no error estimate is needed there. Under adaptive steps each sample has its own
        times, (B, 1, ..., 1).

        Args:
            eq: the equation.
            t0: start of the step.
            t1: end of the step.
            y: the state at t0, (B, ...).
            state: the solver's memory after the previous step, or that of `init`.
            noise: the Brownian path; None for an ODE.
            w: the entry of `plan` for this step.

        Returns:
            (y1, error estimate or None, memory for the next step).
        """

    @abstractmethod
    def evaluations(self, n: int) -> int:
        """The number of evaluations of f in a solve of n fixed steps."""


class OneStep(Solver):
    """Abstract: a solver without memory between steps and without precomputed weights."""

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        return [None] * (len(times) - 1)

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

    def evaluations(self, n: int) -> int:
        return n * self.evals


def cut(times: Tensor, fractions: tuple[float, ...]) -> Tensor:
    """Insert the points at `fractions` of every step into a grid: the times at which a solver evaluates its path.

    Args:
        times: the grid, strictly monotone, 1-D float64.
        fractions: increasing, in (0, 1).

    Returns:
        The finer grid, 1-D float64.
    """
    inner = [times[:-1] + c * times.diff() for c in fractions]
    return torch.cat((torch.stack((times[:-1], *inner), 1).flatten(), times[-1:]))


def is_plain_scalar(w: Tensor) -> bool:
    """True if w can be replaced by a Python float: a 0-d CPU tensor without gradient, outside torch.compile."""
    return w.dim() == 0 and w.is_cpu and not w.requires_grad and not torch.compiler.is_dynamo_compiling()


def axpy(y: Tensor, k: Tensor, w: Tensor) -> Tensor:
    """Compute y + w k, in one operation if w is a scalar.

    Args:
        y: the state, (B, ...).
        k: like y.
        w: a 0-d float64 tensor on the CPU, or one that broadcasts against k.
    """
    if is_plain_scalar(w):
        return torch.add(y, k, alpha=w.item())
    return y + k * w.to(y.dtype)


def scale_by_exp(y: Tensor, w: Tensor) -> Tensor:
    """Compute y e^z from w = e^z - 1.

    If |w| < 1/2, the result is y + y w. A rounded factor e^z near 1 would instead accumulate an error over many steps.

    Args:
        y: the state, (B, ...).
        w: e^z - 1, a scalar, or a tensor that broadcasts against y.
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
    """Compute y + g dW, in one operation if g is a scalar.

    Args:
        y: the state, (B, ...).
        g: the diffusion, 0-d, or a tensor that broadcasts against dw.
        dw: the increment, like y.
        fresh: True if y is a temporary tensor of this step. It is then overwritten if gradients are disabled.
    """
    if fresh and is_plain_scalar(g) and not torch.is_grad_enabled():
        return y.add_(dw, alpha=g.item())
    return axpy(y, dw, g) if g.dim() == 0 else y + times_noise(g, dw)


def times_noise(g: Tensor, dw: Tensor) -> Tensor:
    """Compute g dW in the dtype of dW.

    Args:
        g: the diffusion, which broadcasts against dw.
        dw: the increment, like the state.
    """
    return dw * g.to(dw.dtype)

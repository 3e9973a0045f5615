"""The size of the next adaptive step of each sample, and the error message of a sample that failed.

PI control: Gustafsson 1991; Hairer, Norsett & Wanner, "Solving ODEs I", II.4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .control import Adaptive
from .solution import MaxStepsError, NonFiniteError, Solution, SolveError, StepSizeUnderflow
from .solver import ErrorEstimate

_SAFETY = 0.9
_SHRINK = 0.2
_GROW = 10.0
_PROPORTIONAL = 0.7  # exponents of the PI controller, to be divided by the order of the error
_INTEGRAL = 0.4
# limit of h |f'| in stochastic steps: an Ornstein-Uhlenbeck process then keeps 99 % of its variance at any tolerance
_STIFF = 0.25
RUNNING, DONE, EVALS, UNDERFLOW, NOT_FINITE = range(5)


def error_ratio(estimate: Tensor | ErrorEstimate, scale: Tensor, order: float) -> Tensor:
    """The ratio of error to tolerance of each sample. A step is accepted if it is at most 1.

    An `ErrorEstimate` also limits the stiffness h |f'| to 1/4: the result is then the larger of the error ratio and
    (4 h |f'|)^order, which depends on h like the error.

    Args:
        estimate: the error estimate of a step, like the state.
        scale: the tolerance, like the state.
        order: the error is proportional to h^order.

    Returns:
        (B,) float64.
    """
    if isinstance(estimate, Tensor):
        return rms(estimate, scale)
    return torch.maximum(
        rms(estimate.error, scale), torch.exp((estimate.stiffness.detach().double() / _STIFF).log() * order)
    )


def step_factor(
    ratio: Tensor,
    before: Tensor,
    accept: Tensor,
    order: float,
) -> Tensor:
    """The factor by which each sample's step size changes (PI control).

    Args:
        ratio: error over tolerance of this step, (B,).
        before: the ratio of the last accepted step, (B,).
        accept: whether this step is accepted, (B,) bool.
        order: the error is proportional to h^order.

    Returns:
        (B,): the next step size divided by this one.
    """
    ratio = ratio.clamp(min=1e-10)
    grow = _SAFETY * torch.exp(
        (_INTEGRAL * before.log() - _PROPORTIONAL * ratio.log()) / order
    )  # pow is not bit-equal across batch sizes
    shrink = _SAFETY * torch.exp(-ratio.log() / order)
    return torch.where(accept, grow.clamp(_SHRINK, _GROW), shrink.clamp(_SHRINK, 1.0))


def rms(x: Tensor, scale: Tensor) -> Tensor:
    """The root mean square of x / scale over each sample, (B,) in float64, without a gradient.

    Args:
        x: (B, ...).
        scale: like x.
    """
    x = x.detach()
    scale = scale.detach()
    ratio = torch.where(x == 0, 0.0, x / scale).to(
        torch.float64
    )  # if atol = 0 and a component stays 0, scale is 0; its error is 0 too
    return ratio.reshape(len(ratio), -1).square().mean(1).sqrt()


def failure(status: Tensor, solution: Solution, control: Adaptive) -> SolveError:
    """The exception to raise for a failed solve. Its message describes the first sample that failed.

    Args:
        status: the status of each sample, (B,), such as DONE or UNDERFLOW.
        solution: the partial solution.
        control: tolerances and limits.
    """

    row = int((status != DONE).nonzero()[0])
    count = int((status != DONE).sum())
    t = float(solution.t[row])
    where = f"at t = {t:.6g} in {count} of {len(solution.t)} samples (first: {row})"
    limit = control.max_evals
    smallest = control.smallest
    jump = "a jump of f (solve up to it, then start a new solve there)"
    kinds: dict[int, tuple[type[SolveError], str, str]] = {
        EVALS: (
            MaxStepsError,
            f"max_evals = {limit} evaluations used up",
            "a stiff or noisy f (a network in train mode), or too small a tolerance",
        ),
        UNDERFLOW: (
            StepSizeUnderflow,
            f"the step fell below h_min = {smallest:.3g}",
            f"a stiff equation, {jump}, or f not finite there",
        ),
        NOT_FINITE: (
            NonFiniteError,
            "f is NaN or infinite",
            "a singular right-hand side near that time, or a state that diverged",
        ),
    }
    kind, what, why = kinds[int(status[row])]

    return kind(f"{what} {where}; likely causes: {why}", solution)

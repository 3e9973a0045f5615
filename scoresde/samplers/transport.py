"""Transport of a given state from one noise level to another: to noise and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from solvers import Solution, check

from ..denoisers.denoiser import BaseDenoiser
from ..processes.base import Process
from ..processes.coefficients import like
from .grids import Tolerance
from .method import Method
from .plan import Plan as Plan
from .plan import check_method, plan_for
from .ranges import between, reaches_noise

_COUNTS = ("evals", "calls", "g_calls", "accepted", "rejected")  # of a solution; summed over its parts


def transport(
    denoiser: BaseDenoiser,
    x: Tensor,
    method: Method,
    process: Process,
    t0: float,
    t1: float,
    noise: Any = None,
    *,
    cond: Any = None,
    save: bool = False,
    compile: bool = False,
) -> Solution:
    """Integrate a state x of `process` from time t0 to time t1 by a method. The last state is not denoised.

    With eta 0 both directions are possible. The solve makes n steps over n + 1 levels. If the method has no final
    denoise, or its solver is a table of coefficients, it makes n - 1 steps over n levels. Internally, the state is
    scaled to the method's own process at the same lam. y, ts and ys of the solution belong to `process`.

    Example: transport(D, 80 z, catalogue.ddim(10), EDM(), 80.0, 0.002) for x = x0 + s eps.

    Args:
        denoiser: the model, a `BaseDenoiser`.
        x: states of `process` at t0, (B, ...).
        method: a `Method`, such as catalogue.unipc(10).
        process: the process to which x and the result belong.
        t0: time of `process` of the state x.
        t1: time of `process` of the result.
        noise: noise source as in `solvers.solve`, in the times of method.process; None if eta is 0.
        cond: condition of each sample, or None (`denoisers.conditions`).
        save: True: the times and states at all levels are returned in ts and ys.
        compile: as in `sample`.

    Raises:
        TypeError, ValueError, solvers.SolveError: as `sample`.
    """

    method = check_method(denoiser, method, compile)
    x = check.state("x", x)
    ends = level(process, "t0", t0), level(process, "t1", t1)

    for name, t, lam in (("t0", t0, ends[0]), ("t1", t1, ends[1])):
        if lam == -math.inf and not reaches_noise(method):
            said = f"`{name}` must be a time of {process!r} at which there is signal, got {t!r}"
            raise ValueError(
                f"{said}: this method cannot start from pure noise; choose another time, or take catalogue.euler(n)"
            )

    if save and (method.n is None or isinstance(method.grid, Tolerance)):
        raise ValueError(
            f"`save` must be False for an adaptive method, whose samples have no common times, got True for {method!r}"
        )

    lams = between(method, ends, method.more_levels)
    plan = Plan(
        denoiser,
        method,
        cond,
        lams,
        x,
        noise,
        ends,
    )
    start = plan.enter(x, process.alpha(t0), process.sigma(t0))
    parts = plan.run(start, save)
    counts = {name: sum(getattr(part, name) for part in parts) for name in _COUNTS}
    y = plan.leave(parts[-1].y, plan.times[-1], process.alpha(t1), process.sigma(t1))
    solution = replace(parts[-1], t=torch.tensor(float(t1), dtype=torch.float64, device="cpu"), y=y, **counts)

    if not save:
        return solution

    ts = process.time(lams)
    states = [start]  # along the method's own process
    for part in parts:
        states.extend(cast(Tensor, part.ys)[1:])

    ys = [
        plan.leave(state, own_t, process.alpha(t), process.sigma(t))
        for state, own_t, t in zip(states, plan.times, ts, strict=True)
    ]

    return replace(solution, ts=ts, ys=torch.stack(ys))


def encode(
    denoiser: BaseDenoiser,
    x: Tensor,
    method: Method,
    *,
    cond: Any = None,
) -> Tensor:
    """The latent of x. The state is integrated along the probability-flow ODE from the last level to the first, and
    scaled to a draw of N(0, I). For deterministic methods only.

    x (B, ...) is a state of the last level in the frame alpha = 1, as `sample(..., denoise=False)` returns it. Clean
    data can be used if the last sigma is small. The solve has n levels and n - 1 steps, and no final denoise.

    Args:
        denoiser: the model, a `BaseDenoiser`.
        x: states or samples, (B, ...).
        method: a `Method`, such as catalogue.unipc(10).
        cond: condition of each sample, or None (`denoisers.conditions`).
    """

    check_method(denoiser, method)
    plan = plan_for(
        denoiser,
        method,
        cond,
        check.state("x", x),
        None,
        backward=True,
    )
    along = method.process
    start = plan.first
    end = plan.last
    solutions = plan.run(plan.enter(x * like(along.alpha(start), x), along.alpha(start), along.sigma(start)))

    return plan.leave(solutions[-1].y, plan.times[-1], along.alpha(end), along.sigma(end)) / like(along.sigma(end), x)


def decode(
    denoiser: BaseDenoiser,
    z: Tensor,
    method: Method,
    *,
    cond: Any = None,
    denoise: bool = True,
) -> Tensor:
    """The sample of a latent z ~ N(0, I), as `sample` computes it from its own noise. It inverts `encode` up to the
    error of the solver.

    Args:
        denoiser: the model.
        z: latents, (B, ...), draws of N(0, I).
        method: the method that encoded, with eta 0.
        cond: condition of each sample, or None.
        denoise: False keeps the noisy state at the last level.
    """
    check_method(denoiser, method)
    plan = plan_for(denoiser, method, cond, check.state("z", z), None)
    x = plan.prior(z)
    solutions = plan.run(x)
    return plan.end(solutions[-1].y if solutions else x, denoise)


def level(process: Process, name: str, t: Any) -> float:
    """lam at a time of a process. Raises ValueError if there is no noise at that time.

    Args:
        process: the process.
        name: name of the argument, for the error.
        t: the time; a number.
    """
    lam = float(process.lam(check.number(name, t)))
    if not lam < math.inf:
        raise ValueError(f"`{name}` must be a time of {process!r} at which there is noise, got {t!r}")
    return lam

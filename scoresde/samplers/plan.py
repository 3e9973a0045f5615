"""The solve of one batch: `sampling` prepares a plan and runs it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from solvers import Adaptive, Equation, Solution, Solver, Source, iterate, solve
from solvers.solver import cut

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..processes.coefficients import like
from ..runtime.torch_state import evaluating
from .cached import CachedDenoiser
from .frame import Whitened
from .grids import AbsoluteGrid, Tolerance
from .method import Method
from .ranges import Ends, home, method_levels, radius, warn_outside_training_range
from .reverse import reverse, with_unit_noise


class Plan:
    """The levels, times, equation segments and noise of one solve, checked.

    lams   lam of the levels of the steps (`method_levels`)
    state  a batch of the shape, dtype and device of the solve; its numbers are not used
    ends   lam of the given state and of the result, if a frame moves them beyond the levels; None: the end levels"""

    def __init__(
        self,
        denoiser: BaseDenoiser,
        method: Method,
        cond: Any,
        lams: Tensor,
        state: Tensor,
        source: Any,
        ends: Ends | None = None,
    ):
        self.method = method
        for transform in method.transforms:
            denoiser = transform.around(denoiser, float(lams[0]), state)

        self.model = CachedDenoiser(denoiser) if method.wrap else denoiser
        self.cond = conditions.prepared(cond, len(state), state.device)

        warn_outside_training_range(denoiser.process, lams)
        self._set_times(lams, ends)
        self._check_times()

        self.whitened = None if method.frame is None else Whitened(self.model, method.frame.moments, state)
        self.denoiser = self.model if self.whitened is None else self.whitened
        self.solver = method.around(source, self._ask)
        self.noise = self._bound(source, state)
        self.segments = list(self._segments()) if len(lams) > 1 else []

    def at(self, lams: Tensor, cond: Any) -> Plan:
        """The same plan over other levels of the same range, for another batch.

        Args:
            lams: levels in rising order, in any number. They may require gradients.
            cond: condition of the batch, with one entry per sample, or None.
        """
        other = copy.copy(self)
        other.cond = cond
        other._set_times(lams, None)
        other.first = self.first
        other.segments = list(other._segments())
        return other

    def _set_times(self, lams: Tensor, ends: Ends | None) -> None:
        """The times of the levels along the method's process, and of the two ends."""
        process = self.method.process
        self.lams = lams
        self.times = process.time(lams)
        self.first = self.times[0]
        self.last = self.times[-1]

        if ends is not None:
            self.first, self.last = process.time(torch.tensor(ends, dtype=torch.float64, device="cpu"))

    def _check_times(self) -> None:
        """Raise ValueError if the process does not reach the levels, or noise would be singular at the first level."""
        process = self.method.process
        if not bool(self.times.isfinite().all()):
            flow = "Split.FLOW along RectifiedFlow() does, and Euler() there is DDIM"
            raise ValueError(
                f"`method` must run along a process that reaches the level lam = {self.lams.min().item():g}, got"
                f" {process!r}; {flow}"
            )

        if self.method.stochastic and not bool(process.alpha(self.times[0]) > 0):
            said = f"to start where alpha vanishes, where the noise of {process!r} is singular, got {self.method.eta!r}"
            raise ValueError(f"`method` must have eta = 0 {said}; or run along VPSDE()")

    def _bound(self, source: Any, state: Tensor) -> Any:
        """The noise path of the whole grid, one for all segments. Noise that is not a `Source` is returned
        unchanged."""
        solver = self.method.solver
        if isinstance(solver, Solver) and isinstance(source, Source) and self.method.stochastic and len(self.lams) > 1:
            return source.on(cut(self.times, solver.substeps), state)
        return source

    def _ask(self, t: Tensor, y: Tensor) -> Prediction:
        """The prediction of the model for a state at time t; see `wrappers.StepContext`."""
        process = self.method.process
        return cast(CachedDenoiser, self.model).ask(y, process.alpha(t), process.sigma(t), self.cond)

    def _segments(self) -> Iterator[tuple[Equation, Tensor | Adaptive]]:
        """One equation for all steps, or one per step if eta varies."""
        m = self.method
        times = self.times
        lams = self.lams

        if isinstance(m.grid, Tolerance):
            eq = reverse(m.process, self.denoiser, 0.0, m.split, self.cond)
            yield eq, Adaptive(times[0].item(), times[-1].item(), m.grid.rtol, m.grid.atol, max_evals=m.grid.max_evals)
        elif callable(m.eta):
            for k in range(len(times) - 1):
                eta = m.eta(lams[k].item(), lams[k + 1].item())
                yield reverse(m.process, self.denoiser, eta, m.split, self.cond), times[k : k + 2]
        else:
            eq = reverse(m.process, self.denoiser, m.eta, m.split, self.cond)
            yield with_unit_noise(eq, m.process) if m.adds_noise else eq, times

    def prior(self, z: Tensor) -> Tensor:
        """The first state of a solve from pure noise: z ~ N(0, I), scaled to the first level."""
        process = self.method.process
        t = self.first
        return self.enter(z * like(process.sigma(t), z), process.alpha(t), process.sigma(t))

    def enter(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The solver's first state for x = alpha x0 + sigma eps at the first end.

        Args:
            x: states or samples, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        size = self._size(self.times[0])
        if self.whitened is None:
            return x * like(size / (alpha**2 + sigma**2).sqrt(), x)
        return self.whitened.enter(x, alpha, sigma) * like(size, x)

    def leave(
        self,
        y: Tensor,
        t: Tensor,
        alpha: Tensor,
        sigma: Tensor,
    ) -> Tensor:
        """x = alpha x0 + sigma eps for the solver's state at time t: the inverse of `enter`.

        Args:
            y: the state, (B, ...).
            t: times of the process, a number, 0-d or (B,).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        size = self._size(t)
        if self.whitened is None:
            return y * like((alpha**2 + sigma**2).sqrt() / size, y)
        return self.whitened.leave(y / like(size, y), alpha, sigma)

    def seen(self, y: Tensor, t: Tensor) -> Tensor:
        """The state at time t scaled to alpha^2 + sigma^2 = 1, where states at all levels have a similar size.

        Args:
            y: the state, (B, ...).
            t: times of the process, a number, 0-d or (B,).
        """
        process = self.method.process
        if self.whitened is None:
            return y / like(radius(process, t), y)
        return self.leave(y, t, process.alpha(t) / radius(process, t), process.sigma(t) / radius(process, t))

    def _size(self, t: Tensor) -> Tensor:
        """The scale of states at time t: the same state at another level differs by the ratio of the two scales."""
        process = self.method.process
        scale = 1.0 if self.whitened is None else self.whitened.scale
        return radius(process, t) if scale == 1.0 else ((process.alpha(t) * scale) ** 2 + process.sigma(t) ** 2).sqrt()

    def run(self, x: Tensor, save: bool = False) -> list[Solution]:
        """The solutions of all segments, one after the other; `save` keeps the state at every level.

        Args:
            x: states or samples, (B, ...).
            save: True: the state at every level is stored.
        """
        solutions: list[Solution] = []

        with evaluating(self.denoiser), torch.no_grad():
            for eq, steps in self.segments:
                kept = steps if save and isinstance(steps, Tensor) else None
                solutions.append(
                    solve(
                        eq,
                        x,
                        self.solver,
                        steps,
                        noise=None if eq.g is None else self.noise,
                        save=kept,
                    )
                )
                x = solutions[-1].y

        return solutions

    def states(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(t, x) at the start and after every step."""
        yield self.times[0], x

        for eq, steps in self.segments:
            states = iterate(eq, x, self.solver, steps, noise=None if eq.g is None else self.noise)
            while True:
                with evaluating(self.denoiser), torch.no_grad():
                    pair = next(states, None)
                if pair is None:
                    break
                x = pair[1]
                yield pair

    def end(self, y: Tensor, denoise: bool) -> Tensor:
        """The result: the state at the last level denoised, or the noisy state scaled to alpha = 1.

        Args:
            y: the state, (B, ...).
            denoise: True: the last state is denoised, if the method has a final denoise.
        """
        denoise = denoise and self.method.final_denoise
        process = self.method.process
        t = self.times[-1]
        alpha = process.alpha(t)
        sigma = process.sigma(t)
        x = y if self.whitened is None else self.leave(y, t, alpha, sigma)

        with evaluating(self.model), torch.no_grad():
            return self.model(x, alpha, sigma, self.cond).x0 if denoise else x / like(alpha, x)


def plan_for(
    denoiser: BaseDenoiser,
    method: Method,
    cond: Any,
    state: Tensor,
    source: Any,
    backward: bool = False,
) -> Plan:
    """A plan over the range of the denoiser, from noise to data or backward.

    Args:
        denoiser: the model.
        method: the method.
        cond: a condition with one entry per sample, or None.
        state: a batch of the shape, dtype and device of the solve; its numbers are not used.
        source: the noise source of the method, or None.
        backward: True: the levels run from data to noise.
    """
    lams = method_levels(denoiser, method)
    # If a frame moves the state, it does so from the end of the range to the first level.
    carried = method.frame is not None and method.frame.start < math.inf
    own = isinstance(method.grid, AbsoluteGrid) and not carried
    first, last = (float(lams[0]), float(lams[-1])) if own else home(denoiser, method)

    return Plan(
        denoiser,
        method,
        cond,
        *((lams.flip(0), state, source, (last, first)) if backward else (lams, state, source, (first, last))),
    )


def check_method(denoiser: Any, method: Any, compile: bool = False) -> Method:
    """Check a denoiser and a method. Returns the method, compiled if `compile` is True.

    Args:
        denoiser: the model, a `BaseDenoiser`.
        method: a `Method`, such as catalogue.unipc(10).
        compile: True: each step becomes one compiled graph.
    """
    if not isinstance(denoiser, BaseDenoiser):
        raise TypeError(
            f"`denoiser` must be a Denoiser, got {type(denoiser).__name__}; wrap a plain score with"
            " Denoiser.from_score(score, process)"
        )
    if not isinstance(method, Method):
        raise TypeError(f"`method` must be a Method, got {method!r}; for example catalogue.ddim(20)")

    return method.compiled() if compile else method

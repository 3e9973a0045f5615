"""A method with learned noise levels, coefficients, and noise levels that the model receives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from solvers import Table, check

from ..denoisers.denoiser import BaseDenoiser
from ..processes.coefficients import like
from ..processes.coordinates import Angle
from ..samplers.frame import Frame
from ..samplers.grids import ExplicitGrid
from ..samplers.method import Method
from ..samplers.plan import Plan
from ..samplers.ranges import home, method_levels
from ..samplers.reverse import Split
from ..samplers.transforms import Told, ToldLevels
from .coordinates import rows_along
from .pairs import Pairs

F64 = torch.float64
FARTHEST = 3.0  # largest change of the logarithm of a noise level or gap
STAGES = ("levels", "table", "scale")  # stages, learned in this order


class Student:
    """An untuned method whose numbers are learned parameters. With the initial parameters the method is unchanged.

    Each stage has its own parameters:

    levels  logarithms of the factors of the gaps; also the first level after pure noise or, with a frame, the level at
            which steps begin
    table   additions to the weights of the untuned solver on these levels, in units of the step along Angle(unit),
            where states and slopes have the same size at all levels
    scale   additions to the log(sigma/alpha) that the model receives at each call. Without a frame the first call has
            none: the sampling loop of diffusers has already scaled its input for the true level

    Args:
        denoiser: the model.
        start: deterministic method with one call per step, which ends with a denoise or with a step.
        state: a batch with the shape, dtype and device of the states.
        unit: standard deviation of the data.
    """

    def __init__(
        self,
        denoiser: BaseDenoiser,
        start: Method,
        state: Tensor,
        unit: float,
    ):
        self.start = start
        self.process = Angle(unit)
        self.denoiser = denoiser
        self.lams = method_levels(denoiser, start)
        self.steps = len(self.lams) - 1
        self.calls = self.steps + start.final_denoise
        self.noisy = home(denoiser, start)[0]
        self.anchor = int(self.lams[0] == -math.inf)  # pure noise has no gap after it
        self.moves = start.frame is not None or self.anchor == 1
        self.told = Told(denoiser, self._factor)
        self._asked = 0

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=F64, device="cpu", requires_grad=True)

        self.first = zeros()
        self.gaps = zeros(self.steps - self.anchor)
        self.weights = [zeros(k + 2) for k in range(self.steps)]
        self.shifts = zeros(self.calls - (start.frame is None))
        along = replace(start, process=self.process, split=Split.FLOW)
        self.plan = Plan(self.told, along, None, self.lams, state, None, home(denoiser, start))

    def parameters(self, stage: str) -> list[Tensor]:
        """The parameters that a stage learns: its own and those of all earlier stages."""
        every = [self.first, self.gaps], self.weights, [self.shifts]
        return [number for some in every[: STAGES.index(stage) + 1] for number in some]

    def numbers(self) -> list[Tensor]:
        """All parameters."""
        return [self.first, self.gaps, *self.weights, self.shifts]

    def levels(self) -> Tensor:
        """The present noise levels lam, rising, (steps + 1,) float64."""
        first = self.lams[self.anchor]
        if self.moves:
            least = self.noisy if self.anchor == 0 else -math.inf
            first = (first + bounded(self.first)).clamp(least, float(self.lams[-1]) - 1e-3)

        return torch.cat([self.lams[: self.anchor], spaced(first, self.lams[self.anchor :], self.gaps)])

    def rows(self, lams: Tensor) -> list[Tensor]:
        """The rows of the table on these noise levels."""
        base = rows_along(self.start, lams, self.process)
        return [row + more for row, more in zip(base, self.weights, strict=True)]

    def answer(self, pairs: Pairs) -> Tensor:
        """The samples that the method makes from the latents, differentiable in the parameters.

        Args:
            pairs: latents and conditions; the answers are not used.
        """
        lams = self.levels()
        plan = self.plan.at(lams, pairs.cond)
        eq, times = plan.segments[0]
        assert isinstance(times, Tensor)
        y = plan.prior(pairs.latents)
        slopes: list[Tensor] = []

        def asked(k: int, f: Callable[[Tensor, Tensor], Tensor], t: Tensor, y: Tensor) -> Tensor:
            def answer(t: Tensor, y: Tensor) -> Tensor:
                self._asked = k  # set here, since the backward pass calls this again
                return f(t, y)

            return cast(Tensor, checkpoint(answer, t, y, use_reentrant=False))

        for k, (t0, h, row) in enumerate(zip(times[:-1], times.diff(), self.rows(lams), strict=True)):
            slopes.append(asked(k, eq.drift, t0, y))
            weights = row * h
            y = y + weights[0] * y + sum(w * f for w, f in zip(weights[1:], slopes, strict=True))

        t = times[-1]
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        x = plan.leave(y, t, alpha, sigma)
        if not self.start.final_denoise:
            return x / like(alpha, x)

        return asked(self.steps, lambda t, x: self.told(x, alpha, sigma, pairs.cond).x0, t, x)

    def method(self) -> Method:
        """The sampler with the present values of the parameters."""
        with torch.no_grad():
            lams = self.levels()
            rows = self.rows(lams)

        shifts = self._shifts().detach()[self.anchor :]
        told = ToldLevels(_numbers(lams[self.anchor : self.calls]), _numbers(shifts))
        frame = self.start.frame
        if frame is not None:
            frame = Frame(frame.moments, math.exp(-float(lams[0])) / frame.moments.scale)

        return replace(
            self.start,
            process=self.process,
            split=Split.FLOW,
            solver=Table(tuple(_numbers(row) for row in rows)),
            grid=ExplicitGrid(_numbers(lams)),
            frame=frame,
            transforms=(told,) if any(told.shifts) else (),
        )

    def _factor(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return self._shifts()[self._asked].exp()

    def _shifts(self) -> Tensor:
        """The addition to log(sigma/alpha) at every call."""
        return torch.cat([torch.zeros(self.calls - len(self.shifts), dtype=F64, device="cpu"), bounded(self.shifts)])


def spaced(first: Tensor, lams: Tensor, gaps: Tensor) -> Tensor:
    """Noise levels from `first` to the last of `lams`. The gaps of `lams` are multiplied by exp(gaps), then all are
    scaled to fit.

    Args:
        first: the new first level, 0-d.
        lams: the given levels lam, rising, (n + 1,); the last one is kept.
        gaps: logarithms of the factors, (n,).
    """
    wide = lams.diff() * bounded(gaps).exp()
    rest = first + (lams[-1] - first) * wide.cumsum(0) / wide.sum()
    return torch.cat([first[None], rest])


def bounded(numbers: Tensor) -> Tensor:
    """The numbers limited smoothly to `FARTHEST` in size; small numbers are almost unchanged. This is needed because a
    line search may try very large numbers."""
    return FARTHEST * (numbers / FARTHEST).tanh()


def _numbers(values: Tensor | Sequence[float]) -> tuple[float, ...]:
    return tuple(check.values(torch.as_tensor(values, dtype=F64, device="cpu")))

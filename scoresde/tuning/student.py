"""A method whose numbers are learned: levels, a table of coefficients, and the levels that the model is told."""

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
FARTHEST = 3.0  # in a logarithm of noise levels
STAGES = ("levels", "table", "scale")  # what is learned, one after the other


class Student:
    """An untuned method with its numbers as parameters. At the start the parameters are such that the method is
    unchanged.

    levels  the first level where a frame carries the state to it, and the logarithms of the gaps
    table   what is added to the weights that the untuned solver has on these levels, in units of the step along
            Angle(unit), where states and slopes are of one size at all levels
    scale   what is added to log(sigma/alpha) that the model is told at each call; not at the first without a frame,
            whose input a loop of diffusers has made ready for the true level

    Args:
        denoiser: the model.
        start: deterministic, of one call a step; it ends with a denoise or with a step.
        state: a batch like those to come.
        unit: the data's standard deviation.
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
        """The parameters that a stage learns: its own, and those of the stages before it."""
        every = [self.first, self.gaps], self.weights, [self.shifts]
        return [number for some in every[: STAGES.index(stage) + 1] for number in some]

    def numbers(self) -> list[Tensor]:
        """All of them."""
        return [self.first, self.gaps, *self.weights, self.shifts]

    def levels(self) -> Tensor:
        """lam of the levels, rising, (steps + 1,) float64."""
        first = self.lams[self.anchor]
        if self.moves:
            least = self.noisy if self.anchor == 0 else -math.inf
            first = (first + bounded(self.first)).clamp(least, float(self.lams[-1]) - 1e-3)

        return torch.cat([self.lams[: self.anchor], spaced(first, self.lams[self.anchor :], self.gaps)])

    def rows(self, lams: Tensor) -> list[Tensor]:
        """Rows of the table on these levels."""
        base = rows_along(self.start, lams, self.process)
        return [row + more for row, more in zip(base, self.weights, strict=True)]

    def answer(self, pairs: Pairs) -> Tensor:
        """Samples of the latents, differentiable in the parameters.

        Args:
            pairs: latents and conditions; their answers are not looked at.
        """
        lams = self.levels()
        plan = self.plan.at(lams, pairs.cond)
        eq, times = plan.segments[0]
        assert isinstance(times, Tensor)
        y = plan.prior(pairs.latents)
        slopes: list[Tensor] = []

        def asked(k: int, f: Callable[[Tensor, Tensor], Tensor], t: Tensor, y: Tensor) -> Tensor:
            def answer(t: Tensor, y: Tensor) -> Tensor:
                self._asked = k  # again where it is worked out again, on the way back
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
        """The method with the present numbers."""
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
        """Of every call."""
        return torch.cat([torch.zeros(self.calls - len(self.shifts), dtype=F64, device="cpu"), bounded(self.shifts)])


def spaced(first: Tensor, lams: Tensor, gaps: Tensor) -> Tensor:
    """Levels whose gaps are those of others, each times the exponential of a number.

    Args:
        first: the first level.
        lams: the other levels, rising, (n + 1,); the last one stays.
        gaps: the numbers, (n,).
    """
    wide = lams.diff() * bounded(gaps).exp()
    rest = first + (lams[-1] - first) * wide.cumsum(0) / wide.sum()
    return torch.cat([first[None], rest])


def bounded(numbers: Tensor) -> Tensor:
    """The numbers, limited to `FARTHEST` in size; small numbers are unchanged. A line search may try very large
    numbers."""
    return FARTHEST * (numbers / FARTHEST).tanh()


def _numbers(values: Tensor | Sequence[float]) -> tuple[float, ...]:
    return tuple(check.values(torch.as_tensor(values, dtype=F64, device="cpu")))

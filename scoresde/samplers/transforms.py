"""Transforms that a method puts between its solver and the model. One answers the first call without the model; another
gives the model a different noise level.

They are frozen dataclasses, so that the repr of a method names all its choices.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.gaussian import MomentsGaussian
from ..denoisers.moments import Moments
from ..denoisers.prediction import Prediction
from ..processes.base import Process
from ..processes.coefficients import CachedCoefficients, as_time
from .grids import at_index, index_at


class DenoiserTransform(ABC):
    """Abstract: makes the denoiser that a solve uses from the model.

    saved_calls  number of solver calls that it answers without the model"""

    saved_calls: ClassVar[int] = 0

    @abstractmethod
    def around(
        self,
        denoiser: BaseDenoiser,
        first: float,
        state: Tensor,
    ) -> BaseDenoiser:
        """The denoiser that the solver evaluates.

        Args:
            denoiser: the model, or the denoiser that the previous transform made.
            first: lam of the first level of the solve.
            state: a batch of the shape, dtype and device of the solve; its numbers are not used.
        """


@dataclass(frozen=True)
class AnalyticalFirstCall(DenoiserTransform):
    """The denoiser of a Gaussian with the data's moments answers the first call, so that it costs no network call.

    At high noise the posterior mean of any data is that of this Gaussian, up to terms of second order in alpha/sigma
    (third order if the third cumulant of the data is zero).

    Args:
        moments: mean and standard deviations of the data.
    """

    moments: Moments
    saved_calls: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not isinstance(self.moments, Moments):
            raise TypeError(
                f"`moments` must be Moments, got {type(self.moments).__name__}; for example Moments.of(samples)"
            )

    def around(
        self,
        denoiser: BaseDenoiser,
        first: float,
        state: Tensor,
    ) -> BaseDenoiser:
        return _FirstCall(denoiser, MomentsGaussian(self.moments, state), first)


class _FirstCall(BaseDenoiser):
    """The Gaussian's denoiser at the first level, the model at all others."""

    def __init__(self, denoiser: BaseDenoiser, gaussian: BaseDenoiser, first: float):
        super().__init__()
        self.process: Process | None = denoiser.process
        self.denoiser = denoiser
        self.gaussian = gaussian
        self.until = first + 1e-9 * (1 + abs(first)) if math.isfinite(first) else first

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        lam = as_time(alpha, "alpha").log() - as_time(sigma, "sigma").log()
        answering = self.gaussian if float(lam) <= self.until else self.denoiser
        return answering(x, alpha, sigma, cond)


@dataclass(frozen=True)
class ToldLevels(DenoiserTransform):
    """The model is given another noise level than that of its input: sigma/alpha times e^shift.

    This corrects a network that over- or underestimates the noise at some levels.

    Args:
        lams: levels in rising order, finite.
        shifts: number added to log(sigma/alpha) at each level; linear in between, constant outside the list.
    """

    lams: tuple[float, ...]
    shifts: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("lams", "shifts"):
            for value in getattr(self, name):
                check.number(name, value)
        if not self.lams or any(b <= a for a, b in zip(self.lams, self.lams[1:], strict=False)):
            raise ValueError(f"`lams` must hold one or more strictly rising levels, got {self.lams!r:.80}")
        if len(self.shifts) != len(self.lams):
            raise ValueError(f"`shifts` must hold {len(self.lams)} numbers, one a level, got {len(self.shifts)}")

    def __call__(self, lam: Tensor) -> Tensor:
        """The shift at a level, of the shape of lam."""
        if len(self.lams) == 1:
            return torch.full_like(lam, self.shifts[0])

        inside = lam.to("cpu", torch.float64).clamp(self.lams[0], self.lams[-1])
        return at_index(self.shifts, index_at(self.lams, inside)).to(lam.device, lam.dtype)

    def around(
        self,
        denoiser: BaseDenoiser,
        first: float,
        state: Tensor,
    ) -> BaseDenoiser:
        def factor(alpha: Tensor, sigma: Tensor) -> Tensor:
            return self(alpha.log() - sigma.log()).exp()

        return Told(denoiser, CachedCoefficients(factor))


class Told(BaseDenoiser):
    """A denoiser whose model is given a multiple of the noise level of its input.

    x0 is the model's answer at that level; eps is computed from this x0 for the true level of the input.

    Args:
        denoiser: the model.
        factor: function (alpha, sigma) -> factor by which sigma is multiplied.
    """

    def __init__(self, denoiser: BaseDenoiser, factor: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.process: Process | None = denoiser.process
        self.denoiser = denoiser
        self.factor = factor

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        said = self.denoiser(x, alpha, sigma * self.factor(alpha, sigma), cond)
        keep, scale = said.to_x0

        return Prediction(
            x,
            said.out,
            alpha,
            sigma,
            said.to_x0,
            ((1 - alpha * keep) / sigma, -alpha * scale / sigma),
            said.variance_logit,
        )

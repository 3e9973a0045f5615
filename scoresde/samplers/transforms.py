"""Transforms that a method puts between its solver and the model: some calls are answered without the model, or the
model gets another noise level.

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
    """Abstract: makes the denoiser of one solve from the model.

    saved_calls  calls of the solver that it answers without the model"""

    saved_calls: ClassVar[int] = 0

    @abstractmethod
    def around(
        self,
        denoiser: BaseDenoiser,
        first: float,
        state: Tensor,
    ) -> BaseDenoiser:
        """The denoiser that the solver is given.

        Args:
            denoiser: the model, or what the transform before made of it.
            first: lam of the first level of the solve.
            state: a batch like those of the solve: its numbers do not matter.
        """


@dataclass(frozen=True)
class AnalyticalFirstCall(DenoiserTransform):
    """The first call is answered by the denoiser of a Gaussian with the data's moments, without a network call.

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
    """The Gaussian at the first level, the model at all others."""

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
    """The model gets another noise level than that of its input: sigma/alpha times e^shift.

    This corrects a network that over- or underestimates the noise at some levels.

    Args:
        lams: rising levels, finite.
        shifts: what is added to log(sigma/alpha) at each; linear in between, constant beyond.
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
    """A denoiser that gets a multiple of the noise level of its input.

    x0 is the answer at that level; eps is computed from it for the true level of the input.

    Args:
        denoiser: the model.
        factor: (alpha, sigma) -> what sigma is multiplied by.
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

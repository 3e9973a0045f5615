"""Coordinates in which the flow of the Gaussian fitted to the data is constant, so that a solver integrates only the
model's difference from it.

For data of the mean m and the variances l along the columns of B, with q = sqrt(alpha^2 l + sigma^2), the state of x =
alpha x0 + sigma eps is

    y = B diag(1/q) B' (x - alpha m).

Along the probability flow of the Gaussian with these moments y is constant. At pure noise y is x/sigma; at the data it
is the whitened sample. Wang & Vastola 2024, arXiv:2412.09726, use the same Gaussian in place of the first steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser, KarrasPreconditioning
from ..denoisers.moments import Moments
from ..denoisers.prediction import Prediction
from ..processes.coefficients import as_time, like

LEAST = 0.02  # smallest standard deviation of a direction, in units of the scale; smaller ones are raised to it


@dataclass(frozen=True)
class Frame:
    """The coordinates in which a method's state is stored, and the noise level at which its steps begin.

    Args:
        moments: mean and standard deviations of the data.
        start: noise level, in units of `moments.scale`, at which steps begin. From the first level to this one the
            state is moved along the Gaussian's flow, which costs no network call. Infinity: steps begin at the first
            level.
    """

    moments: Moments
    start: float = math.inf

    def __post_init__(self) -> None:
        if not isinstance(self.moments, Moments):
            raise TypeError(
                f"`moments` must be Moments, got {type(self.moments).__name__}; for example Moments.of(samples)"
            )
        if self.start != math.inf:
            check.number("start", self.start, above=0.0)

    def begin(self, lam: float) -> float:
        """The lam at which steps begin if the first level is `lam`."""
        return max(lam, -math.log(self.start * self.moments.scale))


class Whitened(BaseDenoiser):
    """A denoiser in the coordinates of a frame. Its state is r y, r = hypot(alpha scale, sigma). Its flow along any
    process is the flow of `denoiser` in these coordinates.

    In the terms of `KarrasPreconditioning`, the network's output F is the model's difference from the Gaussian:

        F = -(r^2/scale) B [B'(v + sigma m) - (1 - l) (alpha sigma/q) B'y] / q,    alpha^2 + sigma^2 = 1,

    F is 0 for the Gaussian itself, and regular at all noise levels. It is not a posterior mean, so it can be used for
    the flow only.

    Args:
        denoiser: the model.
        moments: mean and standard deviations of its data.
        state: a batch of the shape, dtype and device of the solve; its numbers are not used.
    """

    def __init__(self, denoiser: BaseDenoiser, moments: Moments, state: Tensor):
        super().__init__()
        self.process = denoiser.process
        self.denoiser = denoiser
        self.scale = moments.scale
        self.table = KarrasPreconditioning(moments.scale)
        self.shape = moments.sample_shape(state)
        self.basis = moments.basis.on(self._as_data(state))
        self.mean = moments.mean.to(state.device, state.dtype)
        # In a direction without variance, y and the model's error would otherwise grow without bound as noise vanishes.
        self.variance = moments.std.clamp(min=LEAST * self.scale).to(state.device, state.dtype).square()

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        size = (alpha**2 + sigma**2).sqrt()
        a = alpha / size
        s = sigma / size
        r = (a**2 * self.scale**2 + s**2).sqrt()
        u = self.basis.to(self._as_data(x * like(1 / (r * size), x)))
        q = self._spread(a, s, u)
        there = self.basis.back(u * q) + self.mean * like(a, u)
        v = self._as_data(self.denoiser(there.reshape(x.shape), a, s, cond).v) + self.mean * like(s, u)
        added = self.basis.to(v) - u * (1 - self.variance) * (like(a * s, u) / q)
        out = self.basis.back(added / q).reshape(x.shape) * like(-(r**2) / self.scale, x)

        return Prediction(
            x,
            out,
            alpha,
            sigma,
            self.table.to_x0(alpha, sigma),
            self.table.to_eps(alpha, sigma),
        )

    def enter(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Convert a state x = alpha x0 + sigma eps to y.

        Args:
            x: states or samples, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        apart = self._as_data(x)
        u = self.basis.to(apart - self.mean * like(alpha, apart))
        return self.basis.back(u / self._spread(alpha, sigma, u)).reshape(x.shape)

    def leave(self, y: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Convert y back to the state x = alpha x0 + sigma eps.

        Args:
            y: states in these coordinates, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        u = self.basis.to(self._as_data(y))
        x = self.basis.back(u * self._spread(alpha, sigma, u)) + self.mean * like(alpha, u)
        return x.reshape(y.shape)

    def _as_data(self, x: Tensor) -> Tensor:
        """Samples in the shape of the moments, which may be flat even if the samples are images."""
        return x.reshape(len(x), *self.shape)

    def _spread(self, alpha: Tensor, sigma: Tensor, u: Tensor) -> Tensor:
        """q, one number or one for each coordinate."""
        return (self.variance * like(alpha, u) ** 2 + like(sigma, u) ** 2).sqrt()

"""Coordinates in which the data's Gaussian stands still, so that a solver integrates only what a model adds to it.

For data of the mean m and the variances l along the columns of B, with q = sqrt(alpha^2 l + sigma^2), the state of x =
alpha x0 + sigma eps is

    y = B diag(1/q) B' (x - alpha m).

Along the probability flow of the Gaussian with these moments y is constant at every level, from pure noise, where it
is x/sigma, to the data, which it whitens. Wang & Vastola 2024, arXiv:2412.09726, use the same Gaussian in place of the
first steps.
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

LEAST = 0.02  # standard deviation that a direction is taken to have at least, in units of the scale


@dataclass(frozen=True)
class Frame:
    """The coordinates that a method's state is held in, and where its steps begin.

    Args:
        moments: of the data.
        start: noise level, in units of `moments.scale`, down from which steps are made. From the first level to there
            the state is carried along the Gaussian's flow, which costs no call. Infinity: nothing is carried.
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
        """The level at which steps begin for a first level of lam."""
        return max(lam, -math.log(self.start * self.moments.scale))


class Whitened(BaseDenoiser):
    """A denoiser in the coordinates of a frame: its state is r y, r = hypot(alpha scale, sigma), and its flow along any
    process is that of `denoiser`, carried over.

    As `Karras` writes it, the network's output F is what the model adds to the Gaussian:

        F = -(r^2/scale) B [B'(v + sigma m) - (1 - l) (alpha sigma/q) B'y] / q,    alpha^2 + sigma^2 = 1,

    0 for the Gaussian itself; no end is singular. It is no posterior mean, so it serves the flow alone.

    Args:
        denoiser: the model;  moments  of its data
        state: a batch of the shape, dtype and device of those to come
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
        # A direction without variance would be blown up without end as noise vanishes, and with it whatever the model
        # errs there.
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
        """y of a state x = alpha x0 + sigma eps.

        Args:
            x: states or samples, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        apart = self._as_data(x)
        u = self.basis.to(apart - self.mean * like(alpha, apart))
        return self.basis.back(u / self._spread(alpha, sigma, u)).reshape(x.shape)

    def leave(self, y: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The state at a level, of y.

        Args:
            y: the state, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """
        u = self.basis.to(self._as_data(y))
        x = self.basis.back(u * self._spread(alpha, sigma, u)) + self.mean * like(alpha, u)
        return x.reshape(y.shape)

    def _as_data(self, x: Tensor) -> Tensor:
        """In the shape that the moments are of: points, where those of images were taken so."""
        return x.reshape(len(x), *self.shape)

    def _spread(self, alpha: Tensor, sigma: Tensor, u: Tensor) -> Tensor:
        """q, for one u or for all."""
        return (self.variance * like(alpha, u) ** 2 + like(sigma, u) ** 2).sqrt()

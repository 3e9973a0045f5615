"""A stochastic method whose levels and noise are learned, judged by the distance of laws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from solvers import Table, check
from solvers.phi import phi

from ..denoisers.denoiser import BaseDenoiser
from ..evaluation.intervals import DistanceEstimate, estimate
from ..evaluation.kernel_distance import KernelDistance, minus_distance
from ..processes.coordinates import UnitNoise
from ..samplers.grids import ExplicitGrid
from ..samplers.method import Method
from ..samplers.reverse import Split
from .pairs import Features, Pairs
from .student import bounded, spaced

NOISE = "noise"  # the stage


@dataclass(frozen=True)
class Law:
    """The energy distance of samples and right ones, over the mean distance of two right ones. Unbiased: two sets of
    one law have mean 0.

    Args:
        unit: mean distance of two right samples.
        features: of samples, in which distances are taken; None: the samples themselves."""

    unit: float
    features: Features | None = None

    @classmethod
    def of(cls, answers: Tensor, features: Features | None) -> Law:
        """With the unit of these right samples.

        Args:
            answers: right samples, (N, ...).
            features: in which distances are taken; None: the samples themselves.
        """
        return cls(float(torch.pdist(_seen(answers, features)).mean()), features)

    def __call__(self, made: Tensor, answers: Tensor) -> Tensor:
        made, answers = (_seen(x, self.features) for x in (made, answers))
        n, m = len(made), len(answers)
        within = _sum(made, made) / (n * (n - 1)) + _sum(answers, answers) / (m * (m - 1))
        return (2 * _sum(made, answers) / (n * m) - within) / self.unit

    def estimate(self, made: Tensor, answers: Tensor) -> DistanceEstimate:
        """The energy distance itself, with its interval.

        Args:
            made: samples, (N, ...).
            answers: right ones, (M, ...).
        """
        made, answers = (_seen(x, self.features) for x in (made, answers))
        return estimate(KernelDistance(minus_distance, unbiased=True), made, answers, floor=0.0)


def _seen(x: Tensor, features: Features | None) -> Tensor:
    """The numbers whose distances are taken, (B, d) float64."""
    return (x if features is None else features(x)).double().flatten(1)


def _sum(a: Tensor, b: Tensor) -> Tensor:
    """The distances of all pairs, summed, differentiable."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").sum()


class NoiseStudent:
    """A stochastic Adams method whose parameters are the gaps of its levels, eta of each step, and the logarithm of a
    factor of its noise, which makes up for the variance that a frozen answer loses.

    In y = x/sigma, with lam the end of the step, h its gap, v = eta^2 and D the denoiser's answer, constant (order 1)
    or linear in lam (order 2, D' its slope), a step is

        y1 = e^{-v h} y + A D + B D' + factor (1 - e^{-2 v h})^{1/2} z,
        A = e^lam (1 - e^{-(1 + v) h}),    B = e^lam (h - (1 - e^{-(1 + v) h}) / (1 + v)).

    Order 1 is DDIM at eta 0 and ancestral sampling at eta 1; order 2 is DPM-Solver++(2M) at eta 0. Xue et al. 2023,
    arXiv:2309.05019.

    Args:
        denoiser: the model.
        lams: levels, rising.
        eta: of every step at the start.
        order: 1 or 2.
    """

    def __init__(
        self,
        denoiser: BaseDenoiser,
        lams: Tensor,
        eta: float,
        order: int,
    ):
        self.denoiser = denoiser
        self.lams = lams
        self.order = order
        self.gaps = torch.zeros(len(lams) - 1, dtype=torch.float64, device="cpu", requires_grad=True)
        self.etas = torch.full_like(self.gaps, eta).requires_grad_()
        self.factors = torch.zeros_like(self.gaps, requires_grad=True)

    def parameters(self, stage: str) -> list[Tensor]:
        """The parameters that a stage learns.

        Args:
            stage: `NOISE` alone.
        """
        check.choice("stage", stage, (NOISE,))
        return self.numbers()

    def numbers(self) -> list[Tensor]:
        """All of them."""
        return [self.gaps, self.etas, self.factors]

    def levels(self) -> Tensor:
        """lam of the levels, rising, (n + 1,) float64."""
        return spaced(self.lams[0], self.lams, self.gaps)

    def answer(self, pairs: Pairs) -> Tensor:
        """Samples, differentiable in the parameters.

        Args:
            pairs: latents, (B, n + 1, ...): of the start, then of each step; and conditions.
        """
        lams = self.levels()
        gaps = lams.diff()
        y, *normals = pairs.latents.unbind(1)
        slopes: list[Tensor] = []

        for k, (z, row, std) in enumerate(zip(normals, self.rows(lams), self.stds(lams), strict=True)):
            slopes.append(lams[k].exp() * self._asked(y, lams[k], pairs.cond))
            weights = row * gaps[k]
            y = y + weights[0] * y + sum(w * f for w, f in zip(weights[1:], slopes, strict=True)) + std * z

        return self._asked(y, lams[-1], pairs.cond)

    def rows(self, lams: Tensor) -> list[Tensor]:
        """Rows of the table on these levels, whose slopes are e^lam D."""
        rows: list[Tensor] = []

        for k, (h, v) in enumerate(zip(lams.diff(), self.etas.square(), strict=True)):
            left = -torch.expm1(-(1 + v) * h)
            newest, older = left, torch.zeros_like(left)
            if self.order == 2 and k > 0:
                older = -(h - left / (1 + v)) / (lams[k] - lams[k - 1])
                newest = left - older

            weights = torch.stack([older, newest])[1 - min(k, 1) :] * (lams[k + 1] - lams[max(0, k - 1) : k + 1]).exp()
            unused = torch.zeros(max(0, k - 1), dtype=torch.float64, device="cpu")
            rows.append(torch.cat([torch.expm1(-v * h)[None], unused, weights]) / h)

        return rows

    def stds(self, lams: Tensor) -> Tensor:
        """Standard deviation of the noise of each step, (n,)."""
        h = lams.diff()
        exact = self.etas.abs() * (2 * h * phi(1, -2 * self.etas.square() * h)).sqrt()  # no root of 0 at eta 0
        return exact * bounded(self.factors).exp()

    def method(self) -> Method:
        """The method with the present numbers."""
        with torch.no_grad():
            lams = self.levels()
            table = Table(
                tuple(tuple(check.values(row)) for row in self.rows(lams)), tuple(check.values(self.stds(lams)))
            )
        return Method(
            UnitNoise(),
            Split.FLOW,
            table,
            ExplicitGrid(tuple(check.values(lams))),
            len(lams),
        )

    def _asked(self, y: Tensor, lam: Tensor, cond: Any) -> Tensor:
        """The denoiser's answer; it is worked out again on the way back, which saves memory."""

        def answer(y: Tensor) -> Tensor:
            return self.denoiser(y, lam.exp(), torch.ones_like(lam), cond).x0

        return cast(Tensor, checkpoint(answer, y, use_reentrant=False))

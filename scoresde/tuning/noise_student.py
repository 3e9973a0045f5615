"""A stochastic method whose noise levels and noise are learned, and the distance of distributions that judges it."""

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

NOISE = "noise"  # name of the stage


@dataclass(frozen=True)
class Law:
    """The energy distance between samples and target samples, divided by the mean distance of two target samples. It is
    unbiased: for two sets of one distribution its mean is 0.

    Args:
        unit: mean distance of two target samples.
        features: distances are taken between the features of samples; None: between the samples themselves."""

    unit: float
    features: Features | None = None

    @classmethod
    def of(cls, answers: Tensor, features: Features | None) -> Law:
        """Make the distance with the unit of given target samples.

        Args:
            answers: target samples, (N, ...).
            features: distances are taken between the features of samples; None: between the samples themselves.
        """
        return cls(float(torch.pdist(_seen(answers, features)).mean()), features)

    def __call__(self, made: Tensor, answers: Tensor) -> Tensor:
        made, answers = (_seen(x, self.features) for x in (made, answers))
        n, m = len(made), len(answers)
        within = _sum(made, made) / (n * (n - 1)) + _sum(answers, answers) / (m * (m - 1))
        return (2 * _sum(made, answers) / (n * m) - within) / self.unit

    def estimate(self, made: Tensor, answers: Tensor) -> DistanceEstimate:
        """The energy distance, not divided by the unit, with its 95 % interval.

        Args:
            made: samples, (N, ...).
            answers: target samples, (M, ...).
        """
        made, answers = (_seen(x, self.features) for x in (made, answers))
        return estimate(KernelDistance(minus_distance, unbiased=True), made, answers, floor=0.0)


def _seen(x: Tensor, features: Features | None) -> Tensor:
    """The features or samples between which distances are taken, (B, d) float64."""
    return (x if features is None else features(x)).double().flatten(1)


def _sum(a: Tensor, b: Tensor) -> Tensor:
    """The sum of the distances of all pairs, differentiable."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").sum()


class NoiseStudent:
    """A stochastic Adams method with learned parameters: the gaps of its levels, and for each step eta and the
    logarithm of a factor of the noise.

    The factor compensates the variance that is lost because the prediction is held constant or linear during a step. In
    y = x/sigma, let lam be the end of the step, h its length, v = eta^2, and D the prediction of x0, constant (order 1)
    or linear in lam with slope D' (order 2). A step is

        y1 = e^{-v h} y + A D + B D' + factor (1 - e^{-2 v h})^{1/2} z,
        A = e^lam (1 - e^{-(1 + v) h}),    B = e^lam (h - (1 - e^{-(1 + v) h}) / (1 + v)).

    Order 1 is DDIM at eta 0 and ancestral sampling at eta 1; order 2 is DPM-Solver++(2M) at eta 0. Xue et al. 2023,
    arXiv:2309.05019.

    Args:
        denoiser: the model.
        lams: noise levels lam at the start, rising.
        eta: eta of every step at the start.
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
            stage: must be `NOISE`.
        """
        check.choice("stage", stage, (NOISE,))
        return self.numbers()

    def numbers(self) -> list[Tensor]:
        """All parameters."""
        return [self.gaps, self.etas, self.factors]

    def levels(self) -> Tensor:
        """The present noise levels lam, rising, (n + 1,) float64."""
        return spaced(self.lams[0], self.lams, self.gaps)

    def answer(self, pairs: Pairs) -> Tensor:
        """The samples that the method makes from the latents, differentiable in the parameters.

        Args:
            pairs: latents, (B, n + 1, ...), for the start and then for each of the n steps; and conditions.
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
        """The rows of the table on these noise levels, for slopes e^lam D."""
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
        """The sampler with the present values of the parameters."""
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
        """The prediction of x0. It is computed again in the backward pass, which saves memory."""

        def answer(y: Tensor) -> Tensor:
            return self.denoiser(y, lam.exp(), torch.ones_like(lam), cond).x0

        return cast(Tensor, checkpoint(answer, y, use_reentrant=False))

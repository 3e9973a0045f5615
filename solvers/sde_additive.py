"""Stochastic Runge-Kutta methods of strong order 3/2 for additive noise. They need no derivative of f or g.

dW = noise(t0, t1) is N(0, |h|). The space-time Levy area H ~ N(0, |h|/12) is independent of dW. The time integral of
the path's increment over the step is I_10 = |h| (dW/2 + H).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .equation import Equation, Noise
from .solver import ErrorEstimate, OneStep, Path, State, add_noise, axpy, times_noise
from .tableau import weighted


@dataclass(frozen=True)
class AdditiveTableau:
    """The coefficients of a stochastic Runge-Kutta method for additive noise.

    With J = I_10/|h|, and with g0, g1 the diffusion at both ends of the step, the method is

        Y_i = y + h sum_j a_ij k_j + (s_i1 g1 + s_i0 g0) J + (r_i g0) dW + (q_i g0) H,
        y1 = y + h sum_i b_i k_i + int g dW,

    where int g dW ~ g1 (dW - J) + g0 J is exact if g is linear in t. Let N_i be the noise of stage i at g = 1. Strong
    order 3/2 requires sum b_i N_i = J and sum b_i E N_i^2 = |h|/2 (Roessler 2010, theorem 4.8). These conditions are
    checked; if they do not hold, ValueError is raised.

    a  rows a_ij of stages 2..s
    b  weights of the stages
    n  rows (s_i1, s_i0, r_i, q_i) of stages 1..s
    e  weights of the drift error estimate, or None
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    n: tuple[tuple[float, float, float, float], ...]
    e: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        stages = [(r + (s1 + s0) / 2, q + s1 + s0) for s1, s0, r, q in self.n]  # N_i = x dW + z H
        means = (
            sum(b * x for b, (x, _) in zip(self.b, stages, strict=True)),
            sum(b * z for b, (_, z) in zip(self.b, stages, strict=True)),
        )
        square = sum(b * (x * x + z * z / 12) for b, (x, z) in zip(self.b, stages, strict=True))
        if max(abs(sum(self.b) - 1), abs(means[0] - 0.5), abs(means[1] - 1), abs(square - 0.5)) > 1e-14:
            raise ValueError(f"`n` must make sum b N = dW/2 + H and sum b E N^2 = |h|/2, got {means} and {square}")


class AdditiveRungeKutta(OneStep):
    """Abstract: a stochastic Runge-Kutta method for additive noise. A subclass gives its `tableau`."""

    tableau: ClassVar[AdditiveTableau]

    def step(
        self,
        eq: Equation,
        t0: Tensor,
        t1: Tensor,
        y: Tensor,
        state: State,
        noise: Path | None,
        w: Any,
    ) -> tuple[Tensor, Tensor | ErrorEstimate | None, State]:
        tableau = self.tableau
        h = t1 - t0
        stage = y
        k: list[Tensor] = []
        drive = None if eq.g is None or noise is None else Drive.over(eq.g(t0, y), eq.g(t1, y), *noise.levy(t0, t1))

        for row, weights in zip(((), *tableau.a), tableau.n, strict=True):
            stage = axpy(y, weighted(row, k), h) if row else y
            c = sum(row)
            stage = stage if drive is None else drive.into(stage, weights)
            k.append(eq.drift(t1 if c == 1.0 else t0 + c * h, stage))

        y1 = axpy(y, weighted(tableau.b, k), h)
        error = None if tableau.e is None or h.dim() == 0 else weighted(tableau.e, k) * h.to(y.dtype)

        if drive is None:
            return y1, error, state

        estimate = None if error is None else self.typical(error, stage - y, k, h, drive)

        return add_noise(add_noise(y1, drive.g1, drive.dw - drive.mean), drive.g0, drive.mean), estimate, state

    def typical(
        self,
        error: Tensor,
        moved: Tensor,
        k: list[Tensor],
        h: Tensor,
        drive: Drive,
    ) -> ErrorEstimate:
        """The error estimate for noise of typical size, and the stiffness estimate h |f'|.

        The difference from Euler-Maruyama is h f' (Y - y), which is proportional to the noise that was drawn. If that
        noise is small by chance, too long a step would be accepted, and accepted steps would have too little noise. So
        the difference is multiplied by the ratio of the expected to the actual RMS of Y - y, if the ratio exceeds 1.
        The other part of the error, (g1 - g0) (dW - J), is replaced by its RMS. The stiffness is estimated from the
        first and the last stage.

        Args:
            error: the difference from Euler-Maruyama for the noise drawn, like the state.
            moved: Y - y of the last stage.
            k: the drift at each stage.
            h: the signed step size, (B, 1, ..., 1).
            drive: the noise of the step.
        """

        size = h.abs().to(error.dtype)
        expected = self._expected_displacement(k, h, drive)
        actual = per_sample(moved**2).clamp(min=torch.finfo(error.dtype).tiny)
        rescaled = error * (expected / actual).sqrt().clamp(min=1.0)
        of_diffusion = times_noise((drive.g1 - drive.g0) ** 2, (size / 3).expand_as(error))
        stiffness = (per_sample(((k[-1] - k[0]) * size) ** 2) / actual).sqrt()

        return ErrorEstimate(torch.sqrt(rescaled**2 + of_diffusion), stiffness.flatten())

    def _expected_displacement(self, k: list[Tensor], h: Tensor, drive: Drive) -> Tensor:
        """E |Y - y|^2 of the last stage, a mean over the elements of each sample; the expectation is over the noise.

        Y - y = h sum a k + g (x dW + z H)."""
        s1, s0, r, q = self.tableau.n[-1]
        x = r + (s1 + s0) / 2
        z = q + s1 + s0
        drift = weighted(self.tableau.a[-1], k) * h.to(k[0].dtype)
        size = h.abs().to(k[0].dtype).expand_as(k[0])

        return per_sample(drift**2 + times_noise(drive.g1**2, (x * x + z * z / 12) * size))


def per_sample(x: Tensor) -> Tensor:
    """The mean over the elements of each sample, (B, 1, ..., 1)."""
    return x.reshape(len(x), -1).mean(1).reshape(-1, *[1] * (x.dim() - 1))


class Drive(NamedTuple):
    """The noise of one step: the diffusion at both ends, dW, H and J = dW/2 + H."""

    g0: Tensor
    g1: Tensor
    dw: Tensor
    area: Tensor
    mean: Tensor

    @classmethod
    def over(
        cls,
        g0: Tensor,
        g1: Tensor,
        dw: Tensor,
        area: Tensor,
    ) -> Drive:
        """The noise of a step from the increments of the path.

        Args:
            g0: diffusion at the start of the step.
            g1: diffusion at the end of the step.
            dw: the increment dW.
            area: the space-time Levy area H.
        """
        return cls(g0, g1, dw, area, 0.5 * dw + area)

    def into(self, y: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
        """y plus the noise of a stage.

        Args:
            y: the stage without noise, (B, ...).
            weights: (s1, s0, r, q), a row of the tableau's `n`.
        """
        for weight, g, part in zip(
            weights, (self.g1, self.g0, self.g0, self.g0), (self.mean, self.mean, self.dw, self.area), strict=True
        ):
            y = y if weight == 0.0 else add_noise(y, weight * g, part)
        return y


@dataclass(frozen=True)
class SRA1(AdditiveRungeKutta):
    """SRA1: a stochastic Runge-Kutta method of strong order 3/2 for additive noise.

        Y2 = y + 3/4 h k1 + 3/2 g(t1) J,      y1 = y + h (k1 + 2 k2)/3 + int g dW,      J = I_10/|h|.

    Weak and ODE order 2. Two evaluations. The embedded error estimate is the difference from Euler-Maruyama, of local
    order 3/2. Roessler 2010, SIAM J. Numer. Anal. 48(3), 922-952."""

    order: ClassVar[int] = 2
    strong_order: ClassVar[float | None] = 1.5
    evals: ClassVar[int] = 2
    noise: ClassVar[Noise] = Noise.ADDITIVE
    needs_levy_area: ClassVar[bool] = True
    embedded: ClassVar[float | None] = 0.5
    reference: ClassVar[str] = "Roessler 2010"
    tableau: ClassVar[AdditiveTableau] = AdditiveTableau(
        a=((3 / 4,),), b=(1 / 3, 2 / 3), n=((0.0, 0.0, 0.0, 0.0), (3 / 2, 0.0, 0.0, 0.0)), e=(-2 / 3, 2 / 3)
    )


@dataclass(frozen=True)
class SRA3(AdditiveRungeKutta):
    """SRA3: a stochastic Runge-Kutta method of strong order 3/2 for additive noise, and of order 3 for ODEs.

    Three evaluations. It is Simpson's rule with stages at the nodes 0, 1 and 1/2. Roessler 2010, SIAM J. Numer. Anal.
    48(3), 922-952."""

    order: ClassVar[int] = 3
    strong_order: ClassVar[float | None] = 1.5
    evals: ClassVar[int] = 3
    noise: ClassVar[Noise] = Noise.ADDITIVE
    needs_levy_area: ClassVar[bool] = True
    reference: ClassVar[str] = "Roessler 2010"
    tableau: ClassVar[AdditiveTableau] = AdditiveTableau(
        a=((1.0,), (1 / 4, 1 / 4)),
        b=(1 / 6, 1 / 6, 2 / 3),
        n=((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (1.0, 1 / 2, 0.0, 0.0)),
    )


@dataclass(frozen=True)
class ShARK(AdditiveRungeKutta):
    """ShARK: the shifted additive-noise Runge-Kutta method, of strong order 3/2 for additive noise.

        Y1 = y + g H,      Y2 = y + 5/6 h k1 + g (H + 5/6 dW),      y1 = y + h (2 k1 + 3 k2)/5 + int g dW.

    Weak and ODE order 2. Two evaluations. Foster, dos Reis & Strange 2024,
    arXiv:2210.17543, "High order splitting methods for SDEs satisfying a commutativity condition"."""

    order: ClassVar[int] = 2
    strong_order: ClassVar[float | None] = 1.5
    evals: ClassVar[int] = 2
    noise: ClassVar[Noise] = Noise.ADDITIVE
    needs_levy_area: ClassVar[bool] = True
    reference: ClassVar[str] = "Foster, dos Reis & Strange 2024"
    tableau: ClassVar[AdditiveTableau] = AdditiveTableau(
        a=((5 / 6,),), b=(2 / 5, 3 / 5), n=((0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 5 / 6, 1.0))
    )

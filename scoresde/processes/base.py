"""Forward processes x = alpha(t) x0 + sigma(t) eps, as linear SDEs dx = f x dt + g dw.

    f = alpha'/alpha,   g^2 = (sigma^2)' - 2 f sigma^2 = -2 lam' sigma^2,   lam = log(alpha/sigma), half the log-SNR.

The time variables of samplers are processes too: along EDM, LogSNR or Angle the same model is integrated in another
time variable and scale. `g2` is signed: it is negative where t runs toward data. Times are plain numbers or tensors,
0-d, (B,) or (B, 1, ..., 1). A plain number becomes a 0-d float64 tensor, which never promotes a state. Song et al.
2021, arXiv:2011.13456; Kingma et al. 2021, arXiv:2107.00630.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from solvers import Equation, Noise, SeededNoise, check
from solvers.counting import checked
from solvers.noise import PRIOR

from .coefficients import as_time, like
from .coefficients import check_range as check_range
from .coefficients import widened as widened

ScoreFunction = Callable[[Tensor, Tensor], Tensor]  # (x, t) -> tensor like x
Rates = tuple[float | None, float | None]


class ScoreModel(nn.Module, ABC):
    """Abstract: a model that gives the score along any process, as denoisers do."""

    @abstractmethod
    def score(self, process: Process) -> ScoreFunction:
        """The callable (x, t) -> score along `process`."""


class Process(ABC):
    """Abstract process. A subclass defines the abstract methods; everything else is derived from them.

    t_min, t_max     the range of t
    t_noise, t_data  the noisy and the clean end of this range: the same two times"""

    t_min: float
    t_max: float
    t_noise: float
    t_data: float

    @abstractmethod
    def log_alpha(self, t: Any) -> Tensor:
        """log alpha(t)."""

    @abstractmethod
    def log_sigma(self, t: Any) -> Tensor:
        """log sigma(t)."""

    @abstractmethod
    def alpha_rate(self, t: Any) -> Tensor:
        """d alpha / dt."""

    @abstractmethod
    def variance_rate(self, t: Any) -> Tensor:
        """d sigma^2 / dt. It is finite even where d sigma / dt is infinite, as for sigma = sqrt t at 0."""

    @abstractmethod
    def time(self, lam: Any) -> Tensor:
        """The t at which log(alpha/sigma) = lam."""

    @abstractmethod
    def constant_rates(self) -> Rates:
        """alpha'/alpha and sigma'/sigma, or None for a rate that is not constant in t. Exponential solvers integrate a
        constant rate exactly."""

    def alpha(self, t: Any) -> Tensor:
        """Signal coefficient."""
        return widened(self.log_alpha, t)

    def sigma(self, t: Any) -> Tensor:
        """Noise coefficient: the standard deviation of the noise."""
        return widened(self.log_sigma, t)

    def lam(self, t: Any) -> Tensor:
        """Half the log signal-to-noise ratio, log(alpha/sigma)."""
        return self.log_alpha(t) - self.log_sigma(t)

    def beta(self, t: Any) -> Tensor:
        """-2 alpha'/alpha, the rate beta of a variance-preserving process."""
        return -2 * self.alpha_rate(t) / self.alpha(t)

    def sigma_rate(self, t: Any) -> Tensor:
        """d sigma / dt."""
        return 0.5 * self.variance_rate(t) / self.sigma(t)

    def g2(self, t: Any) -> Tensor:
        """Signed squared diffusion, (sigma^2)' - 2 f sigma^2. It is defined at t = 0 if alpha is 1 there."""
        return self.variance_rate(t) - 2 * self.sigma(t) ** 2 * self.alpha_rate(t) / self.alpha(t)

    def diffusion(self, t: Any) -> Tensor:
        """sqrt|g^2(t)|."""
        return self.g2(t).abs().sqrt()

    def drift(self, x: Tensor, t: Any) -> Tensor:
        """f(t) x = (alpha'/alpha) x.

        Args:
            x: states or samples, (B, ...).
            t: times of the process, a number, 0-d or (B,).
        """
        return x * like(self.alpha_rate(t) / self.alpha(t), x)

    def perturb(self, x0: Tensor, t: Any, eps: Tensor) -> Tensor:
        """A noisy sample at time t, for given x0: alpha(t) x0 + sigma(t) eps.

        Args:
            x0: clean samples, (B, ...).
            t: times of the process, a number, 0-d or (B,).
            eps: standard normals, shaped like the samples.
        """
        check.state("x0", x0)
        t = self.inside(t)
        check.floating("eps", eps)
        wanted, got = (f"{tuple(v.shape)} {v.dtype} on {v.device}" for v in (x0, eps))
        if wanted != got:
            raise ValueError(f"`eps` must be like x0, {wanted}, got {got}")

        return x0 * like(self.alpha(t), x0) + eps * like(self.sigma(t), x0)

    def prior(
        self,
        shape: Sequence[int],
        t: Any = None,
        seed: int = 0,
        *,
        first: int = 0,
        dtype: torch.dtype | None = None,
        device: Any = None,
    ) -> Tensor:
        """Draw samples from N(0, sigma(t)^2 I). Sample i depends on (seed, first + i) alone.

        Args:
            shape: shape of the samples to draw, (B, ...).
            t: a time of the process; None: its noisy end.
            seed: seed of the noise.
            first: index of the first sample.
            dtype: dtype of the samples; None: torch's default.
            device: device of the samples; None: the CPU.
        """
        check.shape("shape", shape)
        dtype = torch.get_default_dtype() if dtype is None else dtype
        z = SeededNoise(seed, first).normal(PRIOR, range(1), shape, dtype, "cpu" if device is None else device)[0]

        return z * like(self.sigma(self.inside(self.t_noise if t is None else t)), z)

    def prior_log_prob(self, x: Tensor, t: Any = None) -> Tensor:
        """log N(x; 0, sigma(t)^2 I) in nats, (B,).

        Args:
            x: states or samples, (B, ...).
            t: times of the process, a number, 0-d or (B,); None: its noisy end.
        """
        log_sigma = like(self.log_sigma(self.inside(self.t_noise if t is None else t)), x)
        each = -0.5 * (x * torch.exp(-log_sigma)) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)
        return each.reshape(len(x), -1).sum(1)

    def forward(self) -> Equation:
        """The forward SDE dx = f x dt + g dw, toward noise."""
        return _score_equation(self, None, 0.0, 1.0, self._sign)

    def noising(self, score: ScoreFunction | ScoreModel, eta: float = 1.0) -> Equation:
        """dx = [f x - (1 - eta^2)/2 g^2 score] dt + eta g dw toward noise. At every eta its marginals are those of
        `forward`.

        Args:
            score: a function (x, t) -> score, or a denoiser.
            eta: amount of noise in the equation: 0 is the probability flow, 1 the forward SDE.
        """
        return _score_equation(self, score, (1 - check.number("eta", eta, least=0.0) ** 2) / 2, eta, self._sign)

    def reverse(self, score: ScoreFunction | ScoreModel, eta: float = 1.0) -> Equation:
        """dx = [f x - (1 + eta^2)/2 g^2 score] dt + eta g dw toward data.

        Args:
            score: a function (x, t) -> score, or a denoiser.
            eta: amount of noise in the equation: 0 is the probability flow, 1 the reverse SDE (Anderson 1982).
        """
        return _score_equation(self, score, (1 + check.number("eta", eta, least=0.0) ** 2) / 2, eta, -self._sign)

    def probability_flow(self, score: ScoreFunction | ScoreModel) -> Equation:
        """The probability-flow ODE dx = [f x - g^2 score / 2] dt, in either direction of time."""
        return self.reverse(score, 0.0)

    def inside(self, t: Any, name: str = "t") -> Tensor:
        """t as a tensor. Raises ValueError naming the argument if t is outside [t_min, t_max].

        Args:
            t: a number, or a floating tensor of any shape.
            name: name of the argument, for the error.
        """
        t = as_time(t, name)
        if not bool(((t >= self.t_min) & (t <= self.t_max)).all()):
            worst = t.detach().reshape(-1)[((t < self.t_min) | (t > self.t_max) | t.isnan()).reshape(-1)][0].item()
            raise ValueError(
                f"`{name}` must lie in [{self.t_min:g}, {self.t_max:g}], the range of {self!r}, got {worst!r}"
            )

        return t

    @property
    def _sign(self) -> int:
        return 1 if self.t_noise > self.t_data else -1


class TowardNoise(Process):
    """Abstract: t grows with the noise."""

    @property
    def t_noise(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The noisy end."""
        return self.t_max

    @property
    def t_data(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The clean end."""
        return self.t_min


class TowardData(Process):
    """Abstract: t grows toward data."""

    @property
    def t_min(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The noisy end."""
        return self.t_noise

    @property
    def t_max(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The clean end."""
        return self.t_data


def _score_equation(
    process: Process,
    score: ScoreFunction | ScoreModel | None,
    weight: float,
    eta: float,
    toward: int,
) -> Equation:
    """dx = [f x - weight g^2 score] dt + eta g dW in the time of the process. With a score, the equation is limited to
    the range of the process."""

    if isinstance(score, ScoreModel):
        score = score.score(process)

    if score is not None:
        check.takes("score", score, 2, "(x, t) -> tensor like x, or a Denoiser")

    weights = next(score.parameters(), None) if isinstance(score, nn.Module) else None
    within = None if score is None else (process.t_min, process.t_max)

    def turned(t: Tensor, x: Tensor) -> Tensor:
        assert score is not None
        return score(x, t)

    def drift(t: Tensor, x: Tensor) -> Tensor:
        if score is None or weight == 0.0:
            return process.drift(x, t)
        if weights is not None and weights.dtype != x.dtype:
            raise TypeError(
                f"`x` must have the dtype of the score's weights, {weights.dtype}, got {x.dtype}; cast one of"
                " them, or wrap it in a Denoiser"
            )

        given = t if t.dim() == 0 else t.to(x.dtype)
        s = checked("score", turned, given, x, exact=True)
        return process.drift(x, t) - s * like(weight * process.g2(t), x)

    def diffusion(t: Tensor, x: Tensor) -> Tensor:
        return like(eta * process.diffusion(t), x)

    if eta == 0.0:
        return Equation(drift, time_range=within)
    return Equation(drift, diffusion, noise=Noise.ADDITIVE, direction=toward, time_range=within)

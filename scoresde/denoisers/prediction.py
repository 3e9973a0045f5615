"""The answer of a denoiser, which can be read as x0, eps, v, score or velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..processes.coefficients import like
from .parameterisations import Pair, V

_ANGULAR = V()


@dataclass(frozen=True)
class Prediction:
    """The answer of a denoiser for x: .x0 .eps .score .v .velocity, all shaped like x. Each is computed when it is
    read.

    x0, eps, v and velocity do not change when x, alpha and sigma are multiplied by one number. score = -eps/sigma
    belongs to the x and sigma of the call. v = (alpha eps - sigma x0)/hypot(alpha, sigma); velocity = eps - x0. Raises
    ValueError where one of them is singular. variance_logit (`LearnedRange`) gives the variance of reverse steps,
    element by element; None: the network predicts no variance."""

    x: Tensor
    out: Tensor
    alpha: Tensor
    sigma: Tensor
    to_x0: Pair
    to_eps: Pair
    variance_logit: Tensor | None = None

    @classmethod
    def of_v(
        cls,
        x: Tensor,
        v: Tensor,
        alpha: Tensor,
        sigma: Tensor,
    ) -> Prediction:
        """The prediction with a given angular velocity v, which is regular at all noise levels.

        Args:
            x: the noisy state, (B, ...).
            v: (alpha eps - sigma x0)/hypot(alpha, sigma), shaped like x.
            alpha: signal coefficient, 0-d or one per sample.
            sigma: noise coefficient, 0-d or one per sample.
        """
        return cls(
            x,
            v,
            alpha,
            sigma,
            _ANGULAR.to_x0(alpha, sigma),
            _ANGULAR.to_eps(alpha, sigma),
        )

    def rows(self, index: slice) -> Prediction:
        """The prediction for some of the samples."""

        def some(c: Tensor | float) -> Tensor | float:
            return c[index] if isinstance(c, Tensor) and c.dim() else c

        spread = self.variance_logit
        return Prediction(
            self.x[index],
            self.out[index],
            self.alpha[index] if self.alpha.dim() else self.alpha,
            self.sigma[index] if self.sigma.dim() else self.sigma,
            (some(self.to_x0[0]), some(self.to_x0[1])),
            (some(self.to_eps[0]), some(self.to_eps[1])),
            None if spread is None else spread[index],
        )

    def shifted(self, delta: Tensor) -> Prediction:
        """The prediction x0 + delta for the same x; its eps is lower by (alpha/sigma) delta.

        Args:
            delta: added to x0, shaped like x0.
        """
        r = (self.alpha**2 + self.sigma**2).sqrt()
        return Prediction.of_v(self.x, self.v - delta * like(r / self.sigma, self.x), self.alpha, self.sigma)

    def combine(
        self,
        x: Tensor | float = 0.0,
        x0: Tensor | float = 0.0,
        eps: Tensor | float = 0.0,
    ) -> Tensor:
        """A linear combination of x, x0 and eps, computed as a combination of x and the network's output.

        Args:
            x: weight of x.
            x0: weight of x0; a plain 0.0 leaves its term out.
            eps: weight of eps; a plain 0.0 leaves its term out.

        Returns:
            x x_t + x0 x0_t + eps eps_t, shaped like the state.
        """
        on_x = x
        on_out = 0.0

        for weight, (keep, scale), name in ((x0, self.to_x0, "x0"), (eps, self.to_eps, "eps")):
            if isinstance(weight, Tensor) or weight != 0.0:
                _check_finite(name, keep, scale)
                on_x = on_x + weight * keep
                on_out = on_out + weight * scale

        total = self.out * self._cast(on_out)

        return total if isinstance(on_x, float) and on_x == 0.0 else total + self.x * self._cast(on_x)

    def _cast(self, c: Tensor | float) -> Tensor | float:
        return like(c, self.x) if isinstance(c, Tensor) else c

    @property
    def x0(self) -> Tensor:
        """The predicted clean sample, E[x0 | x]."""
        return self.combine(x0=1.0)

    @property
    def eps(self) -> Tensor:
        """The predicted noise, E[eps | x]."""
        return self.combine(eps=1.0)

    @property
    def score(self) -> Tensor:
        """The score, grad log p(x) = -eps/sigma."""
        _check_finite("score", 1 / self.sigma)
        return self.combine(eps=-1 / self.sigma)

    @property
    def v(self) -> Tensor:
        """The angular velocity, (alpha eps - sigma x0)/hypot(alpha, sigma)."""
        r = (self.alpha**2 + self.sigma**2).sqrt()
        return self.combine(x0=-self.sigma / r, eps=self.alpha / r)

    @property
    def velocity(self) -> Tensor:
        """The velocity of the straight path from x0 to eps, eps - x0."""
        return self.combine(x0=-1.0, eps=1.0)


def _check_finite(name: str, *coefficients: Tensor | float) -> None:
    for c in coefficients:
        known = not isinstance(c, Tensor) or (c.device.type == "cpu" and not torch.compiler.is_compiling())
        if known and not (bool(c.isfinite().all()) if isinstance(c, Tensor) else math.isfinite(c)):
            raise ValueError(
                f"`{name}` cannot be computed at alpha = 0 or sigma = 0 from this parameterisation; end the grid"
                " earlier or use V"
            )


def require_variance(prediction: Prediction) -> Tensor:
    """The variance logit of a prediction. Raises ValueError naming `denoiser` if there is none."""
    if prediction.variance_logit is None:
        raise ValueError(
            "`denoiser` must predict variances: table = LearnedRange(Eps()), network.variance = true in a configuration"
        )
    return prediction.variance_logit

"""What a denoiser answers, read as x0, eps, v, score or velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..processes.coefficients import like
from .parameterisations import Pair


@dataclass(frozen=True)
class Prediction:
    """What a denoiser says of x, lazily: .x0 .eps .score .v .velocity, all shaped like x.

    x0, eps, v and velocity do not change when (x, alpha, sigma) are scaled together; score = -eps/sigma is that of the
    frame of the call; v = (alpha eps - sigma x0)/hypot(alpha, sigma); velocity = eps - x0. Raises ValueError where one
    is singular. spread (`LearnedRange`) says how wide reverse steps are, element by element; None: the network does
    not."""

    x: Tensor
    out: Tensor
    alpha: Tensor
    sigma: Tensor
    to_x0: Pair
    to_eps: Pair
    spread: Tensor | None = None

    def mix(self, c: Tensor | float, p: Tensor | float, q: Tensor | float) -> Tensor:
        """c x + p x0 + q eps, as one combination of x and the network's output; a plain 0.0 leaves its term out."""
        on_x = c
        on_out = 0.0

        for weight, (keep, scale), name in ((p, self.to_x0, "x0"), (q, self.to_eps, "eps")):
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
        """E[x0 | x]."""
        return self.mix(0.0, 1.0, 0.0)

    @property
    def eps(self) -> Tensor:
        """E[eps | x]."""
        return self.mix(0.0, 0.0, 1.0)

    @property
    def score(self) -> Tensor:
        """grad log p(x)."""
        _check_finite("score", 1 / self.sigma)
        return self.mix(0.0, 0.0, -1 / self.sigma)

    @property
    def v(self) -> Tensor:
        """The angular velocity."""
        r = (self.alpha**2 + self.sigma**2).sqrt()
        return self.mix(0.0, -self.sigma / r, self.alpha / r)

    @property
    def velocity(self) -> Tensor:
        """eps - x0, the velocity of the straight path."""
        return self.mix(0.0, -1.0, 1.0)


def _check_finite(name: str, *coefficients: Tensor | float) -> None:
    for c in coefficients:
        known = not isinstance(c, Tensor) or (c.device.type == "cpu" and not torch.compiler.is_compiling())
        if known and not (bool(c.isfinite().all()) if isinstance(c, Tensor) else math.isfinite(c)):
            raise ValueError(
                f"`{name}` must not be asked here: it is singular at alpha = 0 or sigma = 0 in this"
                " parameterisation; stop short of it, or use V"
            )


def require_variance(prediction: Prediction) -> Tensor:
    """Its spread. Raises ValueError naming `denoiser` where there is none."""
    if prediction.spread is None:
        raise ValueError(
            "`denoiser` must predict variances: table = LearnedRange(Eps()), network.variance = true in a configuration"
        )
    return prediction.spread

"""The loss of a classifier of noisy samples, which is given the noise level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..processes.coefficients import as_time
from .losses import Loss
from .noised import noised


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """-log p(label | x) of a `NoisyClassifier` at the drawn noise levels, in nats per sample."""

    per_element: ClassVar[bool] = False

    def __call__(
        self,
        denoiser: Any,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        cond: Any = None,
    ) -> Tensor:
        x, alpha, sigma = noised(denoiser.process, x0, as_time(t), eps)
        return -denoiser.log_prob(x, alpha, sigma, cond)

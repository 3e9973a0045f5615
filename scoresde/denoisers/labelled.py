"""A class-conditional denoiser in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..networks.labels import NO_LABEL, indices
from .denoiser import BaseDenoiser
from .mixture import GaussianMixture
from .moments import Moments
from .prediction import Prediction


class Labelled(BaseDenoiser):
    """A class-conditional denoiser in closed form. With a label, the data are the components that have it; without a
    label, all components.

    Args:
        mixture: the data of all classes.
        labels: label of each component, (K,) int64, at least 0.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(self, mixture: GaussianMixture, labels: Tensor):
        super().__init__()

        if not isinstance(mixture, GaussianMixture):
            raise TypeError(f"`mixture` must be a GaussianMixture, got {type(mixture).__name__}")

        count = len(mixture.means)
        if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (count,):
            raise TypeError(f"`labels` must be a tensor of int64 of shape ({count},), one a component, got {labels!r}")
        if not bool((labels >= 0).all()):
            raise ValueError(f"`labels` must be at least 0, got {labels.tolist()}")

        self.process = mixture.process
        self.mixture = mixture
        self.labels: Tensor
        self.register_buffer("labels", labels)
        self.classes = int(labels.max()) + 1

    @property
    def moments(self) -> Moments:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The moments of all classes together."""
        return self.mixture.moments

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        if cond is None:
            return self.mixture(x, alpha, sigma)

        indices(cond, len(x), self.classes, x.device)  # raises if they are not labels
        other = (self.labels != cond.unsqueeze(1)) & (cond.unsqueeze(1) != NO_LABEL)
        return self.mixture.weighted(x, alpha, sigma, self.mixture.log_weights.masked_fill(other, -math.inf))

    def of(self, label: int) -> GaussianMixture:
        """The data of one class.

        Args:
            label: in [0, classes).

        Raises:
            ValueError: if no component has this label.
        """
        mine = self.labels == check.integer("label", label, least=0)
        if not bool(mine.any()):
            raise ValueError(f"`label` must be one of {sorted(set(self.labels.tolist()))}, got {label}")

        whole = self.mixture
        spread = whole.variances if whole.basis is None else whole.covariances()
        some = spread[mine] if len(spread) == len(mine) else spread

        return GaussianMixture(
            whole.means[mine],
            some.expand(int(mine.sum()), -1) if some.dim() == 2 else some,
            whole.log_weights[mine].exp(),
            whole.process,
        )

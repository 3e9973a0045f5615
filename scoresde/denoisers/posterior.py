"""The posterior of a linear measurement in closed form, which is itself a denoiser."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from .gaussian import Gaussian
from .mixture import GaussianMixture


class LinearMeasurement(Protocol):
    """A measurement y = A x0 + std eta, such as `inverse.Measurement`."""

    y: Tensor
    std: float

    def matrix(self, d: int) -> Tensor:
        """A, (m, d) float64. Raises ValueError if the operator is not linear."""
        ...


def posterior(prior: Gaussian | GaussianMixture, measurement: LinearMeasurement) -> GaussianMixture:
    """The distribution of x0 given y = A x0 + s eta. The prior of x0 is a Gaussian or a mixture; the posterior is a
    mixture.

        S_k = A V_k A' + s^2 I,    w_k <- w_k N(y; A m_k, S_k),
        m_k <- m_k + V_k A' S_k^-1 (y - A m_k),    V_k <- V_k - V_k A' S_k^-1 A V_k.

    Components whose weight is 0 to rounding are left out.

    Args:
        prior: the distribution of x0.
        measurement: a linear measurement, with a single y.

    Returns:
        The posterior. It is a denoiser, and has a log density and samples.

    Raises:
        TypeError: if `prior` is not one of these, or `measurement` is not a measurement.
        ValueError: if `measurement` is not linear, does not fit, or has std 0 and an operator without full rank.
    """

    if isinstance(prior, Gaussian):
        mean, covariance = prior.law()
        prior = GaussianMixture(mean[None], covariance[None], process=prior.process)
    elif not isinstance(prior, GaussianMixture):
        raise TypeError(f"`prior` must be a Gaussian or a GaussianMixture, got {type(prior).__name__}")

    if not callable(getattr(measurement, "matrix", None)):
        raise TypeError(f"`measurement` must be an inverse.Measurement, got {type(measurement).__name__}")

    means = prior.means
    a = measurement.matrix(means.shape[1]).to(means)
    y = measurement.y.reshape(-1).to(means)
    if len(y) != len(a):
        raise ValueError(f"`measurement` must have a y of {len(a)} numbers, as its operator makes, got {len(y)}")

    v = prior.covariances()
    va = v @ a.T  # (K, d, m), or (1, d, m)
    s = a @ va + measurement.std**2 * torch.eye(len(a), dtype=a.dtype, device=a.device)
    root, failed = torch.linalg.cholesky_ex(s)
    if bool(failed.any()):
        raise ValueError(
            f"`measurement` must have a std above 0 where the operator lacks full rank, got {measurement.std}"
        )

    apart = y - means @ a.T  # (K, m)
    white = torch.linalg.solve_triangular(root, apart.unsqueeze(-1), upper=False).squeeze(-1)
    gain = torch.cholesky_solve(va.mT, root).mT  # V A' S^-1
    log_det = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_weights = prior.log_weights - 0.5 * white.square().sum(-1) - log_det
    weights = log_weights.softmax(0)
    kept = weights > math.exp(-700)
    moved = means + (gain @ apart.unsqueeze(-1)).squeeze(-1)
    left = v - gain @ va.mT
    left = (left + left.mT) / 2

    return GaussianMixture(
        moved[kept],
        left[kept] if len(left) == len(kept) else left,
        weights[kept],
        prior.process,
    )

"""Inverse problems whose posterior is known, for `benchmarks.posterior_audit`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scoresde import data, exact, inverse

F64 = torch.float64


class Problem(NamedTuple):
    """A prior, a measurement of a truth drawn from it, and 1000 and again 1000 draws of the posterior."""

    prior: exact.Gaussian | exact.GaussianMixture
    measurement: inverse.Measurement
    truth: Tensor
    exact: tuple[Tensor, Tensor]


def known(prior: exact.Gaussian | exact.GaussianMixture, measurement: inverse.Measurement, truth: Tensor) -> Problem:
    """A linear problem: its posterior in closed form."""
    posterior = exact.posterior(prior, measurement)
    return Problem(prior, measurement, truth, (posterior.sample(1000, seed=1), posterior.sample(1000, seed=2)))


def mixture(d_x: int, d_y: int, seed: int) -> Problem:
    """The 25 Gaussians of Cardoso et al. 2023, arXiv:2308.07983, as the paper draws them."""
    generator = torch.Generator().manual_seed(seed)
    centres = [(8.0 * i, 8.0 * j) for i in range(-2, 3) for j in range(-2, 3)]
    means = torch.tensor([list(centre) * (d_x // 2) for centre in centres], dtype=F64)
    prior = exact.GaussianMixture(means, 1.0, torch.rand(25, generator=generator, dtype=F64) + 1e-3)
    u, _, v = torch.linalg.svd(torch.randn(d_y, d_x, generator=generator, dtype=F64), full_matrices=False)
    values = torch.rand(d_y, generator=generator, dtype=F64).sort(descending=True).values
    a = (u * values) @ v
    std = float(torch.rand((), generator=generator, dtype=F64) * values.max())
    x = prior.sample(1, seed=seed + 1000)[0]
    y = a @ x + std * torch.randn(d_y, generator=generator, dtype=F64)

    return known(prior, inverse.Measurement(inverse.Matrix(a), y, std), x)


def series(std: float, seed: int, d: int = 48) -> Problem:
    """A smooth series with a Gaussian-process prior, seen at a quarter of its times."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.arange(d, dtype=F64)
    cov = torch.exp(-0.5 * ((at[:, None] - at) / 6) ** 2) + 1e-4 * torch.eye(d, dtype=F64)
    prior = exact.Gaussian(torch.zeros(d, dtype=F64), cov)
    mask = torch.zeros(d, dtype=torch.bool)
    mask[torch.randperm(d, generator=generator)[: d // 4]] = True
    x = prior.sample(1, seed=seed + 1000)[0]
    y = x[mask] + std * torch.randn(d // 4, generator=generator, dtype=F64)

    return known(prior, inverse.Measurement(inverse.Mask(mask), y, std), x)


def ring(seed: int, std: float = 0.1) -> Problem:
    """The distance from the origin of a point of four Gaussians; its posterior by weighing 400 000 draws of the
    prior."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.tensor([[1.5, 0.5], [-1.0, 1.2], [-0.8, -1.3], [1.0, -1.4]], dtype=F64)
    prior = exact.GaussianMixture(means, 0.25)
    x = prior.sample(1, seed=seed + 1000)[0]
    y = x.norm()[None] + std * torch.randn(1, generator=generator, dtype=F64)
    measurement = inverse.Measurement(inverse.Function(lambda z: z.norm(dim=1, keepdim=True)), y, std)
    drawn = prior.sample(400_000, seed=seed + 2000)
    weights = measurement.log_prob(drawn).softmax(0)
    first, second = drawn[torch.multinomial(weights, 2000, replacement=True, generator=generator)].split(1000)

    return Problem(prior, measurement, x, (first, second))


def digits(kind: str, seed: int, std: float = 0.1, width: float = 0.15) -> Problem:
    """A digit that is hidden below or blurred, the prior being the other digits, each a Gaussian: the exact denoiser of
    that empirical law.

    Args:
        kind: "hidden" or "blurred".
        seed: of the digit and of the noise.
        std: of the measurement.
        width: standard deviation of each Gaussian of the prior.
    """

    generator = torch.Generator().manual_seed(seed)
    images = data.digits().x.double()
    prior = exact.Empirical(images.flatten(1), width)
    x = prior.sample(1, seed=seed + 1000)[0]

    if kind == "hidden":
        mask = torch.ones(8, 8, dtype=torch.bool)
        mask[4:] = False
        operator: inverse.Operator = inverse.Mask(mask.flatten())
    else:
        operator = _blur()

    clean = operator.forward(x[None])[0]
    y = clean + std * torch.randn(clean.shape, generator=generator, dtype=F64)

    return known(prior, inverse.Measurement(operator, y, std), x)


def _blur(sigma: float = 1.0) -> inverse.Matrix:
    """A circular Gaussian blur of 8 x 8 images taken as vectors."""
    at = torch.arange(-2, 3, dtype=F64)
    row = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = torch.outer(row, row)
    eye = torch.eye(64, dtype=F64).reshape(64, 1, 8, 8)
    return inverse.Matrix(inverse.Blur(kernel / kernel.sum()).forward(eye).reshape(64, 64).T)

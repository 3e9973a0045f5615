"""The law of an affine sampler, without samples: what it makes of no noise, and of each normal it draws by itself.

On a Gaussian prior every linear posterior sampler but `dps`, whose step is normalised, is an affine function of its
normals. One run of a batch that holds an impulse in each row gives its mean and covariance to rounding.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.posterior_methods import CHAINS, LED, Draw
from benchmarks.posterior_problems import Problem, series
from scoresde import exact
from scoresde.evaluation.judge import frechet_gaussian
from solvers import SeededNoise

AFFINE: dict[str, Draw] = {name: draw for name, draw in {**LED, **CHAINS}.items() if name != "dps"}


class Impulses:
    """Normals in place of a seed's: zeros, but for one 1 in each row after the first.

    Args:
        offsets: where the normals of each draw, by stream and step, begin among all of them; None: only count.
    """

    def __init__(self, offsets: dict[tuple[int, int], int] | None = None):
        self.offsets = offsets
        self.sizes: dict[tuple[int, int], int] = {}

    def normal(self, stream: int, steps: Any, shape: Any, dtype: Any = torch.float64, device: Any = "cpu") -> Tensor:
        """As `SeededNoise.normal`: (steps, B, ...)."""
        size = torch.Size(shape[1:]).numel()
        drawn = torch.zeros(len(steps), *shape, dtype=dtype, device="cpu")
        if shape[0] == 1:  # the dot test of an operator, which is no part of the sampler
            return torch.ones_like(drawn)

        for i, step in enumerate(steps):
            self.sizes[stream, step] = size
            if self.offsets is not None:
                first = 1 + self.offsets[stream, step]
                drawn[i].flatten(1)[first : first + size] = torch.eye(size, dtype=dtype)

        return drawn


@contextmanager
def instead_of_normals(made: Impulses) -> Generator[None]:
    """Every normal of a seed comes from `made`."""

    def normal(self: SeededNoise, *args: Any, **options: Any) -> Tensor:
        return made.normal(*args, **options)

    with mock.patch.object(SeededNoise, "normal", normal):
        yield


def law(draw: Draw, problem: Problem, calls: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of what a sampler draws."""
    d = len(problem.truth)
    count = Impulses()
    with instead_of_normals(count):
        draw(problem.prior, problem.measurement, (2, d), calls)

    offsets: dict[tuple[int, int], int] = {}
    total = 0
    for key, size in count.sizes.items():
        offsets[key] = total
        total += size

    with instead_of_normals(Impulses(offsets)):
        x = draw(problem.prior, problem.measurement, (1 + total, d), calls)

    columns = x[1:] - x[0]
    return x[0], columns.T @ columns


def laws(methods: dict[str, Draw], calls: int = 100, d: int = 24) -> list[dict[str, Any]]:
    """W2 from the posterior over the posterior's own size, of a smooth series seen precisely and roughly."""
    rows: list[dict[str, Any]] = []

    for name, draw in methods.items():
        row: dict[str, Any] = {"method": name}
        for std in (0.1, 1.0):
            problem = series(std, 0, d)
            posterior = exact.posterior(problem.prior, problem.measurement)
            cov = posterior.covariances()[0]
            mean, made = law(draw, problem, calls)
            w2 = max(0.0, frechet_gaussian(mean, made, posterior.means[0], cov)) ** 0.5
            size = float(cov.trace()) ** 0.5
            row[f"W2, std {std:g}"] = w2 / size
            row[f"variance, std {std:g}"] = float(made.trace() / cov.trace())
        rows.append(row)

    return rows

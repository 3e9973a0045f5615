"""A trained run as a problem, and where the error of its samples comes from."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..denoiser import BaseDenoiser, Prediction, V
from ..exact import Empirical
from ..process import Process
from ..runs import load
from ..times import as_time, like
from .entries import entry
from .problems import Problem, rms


def of_run(folder: Path, device: str = "cpu", n: int = 64) -> Problem:
    """The model of a run, over the noise levels it was trained on; exact samples are its data. The reference is good to float32."""
    trained = load(folder, device)
    process, data = trained.config.process, trained.config.dataset().x.double()
    high, low = (math.exp(-float(process.lam(t))) for t in (process.t_noise, process.t_data))

    def draw(count: int, seed: int) -> Tensor:
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        return data[order[:count]]

    judged = min(500, len(data) // 2)
    return Problem(str(folder), trained.denoiser, trained.shape, n, draw, high=high, low=low, tolerance=1e-6, judged=judged)


class Perturbed(BaseDenoiser):
    """A denoiser that errs smoothly: D + size sin(x / r), r = hypot(alpha, sigma); homogeneous, as every denoiser is."""

    def __init__(self, exact: BaseDenoiser, size: float):
        super().__init__()
        self.process: Process | None = exact.process
        self.exact, self.size = exact, size

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any = None) -> Prediction:
        alpha, sigma = as_time(alpha, "alpha"), as_time(sigma, "sigma")
        r = (alpha**2 + sigma**2).sqrt()
        # x0 + e at the same x is v - (r / sigma) e
        v = self.exact(x, alpha, sigma, cond).v - (x * like(1 / r, x)).sin() * like(self.size * r / sigma, x)
        table = V()
        return Prediction(x, v, alpha, sigma, table.to_x0(alpha, sigma), table.to_eps(alpha, sigma))


def perturbed(problem: Problem, size: float) -> Problem:
    """The same problem for a model whose denoiser errs by `size`."""
    return replace(problem, denoiser=Perturbed(problem.denoiser, check.number("score_error", size, above=0.0)), flow=None)


def ideal(folder: Path, std: float) -> BaseDenoiser:
    """The denoiser that a run's training set defines, each point a Gaussian of `std`: what the score part of its error is taken against."""
    trained = load(folder)
    data = trained.config.dataset().split(trained.config.data.held_out)[0]
    return Empirical(data.x.double(), std)


def split(problem: Problem, exact: BaseDenoiser, method: str, cost: float, seed: int = 0) -> dict[str, float]:
    """Parts of a deterministic method's error at one cost, each an RMS distance per dimension between states from shared draws.

    discretisation  the method against the converged flow of the same model
    score           the converged flow of the model against that of the exact denoiser
    prior           the exact flow from high z against that from x0 + high z: what a finite first level leaves out
    monte_carlo     the change of the mean and of the covariance's root that n samples leave: std / sqrt(n), over dimensions
    """
    x, twin = problem.start(seed), replace(problem, denoiser=exact)
    solve = entry(method).bind(cost)
    assert solve is not None
    assert problem.draw is not None
    learned, _ = problem.reference(seed)
    truth, _ = twin.reference(seed)
    data = problem.draw(len(x), seed + 2000)
    shifted = twin.carry(x + data.reshape(x.shape), problem.tolerance)
    return {
        "discretisation": rms(solve(problem, x, seed) - learned),
        "score": rms(learned - truth),
        "prior": rms(shifted - truth),
        "monte_carlo": truth.flatten(1).std(0).square().mean().sqrt().item() / len(x) ** 0.5,
    }

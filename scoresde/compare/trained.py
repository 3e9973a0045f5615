"""A trained run as a problem, and the parts of the error of its samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.exact import Empirical
from ..denoisers.prediction import Prediction
from ..interop import models
from ..processes.base import Process
from ..processes.coefficients import as_time, like
from ..runs import dataset, load
from ..samplers.ranges import NEARLY_NOISE
from ..samplers.recommend import estimated
from ..storage.files import CheckpointError
from .competitors import entry
from .problems import Problem, rms


def of_folder(folder: Path | str, device: str = "cpu", n: int = 64) -> Problem:
    """The model of a run or a pipeline as a problem, over the noise levels of its training.

    Exact samples are the data of the run, if they are known. The reference solve takes 100 Heun steps.

    Args:
        folder: folder of the run or the pipeline.
        device: device of the model.
        n: number of start states.

    Raises:
        CheckpointError: if the folder cannot be loaded, or if the model needs a class label or a low-resolution image
            with every sample.
    """

    model = models.load(folder, device)
    process = model.denoiser.process
    first, last = (float(process.lam(t)) for t in (process.t_noise, process.t_data))
    high = math.exp(-max(first, NEARLY_NOISE))
    low = math.exp(-last)

    if model.run is None or not model.run.knows_data:
        if model.classes is not None:
            raise CheckpointError(f"{folder} cannot be compared on: it takes a class label with every sample")

        model.denoiser.moments = estimated(model.denoiser, model.shape)  # the data are not known
        return Problem(
            str(folder),
            model.denoiser,
            model.shape,
            n,
            high=high,
            low=low,
            steps=100,
        )

    if model.run.config.cascade.low is not None:
        raise CheckpointError(f"{folder} cannot be compared on: it takes a low-resolution image with every sample")

    data = model.own_data()

    def draw(count: int, seed: int) -> Tensor:
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed), device="cpu")
        again = torch.arange(count, device="cpu") % len(data)  # starts again if count exceeds the data
        return data.samples(order[again]).double()

    judged = min(500, len(data) // 2)

    return Problem(
        str(folder),
        model.denoiser,
        model.shape,
        n,
        draw,
        high=high,
        low=low,
        steps=100,
        judged=judged,
    )


class Perturbed(BaseDenoiser):
    """A denoiser with a smooth error: D + size sin(x / r), r = hypot(alpha, sigma). It depends on x/r and alpha/sigma
    only, like every exact denoiser."""

    def __init__(self, exact: BaseDenoiser, size: float):
        super().__init__()
        self.process: Process | None = exact.process
        self.exact = exact
        self.size = size

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        r = (alpha**2 + sigma**2).sqrt()
        error = (x * like(1 / r, x)).sin() * self.size
        return self.exact(x, alpha, sigma, cond).shifted(error)


def perturbed(problem: Problem, size: float) -> Problem:
    """The same problem for a denoiser with an error, with at most 256 start states and a reference solved to 1e-8.

    Args:
        problem: the problem to change.
        size: largest error of an element of x0, above 0 (see `Perturbed`).
    """
    denoiser = Perturbed(problem.denoiser, check.number("score_error", size, above=0.0))
    return replace(problem, denoiser=denoiser, flow=None, n=min(problem.n, 256), tolerance=1e-8)


def ideal(folder: Path | str, std: float) -> BaseDenoiser:
    """The exact denoiser of a run's training set, with a Gaussian at each point. `split` compares the model with it.

    Args:
        folder: folder of the run.
        std: standard deviation of the Gaussian at each of the first 5000 points, in the model's scale.
    """
    trained = load(folder)
    samples = dataset(trained.config, about=trained.about["data"], beside=Path(folder))
    data = samples.split(trained.config.data.held_out)[0]
    return Empirical(data.in_memory(5000).x.double(), std)


def split(
    problem: Problem,
    exact: BaseDenoiser,
    methods: Sequence[str],
    cost: float,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Parts of the error of deterministic methods at one cost. Each part is an RMS distance per dimension between
    states from the same starts.

    discretisation  the method against the converged flow of the same model
    score           the converged flow of the model against the converged flow of the exact denoiser
    prior           the exact flow from high z against that from x0 + high z: the error of a finite first level
    monte_carlo     the standard error of a mean over n samples, std / sqrt(n)

    Args:
        problem: a problem with exact samples.
        exact: the exact denoiser of its data.
        methods: names of deterministic methods.
        cost: budget of model calls, or tolerance of an adaptive method.
        seed: of the start states.

    Returns:
        For each method the four parts by name.

    Raises:
        ValueError: naming `problem` without exact samples, or `cost` if it is below one step.
    """

    x = problem.start(seed)
    twin = replace(problem, denoiser=exact, steps=None, tolerance=max(problem.tolerance, 1e-7))

    if problem.draw is None:
        raise ValueError(f"`problem` must have exact samples for the prior's part, got {problem.name} without")

    learned = problem.reference(seed)[0]
    truth = twin.reference(seed)[0]
    met = twin.carry(x + problem.draw(len(x), seed + 2000).reshape(x.shape))
    shared = {
        "score": rms(learned - truth),
        "prior": rms(met - truth),
        "monte_carlo": truth.flatten(1).std(0).square().mean().sqrt().item() / len(x) ** 0.5,
    }
    out: dict[str, dict[str, float]] = {}

    for name in methods:
        solve = entry(name).bind(cost)
        if solve is None:
            raise ValueError(f"`cost` must buy {name} a step, got {cost:g}")

        out[name] = {"discretisation": rms(solve(problem, x, seed) - learned), **shared}

    return out

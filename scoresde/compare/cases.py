"""The problem of a row, its converged answer and its floors, found by name and cached."""

from __future__ import annotations

import functools
import math
from pathlib import Path

from torch import Tensor

from ..evaluation import distances
from . import problems, store, trained
from .problems import Problem


@functools.lru_cache(maxsize=8)
def problem(source: str, device: str = "cpu") -> Problem:
    """The shared problem of this name; else the trained run or the pipeline in this folder.

    Args:
        source: name of a shared problem, or a folder.
        device: where its model runs.
    """
    makers = problems.all_problems()
    if source in makers:
        made = makers[source]()
        made.denoiser.to(device)
        return made
    return trained.of_folder(Path(source), device)


@functools.lru_cache(maxsize=32)
def reference(source: str, seed: int, device: str = "cpu") -> tuple[Tensor, float]:
    """The converged answer and its error, as `store.reference` keeps it.

    Args:
        source: as in `problem`.
        seed: of the starts.
        device: where the model runs.

    Returns:
        The states at the last level, (n, ...) float64; their own root mean square error.
    """
    case = problem(source, device)
    return case.reference(seed) if case.flow is not None else store.reference(case, seed)


@functools.lru_cache(maxsize=8)
def model(source: str, device: str = "cpu") -> str:
    """The digest of a problem's model, which its rows carry.

    Args:
        source: as in `problem`.
        device: where the model runs.
    """
    return store.digest(problem(source, device))


def forget() -> None:
    """Empty the caches of models and references: a run may have been trained again, and a relative name may mean
    another folder."""
    for known in (problem, reference, model, floor):
        known.cache_clear()


@functools.lru_cache(maxsize=32)
def floor(source: str) -> dict[str, float]:
    """Mean distances of two exact sets of the size that is judged."""
    case = problem(source)
    assert case.draw is not None
    return {
        name: distances.floor(
            distances.METRICS[name],
            case.draw,
            case.judged,
            case.judged,
            pairs=4,
            seed=100,
        )[0]
        for name in distances_of(case)
    }


def distances_of(case: Problem) -> dict[str, str]:
    """Distances a law is judged by, and what their columns begin with; Frechet between Gaussians fitted to the samples
    where that is affordable."""
    wide = math.prod(case.shape) > 256
    return {"sliced": "", "energy": "energy_", "mmd": "mmd_"} | ({} if wide else {"frechet": "frechet_"})

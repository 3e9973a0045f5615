"""The problem of a row, its reference solution and its floors. They are found by name and cached."""

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
    """The problem of a name or folder: a shared problem, or a trained run or pipeline as a problem.

    Args:
        source: name of a shared problem, or a folder.
        device: device of the model.
    """
    makers = problems.all_problems()
    if source in makers:
        made = makers[source]()
        made.denoiser.to(device)
        return made
    return trained.of_folder(Path(source), device)


@functools.lru_cache(maxsize=32)
def reference(source: str, seed: int, device: str = "cpu") -> tuple[Tensor, float]:
    """The reference solution of a problem, and its error. It is the closed form if there is one, else a converged solve
    from `store.reference`.

    Args:
        source: as in `problem`.
        seed: of the starts.
        device: device of the model.

    Returns:
        The states at the last level, (n, ...) float64; their root mean square error.
    """
    case = problem(source, device)
    return case.reference(seed) if case.flow is not None else store.reference(case, seed)


@functools.lru_cache(maxsize=8)
def model(source: str, device: str = "cpu") -> str:
    """The digest of a problem's model, as its rows store it.

    Args:
        source: as in `problem`.
        device: device of the model.
    """
    return store.digest(problem(source, device))


def forget() -> None:
    """Empty the caches of this module. This is needed if a run was trained again, or if a relative path now means
    another folder."""
    for known in (problem, reference, model, floor):
        known.cache_clear()


@functools.lru_cache(maxsize=32)
def floor(source: str) -> dict[str, float]:
    """Mean distances between two exact sets, of as many samples as stochastic methods are judged by."""
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
    """The distances by which samples are judged, and the prefixes of their columns. The Frechet distance, between
    Gaussians fitted to the samples, is included up to 256 dimensions."""
    wide = math.prod(case.shape) > 256
    return {"sliced": "", "energy": "energy_", "mmd": "mmd_"} | ({} if wide else {"frechet": "frechet_"})

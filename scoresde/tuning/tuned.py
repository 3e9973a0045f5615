"""The results of the tuners: a method with its error and the 95 % interval of the error."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..evaluation.intervals import DistanceEstimate
from ..samplers.grids import ExplicitGrid
from ..samplers.method import Method
from ..storage.files import versions, write_json
from . import artefact

_RESAMPLED = 1000


@dataclass(frozen=True)
class Errors:
    """Errors of a sampler: distances of its samples to those of the converged flow from the same latents.

    rms        root mean square over samples and their elements
    low, high  ends of its 95 % interval, by the bootstrap over samples
    median     error of the median sample; `rms` is dominated by single samples that converge to the wrong data point
    """

    rms: float
    low: float
    high: float
    median: float

    @classmethod
    def of(cls, distances: Tensor) -> Errors:
        """The errors from the distance of each sample, (N,)."""
        squares = distances.detach().to("cpu", torch.float64).square()
        generator = torch.Generator().manual_seed(0)
        again = torch.randint(len(squares), (_RESAMPLED, len(squares)), generator=generator, device="cpu")
        ends = torch.tensor([0.025, 0.975], dtype=torch.float64, device="cpu")
        low, high = squares[again].mean(1).quantile(ends).sqrt().tolist()
        return cls(squares.mean().sqrt().item(), low, high, squares.median().sqrt().item())


class Saved(ABC):
    """Abstract: the result of a tuner, which can be saved as JSON."""

    method: Method
    baselines: Any
    history: list[dict[str, Any]]
    about: dict[str, Any]

    @property
    @abstractmethod
    def expected(self) -> Errors | DistanceEstimate:
        """What is to be expected of the method, measured on samples that were not used for any choice."""

    def told(self) -> dict[str, Any]:
        """The errors and the history for the file, as plain values."""
        about = {key: asdict(value) if isinstance(value, Errors) else value for key, value in self.about.items()}
        return {
            **about,
            "test": asdict(self.expected),
            "baselines": {name: asdict(found) for name, found in self.baselines.items()},
            "history": [{**entry, "validation": _finite(entry["validation"])} for entry in self.history],
        }

    @property
    def sigmas(self) -> list[float]:
        """sigma/alpha at the noise levels, falling: the `sigmas` of other libraries. Raises ValueError if the method
        has no levels of its own: an untuned method takes them from the range of the model."""
        if not isinstance(self.method.grid, ExplicitGrid):
            raise ValueError(f"`sigmas` must be asked of a method with levels of its own, got {self.method!r}")
        return [math.exp(-lam) for lam in self.method.grid.lams]

    def save(self, path: Path | str, **about: Any) -> None:
        """Write the result as a JSON file, from which `tuning.load` reads the method.

        Args:
            path: path of the file.
            about: more entries for the file, such as the scale of guidance.
        """
        write_json(Path(path), {**artefact.plain(self.method), **self.told(), **about, "versions": versions()})


@dataclass(frozen=True)
class Tuned(Saved):
    """A tuned method with its expected error.

    method     the sampler, for `sample`, `transport` and everything else that takes a `Method`
    error      errors on test latents, which were not used for any choice
    baselines  errors of the best untuned methods with as many calls, by name
    history    one entry per evaluation on the validation latents, for the selected start: stage, step, training,
               validation (infinite if a sample is not finite), seconds
    about      how it was made: calls, pairs, seed, errors on the training and held-out latents, Frechet distances of
               the samples to the converged ones, error of the reference, fingerprint of the model, seconds
    """

    method: Method
    error: Errors
    baselines: dict[str, Errors]
    history: list[dict[str, Any]]
    about: dict[str, Any]

    @property
    def best_untuned(self) -> str:
        """The name of the baseline with the smallest RMS error."""
        return min(self.baselines, key=lambda name: self.baselines[name].rms)

    @property
    def expected(self) -> Errors:
        return self.error


@dataclass(frozen=True)
class TunedNoise(Saved):
    """A tuned stochastic method with its expected distance from the target distribution.

    method     the sampler, for `sample` and everything else that takes a `Method`
    law        energy distance between its samples and test samples of the target, with its 95 % interval
    baselines  the same distance for the best untuned methods with as many calls and for `recommended`, by name
    history    one entry per evaluation on the validation samples: stage, step, training and validation (divided by the
               mean distance of two target samples), seconds
    about      how it was made: calls, counts, seed, fingerprint of the model, seconds
    """

    method: Method
    law: DistanceEstimate
    baselines: dict[str, DistanceEstimate]
    history: list[dict[str, Any]]
    about: dict[str, Any]

    @property
    def best_untuned(self) -> str:
        """The name of the stochastic baseline with the smallest distance."""
        stochastic = [name for name in self.baselines if name != "recommended"]
        return min(stochastic, key=lambda name: self.baselines[name].value)

    @property
    def expected(self) -> DistanceEstimate:
        return self.law


def _finite(value: float) -> float | None:
    """The number; None if it is infinite or NaN, which JSON cannot hold."""
    return value if math.isfinite(value) else None

"""The [latent] and [cascade] sections of a run's configuration. Each names another run that the model depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from solvers import check


@dataclass(frozen=True)
class LatentConfig:
    """autoencoder  folder of an autoencoder's run, to train a model of its latents; None: a model of the data"""

    autoencoder: str | None = None

    def __post_init__(self) -> None:
        _check_folder("autoencoder", self.autoencoder)


@dataclass(frozen=True)
class CascadeConfig:
    """low      folder of the run that makes low-resolution images, which this model enlarges; None: no such stage
    augment  highest noise level that is added to low-resolution images in training, in [0, 1)"""

    low: str | None = None
    augment: float = 0.5

    def __post_init__(self) -> None:
        _check_folder("low", self.low)
        check.number("augment", self.augment, least=0.0, below=1.0)


def _check_folder(name: str, value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise ValueError(f"`{name}` must be the folder of a run, got {value!r}")

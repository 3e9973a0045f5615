"""The [latent] and [cascade] sections of a run's configuration: what a model stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from solvers import check


@dataclass(frozen=True)
class LatentConfig:
    """autoencoder  the run whose latents are modelled; None: the data themselves are"""

    autoencoder: str | None = None

    def __post_init__(self) -> None:
        _check_folder("autoencoder", self.autoencoder)


@dataclass(frozen=True)
class CascadeConfig:
    """low      the run that makes low-resolution images, which this one enlarges; None: no stage before
    augment  most noise of a low-resolution image in training, in [0, 1)"""

    low: str | None = None
    augment: float = 0.5

    def __post_init__(self) -> None:
        _check_folder("low", self.low)
        check.number("augment", self.augment, least=0.0, below=1.0)


def _check_folder(name: str, value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise ValueError(f"`{name}` must be the folder of a run, got {value!r}")

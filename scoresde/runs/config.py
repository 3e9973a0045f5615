"""A run's configuration: TOML in, checked dataclasses out. Unknown keys are refused by dotted name and line."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from solvers import check

from ..data import files as data_module
from ..data.samples import Samples
from ..denoisers.denoiser import Denoiser
from ..denoisers.noise_conditioning import NoiseConditioning
from ..denoisers.noisy_classifier import NoisyClassifier, Trainable
from ..processes.base import Process
from ..processes.coordinates import EDM
from ..processes.forward import VESDE, VPSDE, CosineVP, RectifiedFlow, SubVPSDE
from ..runtime.torch_state import seeded, single_precision_on
from ..training.cross_entropy import CrossEntropy
from ..training.losses import (
    DSM,
    FlowMatching,
    Hybrid,
    KarrasWeighted,
    Loss,
    MaximumLikelihood,
    MinSNR,
    PlainV,
    PlainX0,
)
from ..training.noise_levels import Importance, LogitNormal, LogNormal, NoiseLevels, Uniform
from ..training.norms import Absolute, Huber, Norm, Square
from ..training.objective import Objective
from ..training.sliced import Sliced
from ..training.state import Training
from .journal import Record
from .network_config import CLASSIFIER as CLASSIFIER
from .network_config import TABLES as TABLES
from .network_config import ConfigError as ConfigError
from .network_config import NetworkConfig as NetworkConfig
from .network_config import level_widths as level_widths

PROCESSES: dict[str, type[Process]] = {p.__name__: p for p in (VPSDE, SubVPSDE, VESDE, CosineVP, EDM, RectifiedFlow)}
LOSSES: dict[str, type[Loss]] = {
    k.__name__: k
    for k in (DSM, MaximumLikelihood, KarrasWeighted, MinSNR, PlainX0, PlainV, FlowMatching, Sliced, Hybrid)
}
CLASSIFIER_LOSSES: dict[str, type[Loss]] = {CrossEntropy.__name__: CrossEntropy}
NORMS: dict[str, type[Norm]] = {k.__name__: k for k in (Square, Absolute, Huber)}
LEVELS: dict[str, type[NoiseLevels]] = {k.__name__: k for k in (Uniform, LogNormal, LogitNormal, Importance)}


@dataclass(frozen=True)
class DataConfig:
    """path      digits, photos, moons, swiss_roll, checkerboard, eight_gaussians, moving_digits, a file or a folder of
              images (see `data.load`); None: not known, as of imported weights
    held_out  the share kept for judging
    size      pixels a side, of a folder's images
    kind      of samples, where an array's shape does not say: points or images; None: by the shape
    shift     augmentation by up to so many pixels
    flip      by mirroring; None: as the data set has it"""

    path: str | None = "digits"
    held_out: float = 0.2
    shift: int | None = None
    flip: bool | None = None
    size: int | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        check.number("held_out", self.held_out, above=0.0, below=1.0)

        if self.shift is not None:
            check.integer("shift", self.shift, least=0, most=64)

        if self.size is not None:
            check.integer("size", self.size, least=4, most=4096)

        if self.path is not None and not (isinstance(self.path, str) and self.path.strip()):
            raise ValueError(f"`path` must name data, got {self.path!r}; for example digits, or a file")

        if self.kind is not None:
            check.choice("kind", self.kind, data_module.KINDS)

        if not isinstance(self.flip, bool | None):
            raise TypeError(f"`flip` must be true or false, got {self.flip!r}")


@dataclass(frozen=True)
class Config:
    """Everything a run is made from."""

    data: DataConfig = field(default_factory=DataConfig)
    process: Process = field(default_factory=VPSDE)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)
    record: Record = field(default_factory=Record)

    def __post_init__(self) -> None:
        if self.is_classifier != isinstance(self.objective.loss, CrossEntropy):
            raise ConfigError(
                f"`loss.name` must be CrossEntropy exactly when network.kind is classifier, got"
                f" {type(self.objective.loss).__name__} with {self.network.kind}"
            )
        if self.is_classifier and self.training.label_dropout != 0.0:
            raise ConfigError(
                f"`training.label_dropout` must be 0 for a classifier, which learns every label, got"
                f" {self.training.label_dropout}"
            )
        if self.is_classifier and self.record.sample:
            raise ConfigError("`record.sample` must be 0 for a classifier, which makes no samples")

    @property
    def is_classifier(self) -> bool:
        """Whether the run trains a classifier of noisy samples."""
        return self.network.kind == CLASSIFIER

    def as_dict(self) -> dict[str, Any]:
        """Plain values as JSON gives them back, the form `parse` takes."""
        named = {"process": self.process, "loss": self.objective.loss, "levels": self.objective.levels}
        table = {name: asdict(getattr(self, name)) for name in ("data", "network", "training", "record")}
        table["network"]["widths"] = list(self.network.widths)
        table["network"]["patch"] = list(self.network.patch)
        return table | {name: _plain(value) for name, value in named.items()}

    def dataset(self) -> Samples:
        """The data it names. Raises ConfigError where it names none, or points are to be shifted or flipped."""
        path = self.data.path
        if path is None:
            raise ConfigError(
                "`data.path` must name data, got none: imported weights do not say what they were trained on"
            )

        given = {name: getattr(self.data, name) for name in ("shift", "flip") if getattr(self.data, name) is not None}
        loaded = (
            data_module.SETS[path]()
            if path in data_module.SETS
            else data_module.load(path, self.data.size, self.data.kind)
        )
        if len(loaded.shape) != 3 and any(given.values()):
            raise ConfigError(f"`data.{next(iter(given))}` must be left out for points, got {given} for {loaded.name}")

        if loaded.cond is not None:
            own = (
                "train a network of your own on data.load(path) by scoresde.training.fit, or leave cond out of the file"
            )
            raise ConfigError(
                "`data.path` must hold no conditions, which networks of a configuration do not take, got cond"
                f" in {path}; {own}"
            )

        return replace(loaded, **given)  # pyright: ignore[reportArgumentType]

    def model(self, shape: tuple[int, ...], classes: int | None = None, device: str = "cpu") -> Trainable:
        """What the run trains: a denoiser, or a classifier of noisy samples."""
        if not self.is_classifier:
            return self.denoiser(shape, classes, device)
        with single_precision_on(device), seeded(self.training.seed):
            return NoisyClassifier(self.network.build(shape, classes), self.process)

    def denoiser(self, shape: tuple[int, ...], classes: int | None = None, device: str = "cpu") -> Denoiser:
        """A fresh network for samples of `shape`, weights drawn from the training seed; `classes` labels where it is
        conditional."""
        with single_precision_on(device), seeded(self.training.seed):
            network = self.network.build(shape, None if self.training.label_dropout is None else classes)
        return Denoiser(network, self.process, self.network.table, time=NoiseConditioning(self.process))


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as the section `_named` reads."""
    kept = {f.name: getattr(value, f.name) for f in fields(value)}
    return {
        "name": type(value).__name__,
        **{key: _plain(part) if is_dataclass(part) else part for key, part in kept.items()},
    }

"""A run's configuration: TOML in, checked dataclasses out. Unknown keys are refused by dotted name and line."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from solvers import check

from ..data import files as data_module
from ..data.low_resolution import smaller
from ..data.masked import is_mask
from ..data.samples import Samples
from ..denoisers.denoiser import Denoiser
from ..denoisers.noise_conditioning import NoiseConditioning
from ..denoisers.noisy_classifier import NoisyClassifier
from ..latent.autoencoder import Autoencoder
from ..processes.base import Process
from ..processes.coordinates import EDM
from ..processes.forward import VESDE, VPSDE, CosineVP, RectifiedFlow, SubVPSDE
from ..runtime.torch_state import seeded, single_precision_on
from ..training.cross_entropy import CrossEntropy
from ..training.evidence import ELBO
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
from ..training.trainable import Trainable
from . import own_code
from .journal import Record
from .network_config import AUTOENCODER as AUTOENCODER
from .network_config import CLASSIFIER as CLASSIFIER
from .network_config import TABLES as TABLES
from .network_config import ConfigError as ConfigError
from .network_config import NetworkConfig as NetworkConfig
from .network_config import level_widths as level_widths
from .stages import CascadeConfig, LatentConfig

PROCESSES: dict[str, type[Process]] = {p.__name__: p for p in (VPSDE, SubVPSDE, VESDE, CosineVP, EDM, RectifiedFlow)}
LOSSES: dict[str, type[Loss]] = {
    k.__name__: k
    for k in (DSM, MaximumLikelihood, KarrasWeighted, MinSNR, PlainX0, PlainV, FlowMatching, Sliced, Hybrid)
}
OWN_LOSSES: dict[str, type[Loss]] = {CLASSIFIER: CrossEntropy, AUTOENCODER: ELBO}  # of networks that denoise nothing
_OF_DENOISERS = ("predicts", "sigma_data", "variance")  # keys of [network] that say what is predicted
NORMS: dict[str, type[Norm]] = {k.__name__: k for k in (Square, Absolute, Huber)}
LEVELS: dict[str, type[NoiseLevels]] = {k.__name__: k for k in (Uniform, LogNormal, LogitNormal, Importance)}


@dataclass(frozen=True)
class DataConfig:
    """path      digits, photos, moons, swiss_roll, checkerboard, eight_gaussians, moving_digits, two_sines, balls,
              sphere_sets, wine, a file or a folder (see `data.load`); None: not known, as of imported weights
    held_out  the share kept for judging
    size      pixels a side, of images and clips
    kind      of samples, where an array's shape does not say (see `data.load`); None: by the shape, or as a named set
              has it
    shift     augmentation by up to so many pixels
    flip      by mirroring; None: as the data set has it
    shrink    pixels a side of squares whose means are taken in the place of images; None: images as they are"""

    path: str | None = "digits"
    held_out: float = 0.2
    shift: int | None = None
    flip: bool | None = None
    size: int | None = None
    kind: str | None = None
    shrink: int | None = None

    def __post_init__(self) -> None:
        check.number("held_out", self.held_out, above=0.0, below=1.0)

        if self.shift is not None:
            check.integer("shift", self.shift, least=0, most=64)

        if self.size is not None:
            check.integer("size", self.size, least=4, most=4096)

        if self.shrink is not None:
            check.integer("shrink", self.shrink, least=2, most=64)

        if self.path is not None and not (isinstance(self.path, str) and self.path.strip()):
            raise ValueError(f"`path` must name data, got {self.path!r}; for example digits, or a file")

        if self.kind is not None:
            check.choice("kind", self.kind, data_module.KINDS)

        own = data_module.KINDS_OF_SETS.get(self.path or "")
        if own is not None and self.kind not in (None, own):
            raise ValueError(f"`kind` must be {own} for {self.path}, got {self.kind}; leave it out")
        if own is not None:
            object.__setattr__(self, "kind", own)

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
    latent: LatentConfig = field(default_factory=LatentConfig)
    cascade: CascadeConfig = field(default_factory=CascadeConfig)

    def __post_init__(self) -> None:
        kind = self.network.kind
        loss = type(self.objective.loss)
        for own, wanted in OWN_LOSSES.items():
            if (kind == own) != (loss is wanted):
                raise ConfigError(
                    f"`loss.name` must be {wanted.__name__} exactly when network.kind is {own}, got"
                    f" {loss.__name__} with {kind}"
                )
        if self.is_classifier and self.training.label_dropout != 0.0:
            raise ConfigError(
                f"`training.label_dropout` must be 0 for a classifier, which learns every label, got"
                f" {self.training.label_dropout}"
            )
        if kind == AUTOENCODER and self.training.label_dropout is not None:
            raise ConfigError("`training.label_dropout` must be left out for an autoencoder, which takes no labels")
        if not self.denoises and self.record.sample:
            raise ConfigError(f"`record.sample` must be 0 for {an(kind)}, which makes no samples")
        self._check_unused()
        self._check_stages()

    def _check_unused(self) -> None:
        """Keys that mean nothing to a network that denoises nothing are at their defaults."""
        if self.denoises:
            return

        usual = NetworkConfig()
        given = [f"network.{key}" for key in _OF_DENOISERS if getattr(self.network, key) != getattr(usual, key)]
        if self.network.kind == AUTOENCODER:
            given += ["process"] if self.process != VPSDE() else []
            given += ["levels"] if self.objective.levels != Uniform() else []
        if given:
            raise ConfigError(f"`{given[0]}` must be left out for {an(self.network.kind)}, to which it means nothing")

    def _check_stages(self) -> None:
        """What a model stands on must suit it."""
        if self.latent.autoencoder is not None and self.network.kind == AUTOENCODER:
            raise ConfigError("`latent.autoencoder` must be left out for an autoencoder: latents are not encoded again")
        if self.cascade.low is None:
            return
        if self.latent.autoencoder is not None:
            raise ConfigError("`latent.autoencoder` must be left out with cascade.low, which enlarges images")
        if self.network.kind not in ("auto", "unet"):
            raise ConfigError(f"`network.kind` must be unet for a stage of a cascade, got {self.network.kind}")
        if self.training.label_dropout is not None:
            raise ConfigError(
                "`training.label_dropout` must be left out for a stage of a cascade: the first stage takes the labels"
            )

    @property
    def is_classifier(self) -> bool:
        """Whether the run trains a classifier of noisy samples."""
        return self.network.kind == CLASSIFIER

    @property
    def denoises(self) -> bool:
        """Whether the run trains a denoiser."""
        return self.network.kind not in OWN_LOSSES

    def as_dict(self) -> dict[str, Any]:
        """Plain values as JSON gives them back, the form `parse` takes."""
        named = {"process": self.process, "loss": self.objective.loss, "levels": self.objective.levels}
        table = {name: asdict(getattr(self, name)) for name in ("data", "network", "training", "record")}
        table["network"]["widths"] = list(self.network.widths)
        stages = {"latent": self.latent, "cascade": self.cascade}
        table |= {name: asdict(stage) for name, stage in stages.items() if stage != type(stage)()}
        table["network"]["patch"] = list(self.network.patch)
        if self.data.shrink is None:
            del table["data"]["shrink"]
        for key in ("options", "patch", "latent_channels"):
            if getattr(self.network, key) == getattr(NetworkConfig(), key):
                del table["network"][key]  # runs of before knew none, and are told from others by all they say
        return table | {name: _plain(value) for name, value in named.items()}

    def dataset(self) -> Samples:
        """The data it names, as they are: `runs.dataset` makes latents of them. Raises ConfigError where it names none,
        or points are to be shifted or flipped."""
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

        if is_mask(loaded.cond):
            self._check_masked()
        elif loaded.cond is not None:
            own = (
                "train a network of your own on data.load(path) by scoresde.training.fit, or leave cond out of the file"
            )
            raise ConfigError(
                "`data.path` must hold no conditions, which networks of a configuration do not take, got cond"
                f" in {path}; {own}"
            )

        changed = replace(loaded, **given)  # pyright: ignore[reportArgumentType]
        if self.data.shrink is None:
            return changed

        try:
            return smaller(changed, self.data.shrink)
        except ValueError as error:
            raise ConfigError(str(error).replace("`shrink`", "`data.shrink`")) from error

    def _check_masked(self) -> None:
        """Raise ConfigError where the configuration does not suit sets of several sizes."""
        if self.network.kind not in ("auto", "transformer"):
            raise ConfigError(
                f"`network.kind` must be transformer for sets with a mask, got {self.network.kind}; leave the mask out"
            )
        if self.training.label_dropout is not None:
            raise ConfigError(
                "`training.label_dropout` must be left out for sets with a mask, which would be hidden with the label,"
                f" got {self.training.label_dropout}"
            )
        if self.record.sample:
            raise ConfigError(
                f"`record.sample` must be 0 for sets with a mask, which have no pictures, got {self.record.sample}"
            )

    def model(self, shape: tuple[int, ...], classes: int | None = None, device: str = "cpu") -> Trainable:
        """What the run trains: a denoiser, a classifier of noisy samples, or an autoencoder.

        Args:
            shape: of one sample.
            classes: number of labels; None: the samples have none.
            device: where it is made.
        """
        if self.denoises:
            return self.denoiser(shape, classes, device)
        with single_precision_on(device), seeded(self.training.seed):
            network = self.network.build(shape, classes, self.data.kind)
        if isinstance(self.objective.loss, ELBO):
            return Autoencoder(network, self.objective.loss.std)
        return NoisyClassifier(network, self.process)

    def denoiser(self, shape: tuple[int, ...], classes: int | None = None, device: str = "cpu") -> Denoiser:
        """A fresh network, weights drawn from the training seed.

        Args:
            shape: of one sample.
            classes: number of labels, used where the model is conditional; None: the samples have none.
            device: where it is made.
        """
        with single_precision_on(device), seeded(self.training.seed):
            classes = None if self.training.label_dropout is None else classes
            network = self.network.build(shape, classes, self.data.kind, enlarges=self.cascade.low is not None)
            made = Denoiser(network, self.process, self.network.table, time=NoiseConditioning(self.process))
            if self.network.is_own:
                own_code.check_answer(made, self.network.kind, shape, classes)
        return made


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as the section `_named` reads."""
    kept = {f.name: getattr(value, f.name) for f in fields(value)}
    return {
        "name": type(value).__name__,
        **{key: _plain(part) if is_dataclass(part) else part for key, part in kept.items()},
    }


def an(kind: str) -> str:
    """The kind of a network with its article."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"

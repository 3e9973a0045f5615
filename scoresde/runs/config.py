"""A run's configuration as checked dataclasses. `toml` reads them, and refuses unknown keys by dotted name and line."""

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
OWN_LOSSES: dict[str, type[Loss]] = {CLASSIFIER: CrossEntropy, AUTOENCODER: ELBO}  # networks that denoise nothing
_OF_DENOISERS = ("predicts", "sigma_data", "variance")  # keys of [network] for denoisers only
NORMS: dict[str, type[Norm]] = {k.__name__: k for k in (Square, Absolute, Huber)}
LEVELS: dict[str, type[NoiseLevels]] = {k.__name__: k for k in (Uniform, LogNormal, LogitNormal, Importance)}


@dataclass(frozen=True)
class DataConfig:
    """path      digits, photos, moons, swiss_roll, checkerboard, eight_gaussians, moving_digits, two_sines, balls,
              sphere_sets, wine, a file or a folder (see `data.load`); None: not known, as for imported weights
    held_out  share of the data that is held out of training, in (0, 1)
    size      images and clips are resized to this many pixels a side; None: not resized
    kind      kind of the samples in an array (see `data.load`); None: the shape or the named data set determines it
    shift     augmentation: horizontal shifts of up to this many pixels; None: as the data set has it
    flip      augmentation: whether images are mirrored at random; None: as the data set has it
    shrink    each square of shrink x shrink pixels is replaced by its mean; None: images keep their size"""

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
    """The whole configuration of a run."""

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
        """If the network is no denoiser, the keys that are for denoisers must have their defaults."""
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
        """Check that the keys of [latent] and [cascade] suit the network and each other."""
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
        """The configuration as plain JSON values, which `toml.parse` reads back."""
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
                del table["network"][key]  # older runs lack these keys, and all keys make the identity
        return table | {name: _plain(value) for name, value in named.items()}

    def dataset(self) -> Samples:
        """The data that `data.path` names; `runs.dataset` makes latents of them.

        Raises ConfigError if it names none, if they do not suit the configuration (for example, shifts of points), or
        if they hold conditions. Raises ValueError if `data.load` cannot read them."""
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
        """Raise ConfigError if the configuration does not suit sets of different sizes."""
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
        """Make the model that the run trains: a denoiser, a classifier of noisy samples, or an autoencoder.

        Args:
            shape: of one sample.
            classes: number of classes; None: the samples have no labels.
            device: where the weights are made.
        """
        if self.denoises:
            return self.denoiser(shape, classes, device)
        with single_precision_on(device), seeded(self.training.seed):
            network = self.network.build(shape, classes, self.data.kind)
        if isinstance(self.objective.loss, ELBO):
            return Autoencoder(network, self.objective.loss.std)
        return NoisyClassifier(network, self.process)

    def denoiser(self, shape: tuple[int, ...], classes: int | None = None, device: str = "cpu") -> Denoiser:
        """Make a denoiser with new weights, drawn from the training seed.

        Args:
            shape: of one sample.
            classes: number of classes, used only if the model is class-conditional; None: no labels.
            device: where the weights are made.
        """
        with single_precision_on(device), seeded(self.training.seed):
            classes = None if self.training.label_dropout is None else classes
            network = self.network.build(shape, classes, self.data.kind, enlarges=self.cascade.low is not None)
            made = Denoiser(network, self.process, self.network.table, time=NoiseConditioning(self.process))
            if self.network.is_own:
                own_code.check_answer(made, self.network.kind, shape, classes)
        return made


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as a section that `toml._named` reads."""
    kept = {f.name: getattr(value, f.name) for f in fields(value)}
    return {
        "name": type(value).__name__,
        **{key: _plain(part) if is_dataclass(part) else part for key, part in kept.items()},
    }


def an(kind: str) -> str:
    """The kind of a network with its article, for messages."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"

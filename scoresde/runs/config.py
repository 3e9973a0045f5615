"""A run's configuration: TOML in, checked dataclasses out. Unknown keys are refused by dotted name and line."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from torch import nn

from solvers import check

from ..data import files as data_module
from ..data.samples import Samples
from ..denoisers.denoiser import X0, Denoiser, Eps, KarrasPreconditioning, LearnedRange, Parameterisation, Score, V
from ..denoisers.noise_conditioning import NoiseConditioning
from ..processes.base import Process
from ..processes.coordinates import EDM
from ..processes.forward import VESDE, VPSDE, CosineVP, RectifiedFlow, SubVPSDE
from ..runtime.torch_state import seeded, single_precision_on
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

PROCESSES: dict[str, type[Process]] = {p.__name__: p for p in (VPSDE, SubVPSDE, VESDE, CosineVP, EDM, RectifiedFlow)}
LOSSES: dict[str, type[Loss]] = {
    k.__name__: k
    for k in (DSM, MaximumLikelihood, KarrasWeighted, MinSNR, PlainX0, PlainV, FlowMatching, Sliced, Hybrid)
}
NORMS: dict[str, type[Norm]] = {k.__name__: k for k in (Square, Absolute, Huber)}
LEVELS: dict[str, type[NoiseLevels]] = {k.__name__: k for k in (Uniform, LogNormal, LogitNormal, Importance)}
TABLES: dict[str, type[Parameterisation]] = {
    "eps": Eps,
    "x0": X0,
    "v": V,
    "score": Score,
    "karras": KarrasPreconditioning,
}
KINDS = ("auto", "mlp", "unet", "dit")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the dotted key."""


@dataclass(frozen=True)
class DataConfig:
    """path      digits, photos, moons, swiss_roll, checkerboard, eight_gaussians, a file or a folder of images (see
              `data.load`); None: not known, as of imported weights
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
class NetworkConfig:
    """kind: mlp for points, unet or dit for images; auto: mlp or unet, by the data

    predicts       eps, x0, v, score or karras, the last for data of standard deviation sigma_data
    widths         of the U-Net's levels, () for as many as the image needs; or (width,) of the MLP or DiT
    variance       another head, for the variances of reverse steps: trained by the loss Hybrid, used by improved_ddpm
    layers         residual blocks a level of the U-Net, blocks of the DiT less 3, hidden layers of the MLP less 2
    fourier        features of x that the MLP is given, 0: x alone
    checkpointing  of activations, to save memory: unet and dit"""

    kind: str = "auto"
    predicts: str = "v"
    sigma_data: float = 0.5
    variance: bool = False
    widths: tuple[int, ...] = ()
    layers: int = 1
    fourier: int = 64
    checkpointing: bool = False

    def __post_init__(self) -> None:
        check.choice("kind", self.kind, KINDS)
        check.choice("predicts", self.predicts, TABLES)
        check.number("sigma_data", self.sigma_data, above=0.0)

        if not isinstance(self.variance, bool):
            raise TypeError(f"`variance` must be true or false, got {self.variance!r}")
        if not isinstance(self.checkpointing, bool) or (self.checkpointing and self.kind == "mlp"):
            raise TypeError(f"`checkpointing` must be true or false, and false for an MLP, got {self.checkpointing!r}")

        for width in self.widths:
            check.integer("widths", width, most=4096)

        check.integer("layers", self.layers, most=64)
        check.integer("fourier", self.fourier, least=0, most=4096)

    @property
    def table(self) -> Parameterisation:
        """What the network predicts."""
        mean = KarrasPreconditioning(self.sigma_data) if self.predicts == "karras" else TABLES[self.predicts]()
        return LearnedRange(mean) if self.variance else mean

    def build(self, shape: tuple[int, ...], classes: int | None) -> nn.Module:
        """A network for samples of `shape`. Raises ValueError naming `kind` where it is not for such samples."""
        from ..networks import MLP, DiT, UNet

        outputs = self.table.outputs
        kind = ("mlp" if len(shape) == 1 else "unet") if self.kind == "auto" else self.kind

        if len(shape) not in (1, 3):
            own = "train a network of your own on them by scoresde.fit"
            raise ConfigError(
                "`data.kind` must be points or images for the networks of a configuration, got samples of shape"
                f" {shape}; {own}"
            )

        if (kind == "mlp") != (len(shape) == 1):
            raise ConfigError(
                f"`network.kind` must be {'mlp for points' if len(shape) == 1 else 'unet or dit for images'},"
                f" got {kind}"
            )
        if kind == "mlp":
            return MLP(
                shape[0],
                (self.widths or (128,))[0],
                self.layers + 2,
                fourier=self.fourier,
                classes=classes,
                outputs=outputs,
            )

        if kind == "dit":
            width = (self.widths or (64,))[0]
            depth = self.layers + 3
            return DiT(
                shape[0],
                max(shape[1:]),
                width=width,
                depth=depth,
                classes=classes,
                checkpointing=self.checkpointing,
                outputs=outputs,
            )

        return UNet(
            shape[0],
            self.widths or level_widths(max(shape[1:])),
            self.layers,
            classes,
            self.checkpointing,
            outputs,
        )


@dataclass(frozen=True)
class Config:
    """Everything a run is made from."""

    data: DataConfig = field(default_factory=DataConfig)
    process: Process = field(default_factory=VPSDE)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)
    record: Record = field(default_factory=Record)

    def as_dict(self) -> dict[str, Any]:
        """Plain values as JSON gives them back, the form `parse` takes."""
        named = {"process": self.process, "loss": self.objective.loss, "levels": self.objective.levels}
        table = {name: asdict(getattr(self, name)) for name in ("data", "network", "training", "record")}
        table["network"]["widths"] = list(self.network.widths)
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
            own = "train a network of your own on data.load(path) by scoresde.fit, or leave cond out of the file"
            raise ConfigError(
                "`data.path` must hold no conditions, which networks of a configuration do not take, got cond"
                f" in {path}; {own}"
            )

        return replace(loaded, **given)  # pyright: ignore[reportArgumentType]

    def denoiser(self, shape: tuple[int, ...], classes: int | None = None, device: str = "cpu") -> Denoiser:
        """A fresh network for samples of `shape`, weights drawn from the training seed; `classes` labels where it is
        conditional."""
        with single_precision_on(device), seeded(self.training.seed):
            network = self.network.build(shape, None if self.training.label_dropout is None else classes)
        return Denoiser(network, self.process, self.network.table, time=NoiseConditioning(self.process))


def level_widths(size: int) -> tuple[int, ...]:
    """Widths for images of `size` pixels: levels down to 8 pixels, where attention is cheap, and at least two."""
    levels = max(2, math.ceil(math.log2(max(size, 2) / 8)) + 1)
    return (32, *[64] * (levels - 1))


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as the section `_named` reads."""
    kept = {f.name: getattr(value, f.name) for f in fields(value)}
    return {
        "name": type(value).__name__,
        **{key: _plain(part) if is_dataclass(part) else part for key, part in kept.items()},
    }

"""A run's configuration: TOML in, checked dataclasses out. Unknown keys are refused by dotted name and line."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from solvers import check

from . import data as data_module
from .charts import EDM
from .data import Dataset
from .denoiser import X0, Denoiser, Eps, Score, Table, V
from .process import Process
from .schedules import VESDE, VPSDE, CosineVP, RectifiedFlow, SubVPSDE
from .seeding import seeded
from .training import Training

PROCESSES: dict[str, type[Process]] = {p.__name__: p for p in (VPSDE, SubVPSDE, VESDE, CosineVP, EDM, RectifiedFlow)}
TABLES: dict[str, type[Table]] = {"eps": Eps, "x0": X0, "v": V, "score": Score}
_MOST_BYTES = 1 << 20


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the dotted key."""


@dataclass(frozen=True)
class DataConfig:
    """path: "digits", a .npz file or a folder of images;  held_out: the share kept for judging;  shift: augmentation, pixels."""

    path: str = "digits"
    held_out: float = 0.2
    shift: int | None = None

    def __post_init__(self) -> None:
        check.number("held_out", self.held_out, above=0.0, below=1.0)
        if self.shift is not None:
            check.integer("shift", self.shift, least=0, most=64)


@dataclass(frozen=True)
class NetworkConfig:
    """predicts: eps, x0, v or score;  widths: of the U-Net's levels, () for as many as the image needs, or (width,) of the MLP
    for points;  layers: residual blocks a level, or hidden layers."""

    predicts: str = "eps"
    widths: tuple[int, ...] = ()
    layers: int = 1

    def __post_init__(self) -> None:
        check.choice("predicts", self.predicts, TABLES)
        for width in self.widths:
            check.integer("widths", width, most=4096)
        check.integer("layers", self.layers, most=64)


@dataclass(frozen=True)
class Config:
    """Everything a run is made from."""

    data: DataConfig = field(default_factory=DataConfig)
    process: Process = field(default_factory=VPSDE)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: Training = field(default_factory=Training)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the form `parse` takes."""
        process = {"name": type(self.process).__name__, **{f.name: getattr(self.process, f.name) for f in fields(self.process)}}  # pyright: ignore
        return {"data": asdict(self.data), "process": process, "network": asdict(self.network), "training": asdict(self.training)}

    def dataset(self) -> Dataset:
        """The data it names."""
        from dataclasses import replace

        loaded = data_module.digits() if self.data.path == "digits" else data_module.load(self.data.path)
        return loaded if self.data.shift is None else replace(loaded, shift=self.data.shift)

    def denoiser(self, shape: tuple[int, ...]) -> Denoiser:
        """A fresh network for samples of `shape`, weights drawn from the training seed."""
        from .networks import MLP, UNet

        with seeded(self.training.seed):
            widths = self.network.widths
            network = (
                MLP(shape[0], (widths or (128,))[0], self.network.layers + 2)
                if len(shape) == 1
                else UNet(shape[0], widths or level_widths(max(shape[1:])), self.network.layers)
            )
        process = self.process
        return Denoiser(network, process, TABLES[self.network.predicts](), time=Clock(process))


def level_widths(size: int) -> tuple[int, ...]:
    """Widths for images of `size` pixels: levels down to 8 pixels, where attention is cheap, and at least two."""
    levels = max(2, math.ceil(math.log2(max(size, 2) / 8)) + 1)
    return (32, *[64] * (levels - 1))


@dataclass(frozen=True)
class Clock:
    """c_noise in 0..1000, what sinusoidal embeddings resolve: 1000 t/t_max for bounded clocks, 250 log sigma otherwise."""

    process: Process

    def __call__(self, lam: Any) -> Any:
        if self.process.t_max <= 2.0:
            return 1000.0 * self.process.time(lam)
        return -250.0 * lam


def read(path: Path) -> Config:
    """Parse a TOML file. Raises ConfigError naming file, line and dotted key."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    if path.stat().st_size > _MOST_BYTES:
        raise ConfigError(f"{path}: larger than {_MOST_BYTES} bytes, not a configuration")
    text = path.read_text()
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error or 'nested too deeply'}") from error
    try:
        return parse(table)
    except ConfigError as error:
        raise ConfigError(f"{path}{_line(text, str(error))}: {error}") from error


def parse(table: Mapping[str, Any]) -> Config:
    """A Config from plain values. Raises ConfigError naming the dotted key."""
    table = dict(table)
    process = dict(_section(table, "process"))
    name = process.pop("name", "VPSDE")
    if name not in PROCESSES:
        raise ConfigError(f"`process.name` must be one of {', '.join(PROCESSES)}, got {name!r}")
    parts: dict[str, Any] = {
        "data": _build(DataConfig, "data", _section(table, "data")),
        "process": _build(PROCESSES[name], "process", process),
        "network": _build(NetworkConfig, "network", {k: tuple(v) if isinstance(v, list) else v for k, v in _section(table, "network").items()}),
        "training": _build(Training, "training", _section(table, "training")),
    }
    for key in table:
        _known(key, parts, "")
    return Config(**parts)


def _section(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, Mapping):
        raise ConfigError(f"`{name}` must be a table, got {section!r}")
    return section


def _known(key: str, options: Any, prefix: str) -> None:
    if key not in options:
        near = difflib.get_close_matches(key, list(options), 1)
        raise ConfigError(f"`{prefix}{key}` is not a known key{f'; did you mean {prefix}{near[0]}?' if near else ''}")


def _build(kind: Any, name: str, section: Mapping[str, Any]) -> Any:
    for key in section:
        _known(key, [f.name for f in fields(kind)], f"{name}.")
    try:
        return kind(**section)
    except (TypeError, ValueError) as error:
        raise ConfigError(re.sub(r"^`(\w+)`", rf"`{name}.\1`", str(error))) from error


def _line(text: str, message: str) -> str:
    found = re.match(r"`(?:\w+\.)*(\w+)`", message)
    if found:
        for number, line in enumerate(text.splitlines(), 1):
            if re.match(rf"\s*\[?{found[1]}\b", line):
                return f", line {number}"
    return ""

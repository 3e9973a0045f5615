"""Read and check configurations in TOML. Errors name the dotted key and the line."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..training.objective import Objective
from ..training.state import Training
from .config import (
    CLASSIFIER,
    LEVELS,
    LOSSES,
    NORMS,
    OWN_LOSSES,
    PROCESSES,
    Config,
    ConfigError,
    DataConfig,
    NetworkConfig,
)
from .journal import Record
from .stages import CascadeConfig, LatentConfig

_MOST_BYTES = 1 << 20
_IMPORTED = {
    "network": {"predicts": "eps"},
    "data": {"path": None},
}  # defaults for imported weights


def read(path: Path | str, imported: bool = False) -> Config:
    """Read a configuration from a TOML file.

    Args:
        path: of the file.
        imported: whether the file describes imported weights. The defaults are then network.predicts = eps, as most
            such weights have it, and no data.path.

    Raises:
        ConfigError: naming the file, and the line and dotted key if they are known.
    """

    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    if path.stat().st_size > _MOST_BYTES:
        raise ConfigError(f"{path}: larger than {_MOST_BYTES} bytes, not a configuration")

    text = _text(path) + "\n"  # without it the parser gives no number for the last line

    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = re.search(r"line (\d+)", str(error))
        said = f": {text.split(chr(10))[int(at[1]) - 1].strip():.80}" if at else ""
        raise ConfigError(f"{path}: {error or 'nested too deeply'}{said}") from error

    for name, defaults in (_IMPORTED if imported else {}).items():
        if isinstance(table.get(name, {}), dict) and table.get(name, {}).get("kind") not in OWN_LOSSES:
            table[name] = {**defaults, **table.get(name, {})}

    try:
        return parse(table)
    except ConfigError as error:
        raise ConfigError(f"{path}{_line(text, str(error))}: {error}") from error


def _text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8, from byte {error.start}") from error


def parse(table: Mapping[str, Any]) -> Config:
    """Make a Config from the plain values of a TOML file. Raises ConfigError naming the dotted key."""
    loss = {**_section(table, "loss")}
    if "norm" in loss:
        norm = loss["norm"]
        loss["norm"] = _named(
            NORMS, "loss.norm", {"name": norm} if isinstance(norm, str) else _section(loss, "norm"), "Square"
        )

    kind = _section(table, "network").get("kind")
    own = {loss.__name__: loss for loss in OWN_LOSSES.values()}
    usual = OWN_LOSSES[kind].__name__ if isinstance(kind, str) and kind in OWN_LOSSES else "DSM"
    training = _section(table, "training")
    if kind == CLASSIFIER:
        training = {"label_dropout": 0.0, **training}

    parts: dict[str, Any] = {
        "data": _build(DataConfig, "data", _section(table, "data")),
        "process": _named(PROCESSES, "process", _section(table, "process"), "VPSDE"),
        "objective": Objective(
            _named(LOSSES | own, "loss", loss, usual),
            _named(LEVELS, "levels", _section(table, "levels"), "Uniform"),
        ),
        "network": _build(
            NetworkConfig,
            "network",
            {k: tuple(v) if isinstance(v, list) else v for k, v in _section(table, "network").items()},
        ),
        "training": _build(Training, "training", training),
        "record": _build(Record, "record", _section(table, "record")),
        "latent": _build(LatentConfig, "latent", _section(table, "latent")),
        "cascade": _build(CascadeConfig, "cascade", _section(table, "cascade")),
    }

    for key in table:
        _known(key, {*parts, "loss", "levels"} - {"objective"}, "")

    for section, needed in (("latent", "autoencoder"), ("cascade", "low")):
        if section in table and needed not in table[section]:
            raise ConfigError(f"`{section}.{needed}` must be the folder of a run; without it leave [{section}] out")

    return Config(**parts)


def _named(
    kinds: Mapping[str, Any],
    name: str,
    section: Mapping[str, Any],
    default: str,
) -> Any:
    """Make the object of a section: its key `name` chooses the class, the other keys are the fields."""
    chosen = section.get("name", default)
    if not isinstance(chosen, str) or chosen not in kinds:
        raise ConfigError(f"`{name}.name` must be one of {', '.join(kinds)}, got {chosen!r}")
    return _build(kinds[chosen], name, {key: value for key, value in section.items() if key != "name"})


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

"""The files of a finished run: model.safetensors with its weights, and run.json, which describes them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from ..storage.files import FORMAT, CheckpointError, versions, write_json, write_whole

_ABSENT: Any = object()  # the value of a key that run.json does not have


def save_run(
    folder: Path,
    network: nn.Module,
    ema: nn.Module,
    about: dict[str, Any],
) -> None:
    """Write model.safetensors, then run.json with its SHA-256.

    Args:
        folder: of the run.
        network: the trained network.
        ema: the same network with averaged weights.
        about: the other entries of run.json, as JSON has them.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}

    for prefix, module in (("network", network), ("ema", ema)):
        for key, value in module.state_dict().items():
            tensors[f"{prefix}.{key}"] = value.detach().cpu().contiguous().clone()

    content = save(tensors, metadata={"format": str(FORMAT)})
    write_whole(folder / "model.safetensors", content)
    write_json(
        folder / "run.json",
        {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), "versions": versions(), **about},
    )


@dataclass(frozen=True)
class StoredRun:
    """The content of a run folder: `about` is run.json, `weights` holds the tensors by full name."""

    about: dict[str, Any]
    weights: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The state dict that was saved under `prefix`: "network", or "ema" for the averaged weights."""
        return {k[len(prefix) + 1 :]: v for k, v in self.weights.items() if k.startswith(prefix + ".")}


def read_about(folder: Path) -> dict[str, Any]:
    """Read and check run.json. Raises CheckpointError if it is missing, damaged or no run description."""
    path = folder / "run.json"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; give the folder that `scoresde train` or `scoresde demo` wrote")

    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error

    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise CheckpointError(f"{path} is not a run description: it has no format version")
    if about["format"] > FORMAT:
        raise CheckpointError(f"{path} has format {about['format']}, newer than {FORMAT}; upgrade scoresde")

    check_description(path, about)

    return about


def check_description(path: Path, about: dict[str, Any]) -> None:
    """Check the keys of a run's description.

    Args:
        path: of the file, for messages.
        about: the content of the file.

    Raises:
        CheckpointError: naming the first key that is missing or has the wrong type.
    """
    for key, fits in _DESCRIPTION.items():
        value: Any = about

        for part in key.split("."):
            value = value.get(part, _ABSENT) if isinstance(value, dict) else _ABSENT

        if not fits(value) or (key in _SCALES and isinstance(value, list) and len(value) != about["data"]["shape"][-1]):
            said = "missing" if value is _ABSENT else f"{value!r:.60}"
            raise CheckpointError(f"{path} is not a run description: its `{key}` is {said}")


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds and (not isinstance(value, float) or math.isfinite(value))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in cast("list[Any]", value))


def _is_counts(value: Any) -> bool:
    """Whether the value holds numbers of sets by size, as `size_counts` returns them."""
    if not isinstance(value, dict) or not value:
        return False
    counts = cast("dict[Any, Any]", value)
    sized = all(isinstance(key, str) and key.isascii() and key.isdigit() for key in counts)
    return sized and all(type(n) is int and n > 0 for n in counts.values())


_number = _is(int, float)
_text = _is(str)
_table = _is(dict)
_SCALES = ("data.centre", "data.half_range")  # one number, or one for each column


def _is_latent(value: Any) -> bool:
    """Whether the key is absent, or holds what `LatentSpace.about` returns."""
    if value is _ABSENT:
        return True
    if not isinstance(value, dict):
        return False

    told = cast("dict[str, Any]", value)
    texts = all(_text(told.get(key)) for key in ("autoencoder", "sha256"))
    lists = [told.get(key) for key in ("shape", "centre", "scale")]
    return texts and all(isinstance(part, list) and all(map(_number, cast("list[Any]", part))) for part in lists)


def _is_cascade(value: Any) -> bool:
    """Whether the key is absent, or holds what `Upsampling.about` returns."""
    if value is _ABSENT:
        return True
    if not isinstance(value, dict):
        return False
    told = cast("dict[str, Any]", value)
    return all(_text(told.get(key)) for key in ("low", "sha256")) and type(told.get("factor")) is int


_DESCRIPTION: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("command", "data.name"), _text),
    **dict.fromkeys(("config", "versions"), _table),
    **dict.fromkeys(("data.count", "training.steps_done"), _is(int)),
    "data.shape": lambda value: (
        isinstance(value, list) and bool(value) and all(type(n) is int and n > 0 for n in cast("list[Any]", value))
    ),
    **dict.fromkeys(
        _SCALES,
        lambda value: _number(value) or (isinstance(value, list) and all(map(_number, cast("list[Any]", value)))),
    ),
    **dict.fromkeys(("data.columns", "data.class_names"), lambda value: value in (_ABSENT, None) or _is_names(value)),
    "data.latent": _is_latent,
    "data.cascade": _is_cascade,
    "data.set_sizes": lambda value: value in (_ABSENT, None) or _is_counts(value),
    "network_source": lambda value: value is _ABSENT or _text(value),
    "data.kind": lambda value: value in (_ABSENT, None) or _text(value),
    "training.seconds": _number,
    "training.loss": _is(int, float, type(None)),
}


def load_run(folder: Path) -> StoredRun:
    """Read and verify a run folder. Raises CheckpointError that names the file and what is wrong with it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    about = read_about(folder)
    path = folder / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")

    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != about.get("sha256"):
        raise CheckpointError(f"{path} does not match the SHA-256 in run.json: damaged, truncated, or of another run")

    try:
        weights = load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error

    return StoredRun(about, weights)

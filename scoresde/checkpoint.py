"""Files that are whole or absent, and runs that can be reloaded.

A file is written to a temporary one in the same directory, flushed, fsynced, renamed over the old one, and the directory
fsynced: a kill at any moment leaves the old file or the new one. A run folder holds `model.safetensors` (the network's weights
and their moving average) and `run.json` (everything else, with the SHA-256 of the weights, since safetensors does not notice a
flipped bit). No pickle is ever loaded.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

FORMAT = 1
_TEMPORARY = ".scoresde-tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CheckpointError(RuntimeError):
    """A run that cannot be read; the message says which file and what is wrong with it."""


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically and durably; on any exception the old file stays and the temporary goes.

    Raises OSError; its message says so where the disk is full."""
    try:
        _write_whole(path, content)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        said = f"disk full: {len(content):,} bytes could not be written; the file before is intact; make room and go on"
        raise OSError(error.errno, said, str(path)) from error


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(folder: Path) -> None:
    """Remove temporaries that a killed process left."""
    for stale in folder.glob(_TEMPORARY + "*"):
        stale.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """JSON, readable, with NaN refused."""
    write_whole(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


@cache
def versions() -> dict[str, str]:
    """What ran: for run.json and benchmark rows."""
    return {"python": platform.python_version(), **{name: _version(name) for name in ("scoresde", "torch", "numpy", "diffusers")}}


def _version(name: str) -> str:
    """Of a package; "not installed" for one that is read from a source tree alone."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def save_run(folder: Path, network: nn.Module, ema: nn.Module, about: dict[str, Any]) -> None:
    """Write model.safetensors, then run.json naming its hash. `about` must be JSON."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for prefix, module in (("network", network), ("ema", ema)):
        for key, value in module.state_dict().items():
            tensors[f"{prefix}.{key}"] = value.detach().cpu().contiguous().clone()
    content = save(tensors, metadata={"format": str(FORMAT)})
    write_whole(folder / "model.safetensors", content)
    write_json(folder / "run.json", {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), "versions": versions(), **about})


@dataclass(frozen=True)
class Run:
    """A run folder as read: `about` is run.json, `weights` the tensors by full name."""

    about: dict[str, Any]
    weights: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The state dict saved under `prefix`."""
        return {k[len(prefix) + 1 :]: v for k, v in self.weights.items() if k.startswith(prefix + ".")}


def read_about(folder: Path) -> dict[str, Any]:
    """run.json, checked."""
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
    described(path, about)
    return about


def described(path: Path, about: dict[str, Any]) -> None:
    """Raise CheckpointError naming the first thing that a run's description lacks or tells as something else."""
    for key, fits in _DESCRIPTION.items():
        value: Any = about
        for part in key.split("."):
            value = value.get(part, ...) if isinstance(value, dict) else ...
        if not fits(value) or (key in _SCALES and isinstance(value, list) and len(value) != about["data"]["shape"][-1]):
            said = "missing" if value is ... else f"{value!r:.60}"
            raise CheckpointError(f"{path} is not a run description: its `{key}` is {said}")


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds and (not isinstance(value, float) or math.isfinite(value))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in cast("list[Any]", value))


_number, _text, _table = _is(int, float), _is(str), _is(dict)
_SCALES = ("data.centre", "data.half_range")  # one number, or one a column
_DESCRIPTION: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("command", "data.name"), _text),
    **dict.fromkeys(("config", "versions"), _table),
    **dict.fromkeys(("data.count", "training.steps_done"), _is(int)),
    "data.shape": lambda value: isinstance(value, list) and bool(value) and all(type(n) is int and n > 0 for n in cast("list[Any]", value)),
    **dict.fromkeys(_SCALES, lambda value: _number(value) or (isinstance(value, list) and all(map(_number, cast("list[Any]", value))))),
    **dict.fromkeys(("data.columns", "data.class_names"), lambda value: value in (..., None) or _is_names(value)),
    "training.seconds": _number,
    "training.loss": _is(int, float, type(None)),
}


def load_run(folder: Path) -> Run:
    """Read and verify a run folder. Raises CheckpointError saying which file and what."""
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
    return Run(about, weights)


def restore(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into a module; missing, unexpected, wrong-shaped ones and ones of another kind of number are named, NaN is refused."""
    bad = [k for k, v in state.items() if v.is_floating_point() and not bool(torch.isfinite(v).all())]
    if bad:
        raise CheckpointError(f"{path} holds NaN or Inf in {bad[0]} and {len(bad) - 1} more")
    try:
        load_weights(module, state)
    except RuntimeError as error:
        raise another(path, error) from error


def load_weights(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """`load_state_dict`, which by itself casts whole or complex numbers to floating ones in silence: here they raise RuntimeError."""
    for name, wanted in module.state_dict().items():
        found = state.get(name, wanted)
        if (found.is_floating_point(), found.is_complex()) != (wanted.is_floating_point(), wanted.is_complex()):
            raise RuntimeError(f"{name} is of {_dtype(found)}, not {_dtype(wanted)}")
    module.load_state_dict(state)


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def another(path: Path, error: Exception | str) -> CheckpointError:
    """What is said where weights are those of another network."""
    return CheckpointError(f"{path} holds another architecture: {' '.join(str(error).split())[:300]}")

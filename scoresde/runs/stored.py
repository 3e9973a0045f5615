"""Read a run folder: its configuration, its verified weights, and whether they fit each other."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..storage import checkpoints
from ..storage.files import CheckpointError
from ..storage.weights import architecture_mismatch
from . import own_code
from .config import Config, ConfigError
from .description import data_identity
from .run_folder import StoredRun, check_description, load_run, read_about
from .toml import parse

CHANGEABLE_ON_RESUME = ("record.", "training.steps")  # keys that may change when a run is resumed


def run_config(about: Mapping[str, Any], path: Path) -> Config:
    """The configuration of a run. Keys that the run is too old to have get their defaults, which change nothing.

    Args:
        about: the content of run.json.
        path: of the file, for messages.

    Raises:
        CheckpointError: if this version cannot read the configuration.
    """
    try:
        return parse(about["config"])
    except ConfigError as error:
        raise CheckpointError(f"{path} holds no configuration of this version: {error}") from error


def holds(folder: Path) -> str | None:
    """The network.kind of a finished run, or None if the folder holds no run.json.

    Args:
        folder: of the run.

    Raises:
        CheckpointError: if run.json cannot be read.
    """
    if not (folder / "run.json").is_file():
        return None
    return run_config(read_about(folder), folder).network.kind


def identity(about: Mapping[str, Any], path: Path) -> str:
    """A short hash that distinguishes runs. It covers the data and the configuration, without the keys that may change
    when a run is resumed.

    Args:
        about: the content of run.json, or of a checkpoint.
        path: of the file, for messages.
    """
    table = run_config(about, path).as_dict()
    fixed = {f"{section}.{key}": value for section, keys in table.items() for key, value in keys.items()}
    kept = {key: value for key, value in sorted(fixed.items()) if not key.startswith(CHANGEABLE_ON_RESUME)}
    return hashlib.sha256(json.dumps([kept, data_identity(about["data"])]).encode()).hexdigest()[:16]


def sample_spec(run: StoredRun) -> tuple[tuple[int, ...], int | None]:
    """Shape of one sample of the model (a latent for a model of latents), and the number of classes."""
    about = run.about["data"]
    return tuple(about.get("latent", about)["shape"]), about.get("classes")


def fitting(
    config: Config,
    shape: tuple[int, ...],
    classes: int | None,
    weights: Mapping[str, Tensor],
    path: Path,
) -> None:
    """Check that weights belong to the network of a configuration. Only a network of one's own takes memory here.

    Args:
        config: describes the network.
        shape: of one sample.
        classes: number of classes, or None.
        weights: the tensors by name, without a prefix.
        path: of their file, for messages.

    Raises:
        CheckpointError: if names or shapes differ from those of the network.
        OwnCodeError: if the network is a class of one's own that is not allowed to run, or fails.
    """
    device = "cpu" if config.network.is_own else "meta"  # code of the user may read values, which meta tensors lack
    try:
        wanted = {name: w.shape for name, w in config.model(shape, classes, device).network.state_dict().items()}
    except own_code.OwnCodeError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        raise architecture_mismatch(path, error) from error

    found = {name: w.shape for name, w in weights.items()}
    wrong = {
        "Missing key": [name for name in wanted if name not in found],
        "Unexpected key": [name for name in found if name not in wanted],
        "Wrong shape": [
            f"{n} {tuple(found[n])}, not {tuple(wanted[n])}" for n in found if n in wanted and found[n] != wanted[n]
        ],
    }
    said = "; ".join(f"{what}: {which[0]} and {len(which) - 1} more" for what, which in wrong.items() if which)
    if said:
        raise architecture_mismatch(path, said)


def found(folder: Path, best: bool) -> tuple[StoredRun, Path]:
    """Read the finished model of a run folder, or else the latest checkpoint. A damaged model gives a warning.

    Args:
        folder: of the run.
        best: if true, reads the checkpoint with the least held-out loss instead.

    Returns:
        (run, path of the file).

    Raises:
        CheckpointError: if neither can be read, or the best checkpoint is of another run than run.json.
    """

    kept = folder / "checkpoints"

    if best:
        found = checkpoints.best(kept)
        if found is None:
            raise CheckpointError(f"{kept} holds no checkpoint with a score")
        if (folder / "run.json").is_file() and identity(read_about(folder), folder) != identity(
            found.about, found.path
        ):
            raise CheckpointError(f"{found.path} is of another run than {folder / 'run.json'}")

        return _run(found)

    try:
        return load_run(folder), folder / "model.safetensors"
    except CheckpointError as error:
        found = checkpoints.latest(kept)
        if found is None:
            raise
        if (folder / "run.json").exists():
            warnings.warn(f"{error}; using {found.path}", stacklevel=3)
        return _run(found)


def _run(found: checkpoints.Snapshot) -> tuple[StoredRun, Path]:
    check_description(found.path, found.about)
    return StoredRun(found.about, found.tensors), found.path

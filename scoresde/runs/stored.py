"""What a run folder holds: its configuration, its weights verified, and whether they fit."""

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

CHANGEABLE_ON_RESUME = ("record.", "training.steps")  # what may change when a run is taken up


def run_config(about: Mapping[str, Any], path: Path) -> Config:
    """What a run was made from; keys that are younger than the run have their defaults, which change nothing.

    Args:
        about: what run.json says.
        path: of the file, for messages.
    """
    try:
        return parse(about["config"])
    except ConfigError as error:
        raise CheckpointError(f"{path} holds no configuration of this version: {error}") from error


def holds(folder: Path) -> str | None:
    """The network.kind of a run folder; None for what is no finished run.

    Args:
        folder: of the run.
    """
    if not (folder / "run.json").is_file():
        return None
    return run_config(read_about(folder), folder).network.kind


def identity(about: Mapping[str, Any], path: Path) -> str:
    """A digest of what makes a run the run it is: its configuration, but for keys that may change when it is taken up,
    and its data.

    Args:
        about: what run.json says.
        path: of the file, for messages.
    """
    table = run_config(about, path).as_dict()
    fixed = {f"{section}.{key}": value for section, keys in table.items() for key, value in keys.items()}
    kept = {key: value for key, value in sorted(fixed.items()) if not key.startswith(CHANGEABLE_ON_RESUME)}
    return hashlib.sha256(json.dumps([kept, data_identity(about["data"])]).encode()).hexdigest()[:16]


def sample_spec(run: StoredRun) -> tuple[tuple[int, ...], int | None]:
    """Shape of what is modelled, and the number of classes."""
    about = run.about["data"]
    return tuple(about.get("latent", about)["shape"]), about.get("classes")


def fitting(
    config: Config,
    shape: tuple[int, ...],
    classes: int | None,
    weights: Mapping[str, Tensor],
    path: Path,
) -> None:
    """Raise CheckpointError where the weights are not of the network described, before memory is taken for it.

    Args:
        config: describes the network.
        shape: of one sample.
        classes: number of labels, or None.
        weights: the tensors by name, without a prefix.
        path: of their file, for messages.
    """
    device = "cpu" if config.network.is_own else "meta"  # what others wrote may look at its numbers
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
    """What a run folder holds, and the file: the finished model, else the latest checkpoint, with a warning where the
    model is damaged.

    Args:
        folder: of the run.
        best: the checkpoint with the least held-out loss instead.

    Raises:
        CheckpointError.
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

"""Load the model of a run folder, verified: the finished one, the latest checkpoint, the best one, or an average made
afterwards."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ..data.scale import original
from ..denoisers.denoiser import Denoiser
from ..denoisers.moments import Moments
from ..denoisers.noisy_classifier import NoisyClassifier
from ..storage import checkpoints
from ..storage.files import CheckpointError
from ..storage.weights import architecture_mismatch, restore
from . import own_code, posthoc_ema
from .config import Config, ConfigError
from .description import MOMENTS, data_identity
from .run_folder import StoredRun, check_description, load_run, read_about
from .toml import parse

CHANGEABLE_ON_RESUME = ("record.", "training.steps")  # what may change when a run is taken up


@dataclass(frozen=True)
class Trained:
    """A model and where it came from. `denoiser` has the averaged weights; `shape` is one sample's."""

    denoiser: Denoiser
    config: Config
    shape: tuple[int, ...]
    about: dict[str, Any]

    @property
    def knows_data(self) -> bool:
        """Whether it says what it was trained on: imported weights may not."""
        return self.about["data"]["count"] > 0

    def original(self, x: Tensor) -> Tensor:
        """Samples in the data's own scale."""
        return original(x, self.about["data"]["centre"], self.about["data"]["half_range"])


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


def _moments(folder: Path, about: Mapping[str, Any]) -> Moments | None:
    """What a run knows of its data: None for one that is older than this file, with a warning where the file is not
    the run's."""

    digest = about["data"].get("moments")
    if digest is None:
        return None

    try:
        found = Moments.load(folder / MOMENTS)
        if found.digest == digest:
            return found

        said = f"{folder / MOMENTS} is of another run"
    except (OSError, ValueError) as error:
        said = str(error)

    warnings.warn(f"{said}; the recommended sampler does without", stacklevel=3)

    return None


def load(
    folder: Path | str,
    device: Any = "cpu",
    best: bool = False,
    width: float | None = None,
    *,
    part: str = "ema",
    allow_code: bool = False,
) -> Trained:
    """The model of a run folder, with its averaged weights: the finished one, else the latest checkpoint; or the best
    checkpoint.

    A damaged file is passed over with a warning that names it.

    Args:
        folder: of the run.
        device: where the weights go.
        best: the checkpoint with the least held-out loss.
        width: of an average made afterwards, up to the last step stored; None: the one that was kept.
        part: "ema" for the averaged weights, "network" for those that were averaged.
        allow_code: whether a network of one's own may be imported (`own_code`).

    Raises:
        CheckpointError.
        OwnCodeError: of a network of one's own that may not run, or cannot.
    """

    folder = Path(folder)
    run, path = _found(folder, best)
    config = run_config(run.about, path)
    if config.is_classifier:
        raise CheckpointError(
            f"{folder} holds a classifier, which makes no samples; runs.load_classifier loads it, and --classifier"
            " guides a denoiser by it"
        )

    weights = run.part(part) | ({} if width is None else posthoc_ema.posthoc(folder, width, identity(run.about, path)))
    shape, classes = _samples(run)
    with own_code.allow_code(allow_code):
        _fitting(config, shape, classes, weights, path)
        denoiser = config.denoiser(shape, classes)
        own_code.warn_if_changed(config.network.kind, config.network.options, run.about, path)

    restore(denoiser.network, weights, path)
    denoiser.moments = _moments(folder, run.about)

    return Trained(denoiser.to(device).eval(), config, shape, run.about)


def load_classifier(folder: Path | str, device: Any = "cpu") -> tuple[NoisyClassifier, StoredRun]:
    """The classifier of a run whose network.kind is classifier, with its averaged weights, and the run.

    Args:
        folder: of the run.
        device: where the weights go.

    Raises:
        CheckpointError: also where the run is no classifier's.
    """

    folder = Path(folder)
    run, path = _found(folder, False)
    config = run_config(run.about, path)
    if not config.is_classifier:
        raise CheckpointError(f"{folder} holds a denoiser; a classifier is trained with network.kind = classifier")

    weights = run.part("ema")
    _fitting(config, *_samples(run), weights, path)
    model = config.model(*_samples(run))
    restore(model.network, weights, path)

    return cast(NoisyClassifier, model.to(device).eval()), run


def _samples(run: StoredRun) -> tuple[tuple[int, ...], int | None]:
    """Shape of a sample, and the number of classes."""
    return tuple(run.about["data"]["shape"]), run.about["data"].get("classes")


def _fitting(
    config: Config,
    shape: tuple[int, ...],
    classes: int | None,
    weights: Mapping[str, Tensor],
    path: Path,
) -> None:
    """Raise CheckpointError where the weights are not of the network described, before memory is taken for it."""
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


def _found(folder: Path, best: bool) -> tuple[StoredRun, Path]:
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

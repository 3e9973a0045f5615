"""Runs that hold no denoiser: classifiers of noisy samples, and autoencoders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from ..denoisers.noisy_classifier import NoisyClassifier
from ..latent.autoencoder import Autoencoder
from ..latent.space import LatentSpace
from ..storage.files import CheckpointError
from ..storage.weights import restore
from ..training.trainable import Trainable
from .config import AUTOENCODER, CLASSIFIER, an
from .run_folder import StoredRun
from .stored import fitting, found, holds, run_config, sample_spec

USES = {
    CLASSIFIER: "runs.load_classifier loads it, and --classifier guides a denoiser by it",
    AUTOENCODER: "runs.load_autoencoder loads it, and latent.autoencoder names it for a model of its latents",
}


def load_classifier(folder: Path | str, device: Any = "cpu") -> tuple[NoisyClassifier, StoredRun]:
    """The classifier of a run whose network.kind is classifier, with its averaged weights, and the run.

    Args:
        folder: of the run.
        device: where the weights go.

    Raises:
        CheckpointError: also where the run is no classifier's.
    """

    model, run = _of_kind(folder, CLASSIFIER, device)
    return cast(NoisyClassifier, model), run


def load_autoencoder(folder: Path | str, device: Any = "cpu") -> tuple[Autoencoder, StoredRun]:
    """The autoencoder of a run whose network.kind is autoencoder, with its averaged weights, and the run.

    Args:
        folder: of the run.
        device: where the weights go.

    Raises:
        CheckpointError: also where the run is no autoencoder's.
    """

    model, run = _of_kind(folder, AUTOENCODER, device)
    return cast(Autoencoder, model.requires_grad_(False)), run


def load_any(folder: Path | str, device: Any = "cpu") -> tuple[Trainable, StoredRun]:
    """What a run trained, whatever it is, with its averaged weights, and the run. What it stands on is not looked at.

    Args:
        folder: of the run.
        device: where the weights go.

    Raises:
        CheckpointError.
    """

    run, path = found(Path(folder), False)
    config = run_config(run.about, path)
    weights = run.part("ema")
    fitting(config, *sample_spec(run), weights, path)
    model = config.model(*sample_spec(run))
    restore(model.network, weights, path)

    return model.to(device).eval(), run


def _of_kind(folder: Path | str, kind: str, device: Any) -> tuple[Trainable, StoredRun]:
    """What a run of one kind trained. Raises CheckpointError where it is of another."""
    path = Path(folder)
    held = holds(path)
    if held is not None and held != kind:
        told = an(held) if held in USES else "a denoiser"
        raise CheckpointError(f"{folder} holds {told}; {an(kind)} is trained with network.kind = {kind}")

    model, run = load_any(path, device)
    if run_config(run.about, path).network.kind != kind:
        raise CheckpointError(f"{folder} holds no {kind}, which is trained with network.kind = {kind}")

    return model, run


def located(folder: str, beside: Path | None) -> str:
    """Where the run lies that another stands on: as it is named, from the current folder, or else next to the other.

    Args:
        folder: its name.
        beside: the folder of the run that stands on it; None: the name alone is tried.
    """
    if beside is None or Path(folder).exists():
        return folder

    neighbour = beside.resolve().parent / Path(folder).name
    return str(neighbour) if neighbour.exists() else folder


def stored_space(told: Mapping[str, Any], device: Any = "cpu", beside: Path | None = None) -> LatentSpace:
    """The latent space that a run was trained in.

    Args:
        told: what run.json says of it.
        device: where the autoencoder's weights go.
        beside: the run's folder, next to which the autoencoder is looked for too; its SHA-256 says whether it is the
            one.

    Raises:
        CheckpointError: where the autoencoder is missing, or is another one.
    """

    folder = located(told["autoencoder"], beside)
    try:
        autoencoder, run = load_autoencoder(folder, device)
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder}, the autoencoder whose latents the model was trained on, lies neither there, seen from the"
            f" current folder, nor beside the run: {error}"
        ) from error

    now = run.about["sha256"]
    if now != told["sha256"]:
        raise CheckpointError(
            f"{folder} holds another autoencoder than the model was trained with: SHA-256 {now[:16]}..., not"
            f" {told['sha256'][:16]}...; give the folder its weights back"
        )

    centre, scale = (torch.tensor(told[name], dtype=torch.float32, device="cpu") for name in ("centre", "scale"))

    return LatentSpace(autoencoder, centre, scale, folder, told["sha256"])

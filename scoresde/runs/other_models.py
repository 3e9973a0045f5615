"""Load runs that hold no denoiser: classifiers of noisy samples, and autoencoders."""

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
    """Load the classifier of noisy samples that a run with network.kind = classifier trained.

    Args:
        folder: of the run.
        device: where the weights go.

    Returns:
        (classifier with the averaged weights, run).

    Raises:
        CheckpointError: if the run cannot be read, or holds no classifier.
    """

    model, run = _of_kind(folder, CLASSIFIER, device)
    return cast(NoisyClassifier, model), run


def load_autoencoder(folder: Path | str, device: Any = "cpu") -> tuple[Autoencoder, StoredRun]:
    """Load the autoencoder that a run with network.kind = autoencoder trained.

    Args:
        folder: of the run.
        device: where the weights go.

    Returns:
        (autoencoder with the averaged weights, which need no gradient; run).

    Raises:
        CheckpointError: if the run cannot be read, or holds no autoencoder.
    """

    model, run = _of_kind(folder, AUTOENCODER, device)
    return cast(Autoencoder, model.requires_grad_(False)), run


def load_any(folder: Path | str, device: Any = "cpu") -> tuple[Trainable, StoredRun]:
    """Load the model of a run, of whatever kind. Another run that it depends on (an autoencoder) is not loaded.

    Args:
        folder: of the run.
        device: where the weights go.

    Returns:
        (model with the averaged weights, run).

    Raises:
        CheckpointError: if the run cannot be read.
        OwnCodeError: if the network is a class of one's own that is not allowed to run, or fails.
    """

    run, path = found(Path(folder), False)
    config = run_config(run.about, path)
    weights = run.part("ema")
    fitting(config, *sample_spec(run), weights, path)
    model = config.model(*sample_spec(run))
    restore(model.network, weights, path)

    return model.to(device).eval(), run


def _of_kind(folder: Path | str, kind: str, device: Any) -> tuple[Trainable, StoredRun]:
    """The model of a run of this kind. Raises CheckpointError if the run is of another kind."""
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
    """Find a run that another run depends on: first under its name as given, then next to the other run.

    Args:
        folder: name of the run's folder, relative to the current folder.
        beside: folder of the other run; None: only the name as given is used.

    Returns:
        The folder that exists, or `folder` if there is none.
    """
    if beside is None or Path(folder).exists():
        return folder

    neighbour = beside.resolve().parent / Path(folder).name
    return str(neighbour) if neighbour.exists() else folder


def stored_space(told: Mapping[str, Any], device: Any = "cpu", beside: Path | None = None) -> LatentSpace:
    """Load the latent space that a run was trained in, with its autoencoder.

    Args:
        told: description of the latent space in run.json.
        device: where the autoencoder's weights go.
        beside: the run's folder; if given, the autoencoder is also looked for next to it.

    Raises:
        CheckpointError: if the autoencoder is missing, or has another SHA-256 than in training.
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

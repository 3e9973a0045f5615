"""The samples that a run trains on: its data, or what the [latent] or [cascade] section makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.low_resolution import Upsampling
from ..data.samples import Samples
from ..latent.space import Latents, LatentSpace
from ..storage.files import CheckpointError
from .config import Config, ConfigError, an
from .other_models import load_autoencoder, located, stored_space
from .run_folder import StoredRun, load_run
from .stored import run_config


def dataset(
    config: Config,
    device: Any = "cpu",
    about: Mapping[str, Any] | None = None,
    beside: Path | None = None,
) -> Samples:
    """The samples that a run trains on.

    Args:
        config: of the run.
        device: where latents are encoded.
        about: the stored description of the run's data; if given, latents get the scale they had in training.
        beside: the run's folder; if given, the run that `cascade.low` or `latent.autoencoder` names is also looked for
            next to this folder.

    Raises:
        ConfigError, ValueError: as `Config.dataset`; also if the run that `cascade.low` or `latent.autoencoder` names
            is missing or does not suit; the message names the key.
        CheckpointError: if the autoencoder of a trained run is missing or is another one.
    """

    data = config.dataset()

    if config.latent.autoencoder is not None:
        told = None if about is None else about.get("latent")
        space = _measured(config, data, device) if told is None else stored_space(told, device, beside)
        return Latents(data, space)

    if config.cascade.low is not None:
        low = low_run(located(config.cascade.low, beside))
        factor = _factor(tuple(low.about["data"]["shape"]), data.shape, config.cascade.low)
        return Upsampling(data, factor, config.cascade.augment, config.cascade.low, low.about["sha256"])

    return data


def _measured(config: Config, data: Samples, device: Any) -> LatentSpace:
    """The latent space of new data: its scale is measured on the data."""
    folder = str(config.latent.autoencoder)
    try:
        autoencoder, run = load_autoencoder(folder, device)
    except CheckpointError as error:
        said = f"`latent.autoencoder` must be the folder of an autoencoder's run, from the current one, got {folder}"
        raise ConfigError(f"{said}: {error}") from error

    if "step" in run.about:  # a checkpoint, whose weights will still change
        raise ConfigError(f"`latent.autoencoder` must be a finished run, got {folder}, which holds checkpoints alone")

    wanted = tuple(run.about["data"]["shape"])
    if data.shape != wanted:
        raise ConfigError(
            f"`latent.autoencoder` must take samples of shape {data.shape}, as {data.name} has, got {folder} for"
            f" {wanted}"
        )

    return LatentSpace.measured(autoencoder, data, folder, run.about["sha256"])


def low_run(folder: str) -> StoredRun:
    """Load the run that makes the low-resolution images of a cascade.

    Args:
        folder: of the run.

    Raises:
        ConfigError: if the folder holds no run that makes images; naming `cascade.low`.
    """

    try:
        run = load_run(Path(folder))
        config = run_config(run.about, Path(folder))
    except CheckpointError as error:
        raise ConfigError(
            f"`cascade.low` must be the folder of a run, from the current one, got {folder}: {error}"
        ) from error

    if not config.denoises or config.latent.autoencoder is not None:
        held = an(config.network.kind) if not config.denoises else "a model of latents"
        raise ConfigError(f"`cascade.low` must be a run that makes images, got {folder}, which holds {held}")

    return run


def _factor(low: tuple[int, ...], high: tuple[int, ...], folder: str) -> int:
    """The ratio of the sides of two images, (C, H, W) each. Raises ConfigError if they do not fit."""
    if len(low) == len(high) == 3 and low[0] == high[0]:
        factor = high[1] // low[1]
        if factor > 1 and (low[1] * factor, low[2] * factor) == high[1:]:
            return factor

    raise ConfigError(
        f"`cascade.low` must make smaller images, of as many channels and of sides that divide those of {high}, got"
        f" {low} by {folder}"
    )

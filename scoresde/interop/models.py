"""Loads a model from a folder: a run of ours, or a saved pipeline of diffusers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import runs
from ..data.checking import kind_of
from ..data.samples import Samples, unscaled
from ..data.scale import Scale
from ..denoisers.denoiser import Denoiser
from ..latent.space import Latents, LatentSpace
from ..runs.config import Config, DataConfig
from ..runs.summary import summary
from ..storage.files import CheckpointError
from . import latent_pipelines, pipelines


@dataclass(frozen=True)
class Model:
    """A trained model, from a run or from a pipeline.

    folder    of the model
    denoiser  with the averaged weights
    shape     of one sample of the denoiser; if it models latents, of a latent
    classes   number of labels, or None if the model is not class-conditional
    run       configuration and training of a run; None for a pipeline, which does not store them
    space     latent space of a model of latents; None: the denoiser models the data themselves"""

    folder: Path
    denoiser: Denoiser
    shape: tuple[int, ...]
    classes: int | None
    run: runs.Trained | None
    space: LatentSpace | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample of the data."""
        return self.shape if self.space is None else self.space.autoencoder.network.shape

    def decoded(self, x: Tensor) -> Tensor:
        """Decode samples of the denoiser to samples like the data, in the model's scale."""
        return x if self.space is None else self.space.decoded(x)

    def original(self, x: Tensor) -> Tensor:
        """Samples in the original scale of the data. A pipeline does not know it: its images stay in [-1, 1]."""
        return x if self.run is None else self.run.original(x)

    @property
    def scale(self) -> tuple[Scale, Scale]:
        """(centre, half range) of the data: original = x * half_range + centre."""
        if self.run is None:
            return 0.0, 1.0
        return self.run.about["data"]["centre"], self.run.about["data"]["half_range"]

    @property
    def columns(self) -> list[str] | None:
        """Names of the columns, if the model was trained on a table with names."""
        return None if self.run is None else self.run.about["data"].get("columns")

    @property
    def kind(self) -> str | None:
        """Kind of the samples, one of `data.KINDS`; None if neither their shape nor the run tells it."""
        if self.run is None:
            return kind_of(self.sample_shape)
        return kind_of(self.sample_shape, self.run.about["data"].get("kind") or self.run.config.data.kind)

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes, if the data have names."""
        return None if self.run is None else self.run.about["data"].get("class_names")

    @property
    def set_sizes(self) -> dict[str, int] | None:
        """Number of training sets of each size, if the sets had several sizes."""
        return None if self.run is None else self.run.about["data"].get("set_sizes")

    def own_data(self) -> Samples:
        """The whole data set of a run, training and held-out samples.

        Raises:
            CheckpointError: if the data are sets of several sizes, since these have no common dimension.
            ConfigError, ValueError: as `Config.dataset`.
        """
        assert self.run is not None
        if self.set_sizes is not None:
            raise CheckpointError(
                f"{self.folder} must be of samples of one size here, got sets of {', '.join(self.set_sizes)} points; it"
                " can be sampled and told by info"
            )
        device = next(self.denoiser.parameters()).device
        return runs.dataset(self.run.config, device, self.run.about["data"], self.folder)

    def held_out(self, path: str | None = None) -> Samples:
        """Samples on which to evaluate the model.

        Args:
            path: data like the training data (`data.load`). Required if the model does not know its data, and to be
                left out otherwise.

        Returns:
            The held-out samples of a run: latents for a model of latents, images with their low-resolution copies for a
            stage of a cascade. If the model does not know its data: all samples of `path`. Images and volumes are then
            in [-1, 1], and points in the units of the file, since the scale of the network is not known either.

        Raises:
            CheckpointError: if `path` is missing or must be left out, or if the samples have another shape.
            ConfigError, ValueError: as `Config.dataset`.
        """

        known = self.run is not None and self.run.knows_data
        if known != (path is None):
            unnamed = f"name data for {self.folder}, which does not say what it was trained on"
            raise CheckpointError(
                f"`--data` must {f'be left out for {self.folder}, which names its own' if known else unnamed},"
                f" got {path}"
            )

        if path is None:
            assert self.run is not None
            return self.own_data().split(self.run.config.data.held_out)[1]

        shape = self.sample_shape
        size = max(shape[1:]) if len(shape) == 3 else None
        found = Config(data=DataConfig(path, size=size, kind=self.kind)).dataset()
        if found.shape != shape:
            raise CheckpointError(
                f"`--data` must hold samples of shape {shape}, as {self.folder} makes, got {found.shape} from {path}"
            )

        given = found if len(found.shape) >= 3 else unscaled(found)
        return given if self.space is None else Latents(given, self.space)

    def summary(self) -> dict[str, str]:
        """A description of the model: heading -> text."""
        if self.run is None:
            size = f"{sum(p.numel() for p in self.denoiser.parameters()):,} parameters"
            digest = hashlib.sha256(pipelines.weights_path(self.folder).read_bytes()).hexdigest()
            labels = "" if self.classes is None else f", of {self.classes} classes"
            return {
                "data": f"not said: samples of shape {self.sample_shape}{labels}",
                **({} if self.space is None else {"latents": f"of shape {self.shape} by {self.space.folder}"}),
                "process": repr(self.denoiser.process),
                "network": f"UNet2DModel of a diffusers pipeline, predicts {self.denoiser.table}, {size}",
                "weights": f"SHA-256 {digest[:16]}..., with nothing to verify it by",
            }

        return summary(self.run.about, self.run.config, self.denoiser)


def load(
    folder: Path | str,
    device: Any = "cpu",
    best: bool = False,
    width: float | None = None,
) -> Model:
    """Load the model of a folder.

    Args:
        folder: a run, or a diffusers pipeline.
        device: device of the weights.
        best: only for a run: take the checkpoint with the least held-out loss instead of the last one.
        width: only for a run: take a weight average of this width, made after training (`runs.load`).

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """
    folder = Path(folder)
    if not best and width is None and pipelines.is_pipeline(folder):
        denoiser = pipelines.load(folder, device)
        shape, labels = pipelines.input_spec(denoiser)
        home = latent_pipelines.part_of(folder)
        space = None if home is None else latent_pipelines.load_space(home, shape, device)
        return Model(folder, denoiser, shape, labels, None, space)

    run = runs.load(folder, device, best, width)
    classes = None if run.config.training.label_dropout is None else run.about["data"].get("classes")

    return Model(folder, run.denoiser, run.shape, classes, run, run.space)

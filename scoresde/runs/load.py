"""Load and verify the model of a run folder: the finished model, the latest or the best checkpoint, or a weight
average computed after training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.scale import original
from ..denoisers.denoiser import Denoiser
from ..denoisers.moments import Moments
from ..latent.space import LatentSpace
from ..storage.files import CheckpointError
from ..storage.weights import restore
from . import own_code, posthoc_ema
from .config import Config, an
from .description import MOMENTS
from .other_models import USES, stored_space
from .stored import fitting, found, identity, run_config, sample_spec


@dataclass(frozen=True)
class Trained:
    """A trained model and where it came from.

    denoiser  the model, with the weights that were loaded (the averaged ones by default)
    config    configuration of the run
    shape     of one sample of the model
    about     the content of run.json
    space     latent space of the model's samples; None: its samples are like the data"""

    denoiser: Denoiser
    config: Config
    shape: tuple[int, ...]
    about: dict[str, Any]
    space: LatentSpace | None = None

    @property
    def knows_data(self) -> bool:
        """Whether the training data are known. For imported weights they may not be."""
        return self.about["data"]["count"] > 0

    def decoded(self, x: Tensor) -> Tensor:
        """Convert samples of the model to samples like the data, in the model's scale: latents are decoded."""
        return x if self.space is None else self.space.decoded(x)

    def original(self, x: Tensor) -> Tensor:
        """Convert samples like the data from the model's scale to the data's own units."""
        return original(x, self.about["data"]["centre"], self.about["data"]["half_range"])


def _moments(folder: Path, about: Mapping[str, Any]) -> Moments | None:
    """The moments of a run's data, or None if run.json names none. If the file is damaged or of another run, the result
    is None too, with a warning."""

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
    """Load the denoiser of a run folder: the finished model, or else the latest checkpoint.

    A damaged file is skipped with a warning that names it.

    Args:
        folder: of the run.
        device: where the weights go.
        best: if true, loads the checkpoint with the least held-out loss instead.
        width: if given, loads a weight average of this width, computed from the stored averages (`posthoc_ema.posthoc`)
            up to the last stored step; None: the average that was made in training.
        part: "ema" for the averaged weights, "network" for the weights without averaging.
        allow_code: whether a network class of one's own may be imported and run (`own_code`).

    Raises:
        CheckpointError: if there is no readable model or average, or the run makes no samples.
        OwnCodeError: if the network is a class of one's own that is not allowed to run, or fails.
        TypeError, ValueError: naming `width`.
    """

    folder = Path(folder)
    run, path = found(folder, best)
    config = run_config(run.about, path)
    if not config.denoises:
        raise CheckpointError(
            f"{folder} holds {an(config.network.kind)}, which makes no samples; {USES[config.network.kind]}"
        )

    weights = run.part(part) | ({} if width is None else posthoc_ema.posthoc(folder, width, identity(run.about, path)))
    shape, classes = sample_spec(run)
    with own_code.allow_code(allow_code):
        fitting(config, shape, classes, weights, path)
        denoiser = config.denoiser(shape, classes)
        own_code.warn_if_changed(config.network.kind, config.network.options, run.about, path)

    restore(denoiser.network, weights, path)
    moments = _moments(folder, run.about)
    enlarges = config.cascade.low is not None  # the small image decides most of a sample; the data's directions do not
    denoiser.moments = moments.isotropic if enlarges and moments is not None else moments

    latent = run.about["data"].get("latent")
    space = None if latent is None else stored_space(latent, device, beside=folder)

    return Trained(denoiser.to(device).eval(), config, shape, run.about, space)

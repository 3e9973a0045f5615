"""Load the model of a run folder, verified: the finished one, the latest checkpoint, the best one, or an average made
afterwards."""

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
    """A model and where it came from.

    denoiser  with the averaged weights
    shape     of one sample of it
    space     whose latents its samples are; None: they are like the data"""

    denoiser: Denoiser
    config: Config
    shape: tuple[int, ...]
    about: dict[str, Any]
    space: LatentSpace | None = None

    @property
    def knows_data(self) -> bool:
        """Whether it says what it was trained on: imported weights may not."""
        return self.about["data"]["count"] > 0

    def decoded(self, x: Tensor) -> Tensor:
        """Samples like the data, in the model's scale."""
        return x if self.space is None else self.space.decoded(x)

    def original(self, x: Tensor) -> Tensor:
        """Samples like the data, from the model's scale to the data's own."""
        return original(x, self.about["data"]["centre"], self.about["data"]["half_range"])


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
    enlarges = config.cascade.low is not None  # the small image decides most of a sample: not the data's directions
    denoiser.moments = moments.isotropic if enlarges and moments is not None else moments

    latent = run.about["data"].get("latent")
    space = None if latent is None else stored_space(latent, device, beside=folder)

    return Trained(denoiser.to(device).eval(), config, shape, run.about, space)

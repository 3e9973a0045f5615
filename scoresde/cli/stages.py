"""Cascades: the low-resolution images that are the condition of a model that enlarges images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import UsageError
from .failures import loading

LowMethod = Annotated[str | None, typer.Option(help="of a cascade's first stage; default ddim")]
LowSteps = Annotated[int | None, typer.Option(help="noise levels of a cascade's first stage; default 20")]
Augment = Annotated[
    float | None,
    typer.Option(help="noise of the low-resolution images that a cascade enlarges, 0 to cascade.augment; default 0.1"),
]
_AUGMENT = 0.1


def low_model(
    model: Any,
    options: dict[str, Any],
    device: str,
) -> Any:
    """The model of the previous stage, or None if the model is no stage of a cascade.

    Args:
        model: the model to sample.
        options: values of low-method, low-steps and augment by name; None: not given.
        device: device of the weights.

    Raises:
        UsageError: naming the option.
        CheckpointError: if the previous stage is missing, or is not the model with which this stage was trained.
    """

    from ..interop import models
    from ..storage.files import CheckpointError

    told = None if model.run is None else model.run.about["data"].get("cascade")
    if told is None or model.run is None:
        for name, value in options.items():
            if value is not None:
                raise UsageError(f"`--{name}` must be left out, got {value}: {model.folder} is no stage of a cascade")
        return None

    most = model.run.config.cascade.augment
    augment = options["augment"]
    if augment is not None and not 0 <= augment <= most:
        raise UsageError(f"`--augment` must lie in [0, {most:g}], as the model was trained, got {augment:g}")

    folder = Path(told["low"])
    with loading(folder):
        low = models.load(folder, device)

    if low.run is None or low.run.about["sha256"] != told["sha256"]:
        raise CheckpointError(
            f"{folder} holds another model than the one whose images {model.folder} was trained to enlarge: SHA-256"
            f" {'unknown' if low.run is None else low.run.about['sha256'][:16]}..., not {told['sha256'][:16]}...; give"
            " the folder its weights back, or train the stage anew"
        )

    return low


def enlarged(
    low: Any,
    method: Any,
    model: Any,
    label: int | None,
    augment: float | None,
    seed: int,
    batch: int,
) -> Callable[[range], Any]:
    """A function from a range of sample indices to their conditions: images of the previous stage, noised and enlarged.

    Args:
        low: the model of the previous stage.
        method: sampling method of that stage.
        model: the model to sample.
        label: class of all samples, or None.
        augment: noise level of the images; None: 0.1, or the largest of the model's training if that is less.
        seed: sample i is a function of (seed, i).
        batch: samples drawn at once.
    """

    import torch

    from solvers import SeededNoise
    from solvers.noise import PRIOR

    from ..data.batches import mixed
    from ..data.low_resolution import condition
    from ..samplers.sampling import sample

    factor = model.run.about["data"]["cascade"]["factor"]
    value = min(_AUGMENT, model.run.config.cascade.augment) if augment is None else augment

    own = mixed(seed, 1)  # otherwise the first stage would start from part of the last stage's noise

    def given(rows: range) -> Any:
        shape = (len(rows), *low.shape)
        x = low.decoded(sample(low.denoiser, shape, method, own, cond=label, first=rows.start, batch=batch))
        eps = SeededNoise(seed, rows.start).normal(PRIOR, range(7, 8), tuple(x.shape), x.dtype, x.device)[0]
        return condition(x, torch.full((len(x),), value, device=x.device), eps, factor)

    return given

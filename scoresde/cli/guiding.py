"""Applies the guidance options of the command line to a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from .common import UsageError
from .failures import loading

Guidance = Annotated[
    str | None,
    typer.Option(help="classifier-free scale, 1: the conditional model; several, as 0,1,2,4, draw one row each"),
]
Interval = Annotated[
    str | None, typer.Option(help="levels LO,HI of lam = log(alpha/sigma) in which guidance holds; default all")
]
Rescale = Annotated[float, typer.Option(help="0 to 1: how far guided samples keep the conditional spread")]
Weak = Annotated[Path | None, typer.Option(help="a weaker run of the same data, away from which --guidance then leads")]
Classifier = Annotated[
    Path | None, typer.Option(help="a run of network.kind = classifier, along whose gradient --guidance then leads")
]
Null = Annotated[int | None, typer.Option(help="the label that a pipeline takes for none; a run of ours knows its own")]


def numbers(option: str, text: str) -> list[float]:
    """Finite numbers from text, separated by commas.

    Args:
        option: name of the option, for the error message.
        text: value of the option.

    Raises:
        UsageError: naming the option.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"`{option}` must be numbers between commas, got {text}") from None

    if not all(math.isfinite(value) for value in found):
        raise UsageError(f"`{option}` must be finite, got {text}")

    return found


class Labels(NamedTuple):
    """A classifier of noisy samples: log_prob for `guidance.Classifier`, and the classes of the classifier."""

    folder: Path
    log_prob: Any
    classes: int
    class_names: list[str] | None


def labelling(folder: Path | None, model: Any, device: str) -> Labels | None:
    """Load the classifier of a run, and check that it takes the samples of the model. None if no folder is given.

    Args:
        folder: folder of the classifier's run, or None.
        model: the model whose samples the classifier must take.
        device: device of the weights.

    Raises:
        UsageError: naming `--classifier`.
    """

    if folder is None:
        return None

    from .. import runs

    with loading(folder):
        classifier, run = runs.load_classifier(folder, device)

    about = run.about["data"]
    shape = tuple(about.get("latent", about)["shape"])
    if shape != model.shape:
        raise UsageError(f"`--classifier` must know samples of shape {model.shape}, got {shape}")

    known = None if model.space is None else model.space.about()
    if not _same_space(about.get("latent"), known):
        raise UsageError(f"`--classifier` must know samples as {model.folder} makes them, got latents of another space")

    return Labels(folder, classifier.log_prob, about["classes"], about.get("class_names"))


def _same_space(a: dict[str, Any] | None, b: dict[str, Any] | None) -> bool:
    """True if two descriptions are of the same latent space, or if both are None."""
    if a is None or b is None:
        return a is b

    numbers_of = [(*told["centre"], *told["scale"]) for told in (a, b)]
    near = all(math.isclose(x, y, rel_tol=1e-3, abs_tol=1e-3) for x, y in zip(*numbers_of, strict=True))

    return a["sha256"] == b["sha256"] and near


def guided(
    model: Any,
    scales: str | None,
    label: int | None,
    interval: str | None,
    rescale: float,
    weak: Path | None,
    null: int | None,
    classifier: Labels | None,
    device: str,
) -> list[Any]:
    """One guided denoiser per scale. Without scales, only the denoiser of the model.

    Args:
        model: the loaded model.
        scales: guidance scales, separated by commas; None: no guidance.
        label: class that samples are guided toward, or None.
        interval: LO,HI: guidance acts only at levels lam between them; None: at all levels.
        rescale: 0 to 1: how far guided samples keep the standard deviation of conditional ones.
        weak: folder of a weaker model, which guidance moves away from, or None.
        null: the label that stands for "no label" in a pipeline; None for a run, which knows its own.
        classifier: the classifier whose gradient guides, or None.
        device: device of the weaker model.

    Raises:
        UsageError: naming the option.
    """

    from ..guidance import AutoGuidance, ClassifierFree
    from ..guidance import Classifier as ByClassifier

    options = {
        "interval": interval,
        "rescale": rescale or None,
        "weak": weak,
        "null": null,
        "classifier": None if classifier is None else classifier.folder,
    }

    if scales is None:
        for name, value in options.items():
            if value is not None:
                raise UsageError(f"`--{name}` must be left out without --guidance, got {value}")
        return [model.denoiser]

    values = numbers("--guidance", scales)
    within = None if interval is None else tuple(numbers("--interval", interval))
    if within is not None and (len(within) != 2 or not within[0] < within[1]):
        raise UsageError(f"`--interval` must be two rising levels, as LO,HI, got {interval}")
    if min(values) < 0:
        raise UsageError(f"`--guidance` must be at least 0, got {scales}")
    if not 0 <= rescale <= 1:
        raise UsageError(f"`--rescale` must lie in [0, 1], got {rescale:g}")

    if classifier is not None:
        for name in ("interval", "rescale", "weak", "null"):
            if options[name] is not None:
                raise UsageError(f"`--{name}` must be left out with --classifier, got {options[name]}")
        if label is None:
            raise UsageError("`--label` must be given with --classifier, whose gradient leads toward a class")

        return [ByClassifier(model.denoiser, classifier.log_prob, scale) for scale in values]

    if weak is not None:
        if rescale or null is not None:
            raise UsageError(f"`--{'rescale' if rescale else 'null'}` must be left out with --weak")

        other = _other(weak, model, device)
        return [AutoGuidance(model.denoiser, other, scale, within) for scale in values]

    _check_label(model, label, null)

    return [ClassifierFree(model.denoiser, scale, null, within, rescale) for scale in values]


def _check_label(model: Any, label: int | None, null: int | None) -> None:
    """Raise UsageError if the label, or the unconditional model that guidance needs, is missing."""
    if model.run is not None and model.run.config.cascade.low is not None:
        raise UsageError(
            "`--guidance` must be left out for a cascade, whose first stage alone takes a label, or --weak given"
        )
    if model.classes is None:
        raise UsageError(
            "`--guidance` must be left out: the model is not class-conditional; --weak guides by a weaker run"
        )
    if label is None:
        raise UsageError("`--label` must be given with --guidance, which leads toward a class")

    if model.run is None:
        if null is None or not 0 <= null < model.classes:
            raise UsageError(
                f"`--null` must be the label that the pipeline takes for none, in [0, {model.classes}), often the last,"
                f" got {null}"
            )
        if null == label:
            raise UsageError(f"`--null` must differ from --label, got {null} for both")
        return

    if null is not None:
        raise UsageError(f"`--null` must be left out for a run, which knows its own, got {null}")
    if not model.run.config.training.label_dropout:
        raise UsageError(
            "`--guidance` must be left out: the model was trained with training.label_dropout = 0, so that it knows no"
            " unconditional branch"
        )


def _other(folder: Path, model: Any, device: str) -> Any:
    """Load the denoiser of a weaker model, and check that it makes the same kind of samples."""
    from ..interop import models

    with loading(folder):
        other = models.load(folder, device)

    if other.shape != model.shape:
        raise UsageError(f"`--weak` must make samples of shape {model.shape}, got {other.shape}")
    if other.classes != model.classes:
        raise UsageError(f"`--weak` must take the same labels, {model.classes}, got {other.classes}")
    if not _same_space(*(None if each.space is None else each.space.about() for each in (model, other))):
        raise UsageError(f"`--weak` must make samples as {model.folder} does, got latents of another space")

    return other.denoiser

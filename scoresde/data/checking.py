"""What samples of each kind look like, and checks of a set's parts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

KINDS = ("points", "images", "series", "sets", "volumes")
DIMENSIONS = {
    "points": (2,),
    "images": (3, 4),
    "series": (3,),
    "sets": (3,),
    "volumes": (5,),
}  # of an array of them
MEANT = {
    "points": "(N, d)",
    "images": "(N, H, W), (N, H, W, C) or (N, C, H, W)",
    "series": "(N, C, L)",
    "sets": "(N, P, d)",
    "volumes": "(N, C, D, H, W)",
}
_BY_SHAPE = {1: "points", 3: "images", 4: "volumes"}


def kind_of(shape: tuple[int, ...], kind: str | None = None) -> str | None:
    """What samples of a shape are, or None where that is not known.

    Args:
        shape: of one sample, as a model takes it.
        kind: of `KINDS`, where it was said.
    """
    return _BY_SHAPE.get(len(shape)) if kind is None else kind


def check_shape(name: str, x: Tensor) -> None:
    """Samples of one dimension or more, some.

    Args:
        name: where they came from, for messages.
        x: (N, ...).
    """
    if x.dim() < 2 or not x.numel():
        raise ValueError(
            "`data` must be points (N, d), images (N, C, H, W) or other samples (N, ...), not empty; got shape"
            f" {tuple(x.shape)} from {name}"
        )


def check_kind(name: str, kind: str | None, x: Tensor) -> None:
    """None, or a kind that an array of this shape can be of.

    Args:
        name: where the array came from, for messages.
        kind: of `KINDS`, or None, which always passes.
        x: the array, (N, ...).
    """
    if kind is None:
        return
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    if x.dim() not in DIMENSIONS[kind]:
        raise ValueError(f"`kind` must fit the data, got {kind}, {MEANT[kind]}, for shape {tuple(x.shape)} from {name}")


def check_labels(name: str, labels: Any, count: int) -> None:
    """None, or one non-negative int64 a sample.

    Args:
        name: where they came from, for messages.
        labels: (count,), or None.
        count: samples of the set.
    """
    if labels is not None and (labels.dtype != torch.int64 or labels.shape != (count,) or bool((labels < 0).any())):
        raise ValueError(
            f"`labels` of {name} must be {count} non-negative int64, got {tuple(labels.shape)} {labels.dtype}"
        )

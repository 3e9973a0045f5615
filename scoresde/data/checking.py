"""The shapes of each kind of samples, and checks of the parts of a data set."""

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
}  # allowed numbers of dimensions of an array (N, ...) of each kind
MEANT = {
    "points": "(N, d)",
    "images": "(N, H, W), (N, H, W, C) or (N, C, H, W)",
    "series": "(N, C, L)",
    "sets": "(N, P, d)",
    "volumes": "(N, C, D, H, W)",
}
_BY_SHAPE = {1: "points", 3: "images", 4: "volumes"}


def kind_of(shape: tuple[int, ...], kind: str | None = None) -> str | None:
    """The kind of samples of this shape, or None if the shape does not determine it.

    Args:
        shape: of one sample, as a model takes it.
        kind: one of `KINDS` if the kind is known already; it is then returned.
    """
    return _BY_SHAPE.get(len(shape)) if kind is None else kind


def check_shape(name: str, x: Tensor) -> None:
    """Check that an array holds at least one sample, and that a sample has at least one dimension.

    Args:
        name: where the samples came from, for messages.
        x: the array, (N, ...).

    Raises:
        ValueError: naming `data`.
    """
    if x.dim() < 2 or not x.numel():
        raise ValueError(
            "`data` must be points (N, d), images (N, C, H, W) or other samples (N, ...), not empty; got shape"
            f" {tuple(x.shape)} from {name}"
        )


def check_kind(name: str, kind: str | None, x: Tensor) -> None:
    """Check that an array of this shape can hold samples of this kind.

    Args:
        name: where the array came from, for messages.
        kind: one of `KINDS`, or None, which always passes.
        x: the array, (N, ...).

    Raises:
        ValueError: naming `kind`.
    """
    if kind is None:
        return
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    if x.dim() not in DIMENSIONS[kind]:
        raise ValueError(f"`kind` must fit the data, got {kind}, {MEANT[kind]}, for shape {tuple(x.shape)} from {name}")


def check_labels(name: str, labels: Any, count: int) -> None:
    """Check that labels are one non-negative int64 for each sample.

    Args:
        name: where the labels came from, for messages.
        labels: (count,), or None, which always passes.
        count: number of samples in the set.

    Raises:
        ValueError: naming `labels`.
    """
    if labels is not None and (labels.dtype != torch.int64 or labels.shape != (count,) or bool((labels < 0).any())):
        raise ValueError(
            f"`labels` of {name} must be {count} non-negative int64, got {tuple(labels.shape)} {labels.dtype}"
        )

"""Determine the kind of samples in an array (points, images, ...) and their scale."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from .checking import DIMENSIONS, KINDS, MEANT, check_kind, check_shape
from .scale import Scale

_CHUNK = 1 << 22  # numbers that are checked at once
_UNIT = (0.1, 10.0)  # standard deviations of points that give no warning


def standard_layout(
    raw: Tensor,
    name: str,
    kind: str | None = None,
    scale: tuple[Scale, Scale] | None = None,
) -> tuple[Tensor, Scale, Scale]:
    """Bring an array to the standard layout, and find its scale.

    Every number is checked, in pieces, so that a mapped file is read only once.

    Args:
        raw: the array, (N, ...).
        name: where it came from, for messages.
        kind: one of `KINDS`; None: the shape determines it.
        scale: centre and half range if they are known; None: the dtype and the numbers determine them.

    Returns:
        (samples, centre, half range). The samples are a view of `raw`, images with channels first. Images, and volumes
        of uint8, become [-1, 1] by (samples - centre)/half range; all others have centre 0 and half range 1.

    Raises:
        ValueError: if the array is empty, does not fit `kind`, or holds NaN or Inf; if its shape could be of several
            kinds; if images lie in no known range.
    """

    check_shape(name, raw)
    kind = _kind(raw, name) if kind is None else kind
    check_kind(name, kind, raw)

    if kind == "images":
        if raw.dim() == 3:
            raw = raw.unsqueeze(1)
        elif raw.shape[-1] in (1, 3, 4) and raw.shape[1] not in (1, 3, 4):
            raw = raw.permute(0, 3, 1, 2)

    low, high = _range(raw, name)

    if scale is not None:
        return raw, *scale

    pixels = raw.dtype == torch.uint8 and kind == "volumes"  # the frames of a video are images
    if kind != "images" and not pixels:
        _warn_of_size(raw, name, kind)
        return raw, 0.0, 1.0

    if raw.dtype == torch.uint8:
        return (raw, 0.5, 0.5) if high == 1 else (raw, 127.5, 127.5)  # only 0 and 1 occur: a mask, in which 1 is white
    if low >= 0 and high <= 1:
        return raw, 0.5, 0.5
    if low >= -1 and high <= 1:
        return raw, 0.0, 1.0

    raise ValueError(
        f"`data` must be uint8, or lie in [0, 1] or [-1, 1], got {raw.dtype} in [{low:g}, {high:g}] from {name};"
        " rescale it"
    )


def _kind(raw: Tensor, name: str) -> str:
    """The kind of samples that an array's shape determines.

    Raises ValueError naming the key `data.kind` if the shape could be of another kind."""

    shape = tuple(raw.shape)

    if raw.dim() == 2:
        return "points"

    pixels = raw.dim() == 3 and (shape[1] == shape[2] or (raw.dtype == torch.uint8 and min(shape[1:]) > 4))
    colours = raw.dim() == 4 and (shape[1] in (1, 3, 4) or shape[3] in (1, 3, 4) or shape[2] == shape[3] > shape[1])
    if pixels or colours:
        return "images"

    could = [kind for kind, dimensions in DIMENSIONS.items() if raw.dim() in dimensions]
    choice = (
        f'say which by data.kind = "{could[0]}"' + "".join(f' or "{kind}"' for kind in could[1:])
        if could
        else "it is none of them"
    )
    meant = ", ".join(f"{kind} {MEANT[kind]}" for kind in could or KINDS)
    raise ValueError(f"`kind` must be given for data of shape {shape} from {name}, which could be {meant}; {choice}")


def _range(raw: Tensor, name: str) -> tuple[float, float]:
    """The least and the largest number. If one is not finite, raises ValueError naming its row."""
    low = math.inf
    high = -math.inf
    size = max(1, _CHUNK // raw[0].numel())

    for i in range(0, len(raw), size):
        piece = raw[i : i + size]
        if piece.is_floating_point() and not bool(piece.isfinite().all()):
            row = i + int((~piece.isfinite()).reshape(len(piece), -1).any(1).nonzero()[0])
            raise ValueError(f"`data` must be finite, got NaN or Inf from {name}, first in row {row}")

        low = min(low, float(piece.min()))
        high = max(high, float(piece.max()))

    return low, high


def _warn_of_size(raw: Tensor, name: str, kind: str) -> None:
    """Warn if the standard deviation of data that are not scaled is far from 1."""
    some = raw[torch.linspace(0, len(raw) - 1, min(len(raw), 4096), dtype=torch.float64, device="cpu").long()].double()
    spread = some.std(0, correction=0) if kind == "points" else some.std(correction=0).reshape(1)
    spread = spread[spread > 0]
    if len(some) > 1 and len(spread) and not (_UNIT[0] <= spread.min() and spread.max() <= _UNIT[1]):
        said = (
            f"standard deviations {spread.min():.3g} to {spread.max():.3g}"
            if len(spread) > 1
            else f"standard deviation {spread.max():.3g}"
        )
        remedy = (
            "divide them by it, or save them as a .csv, whose columns are standardised"
            if kind == "points"
            else "divide them by it"
        )
        warnings.warn(f"the {kind} of {name} have {said}, and networks learn best near 1; {remedy}", stacklevel=4)

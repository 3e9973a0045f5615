"""What the numbers of an array are: points, images or others, and their scale."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from .checking import DIMENSIONS, KINDS, MEANT, check_kind, check_shape
from .scale import Scale

_CHUNK = 1 << 22  # numbers looked at at once
_UNIT = (0.1, 10.0)  # standard deviations of points that a network takes without help


def standard_layout(
    raw: Tensor,
    name: str,
    kind: str | None = None,
    scale: tuple[Scale, Scale] | None = None,
) -> tuple[Tensor, Scale, Scale]:
    """Samples, images channels first; and the (centre, half range) that bring images and volumes of uint8 to [-1, 1].
    A view: nothing is copied.

    Every number is looked at, in pieces: a mapped file is read once.

    Args:
        raw: the array, (N, ...).
        name: where it came from, for messages.
        kind: of `KINDS`; None: what the shape says, or ValueError where it could be several.
        scale: centre and half range where they are known; None: by dtype and the numbers themselves.
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

    pixels = raw.dtype == torch.uint8 and kind == "volumes"  # frames of video are images
    if kind != "images" and not pixels:
        _warn_of_size(raw, name, kind)
        return raw, 0.0, 1.0

    if raw.dtype == torch.uint8:
        return (raw, 0.5, 0.5) if high == 1 else (raw, 127.5, 127.5)  # 0 and 1 alone: a mask, white is 1
    if low >= 0 and high <= 1:
        return raw, 0.5, 0.5
    if low >= -1 and high <= 1:
        return raw, 0.0, 1.0

    raise ValueError(
        f"`data` must be uint8, or lie in [0, 1] or [-1, 1], got {raw.dtype} in [{low:g}, {high:g}] from {name};"
        " rescale it"
    )


def _kind(raw: Tensor, name: str) -> str:
    """What an array's shape says its samples are. Raises ValueError naming the key `data.kind` where it could be
    something else."""

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
    """Least and largest number. Raises ValueError naming the first row with one that is not finite."""
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
    """Warn where numbers that are taken as they are lie far from unit size."""
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

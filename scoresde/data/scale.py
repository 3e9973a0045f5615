"""The scale of the model, and the data's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Scale = float | tuple[float, ...]  # one number, or one a column of a table


def scaled(raw: Tensor, centre: Scale, half_range: Scale) -> Tensor:
    """(raw - centre)/half_range in float32, contiguous.

    Args:
        raw: numbers as stored, (N, ...).
        centre: one number, or one a column.
        half_range: one number, or one a column.
    """
    shift, scale = (torch.tensor(value, dtype=torch.float32, device=raw.device) for value in (centre, half_range))
    return ((raw.to(torch.float32) - shift) / scale).contiguous()


def original(x: Tensor, centre: float | Sequence[float], half_range: float | Sequence[float]) -> Tensor:
    """The inverse: samples in the data's own scale.

    Args:
        x: samples in the model's scale.
        centre: one number, or one a column.
        half_range: one number, or one a column.
    """
    shift, scale = (torch.as_tensor(value, dtype=x.dtype, device=x.device) for value in (centre, half_range))
    return x * scale + shift

"""Conversion between the data's own units and the model's scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Scale = float | tuple[float, ...]  # one number, or one for each column of a table


def scaled(raw: Tensor, centre: Scale, half_range: Scale) -> Tensor:
    """(raw - centre)/half_range in float32, contiguous.

    Args:
        raw: numbers as stored, (N, ...).
        centre: one number, or one for each column.
        half_range: one number, or one for each column.
    """
    shift, scale = (torch.tensor(value, dtype=torch.float32, device=raw.device) for value in (centre, half_range))
    return ((raw.to(torch.float32) - shift) / scale).contiguous()


def original(x: Tensor, centre: float | Sequence[float], half_range: float | Sequence[float]) -> Tensor:
    """Inverse of `scaled`: x * half_range + centre, the samples in the data's own units.

    Args:
        x: samples in the model's scale.
        centre: one number, or one for each column.
        half_range: one number, or one for each column.
    """
    shift, scale = (torch.as_tensor(value, dtype=x.dtype, device=x.device) for value in (centre, half_range))
    return x * scale + shift

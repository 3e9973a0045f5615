"""Class labels as networks take them: (B,) int64, with NO_LABEL where there is none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NO_LABEL = -1


def indices(
    labels: Any,
    count: int,
    classes: int,
    device: torch.device,
) -> Tensor:
    """Rows of an embedding of classes + 1, the last for no label.

    Raises ValueError naming `labels`.

    Args:
        labels: (B,) int64 in [-1, classes), -1 for none; None: no label at all. The range is checked on the CPU alone.
        count: B.
        classes: how many.
        device: where rows for None are made.
    """

    if labels is None:
        return torch.full((count,), classes, device=device)

    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (count,):
        got = f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"`labels` must be int64 of shape ({count},), got {got}")

    if (
        labels.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not bool(((labels >= NO_LABEL) & (labels < classes)).all())
    ):
        raise ValueError(
            f"`labels` must lie in [0, {classes}), or be {NO_LABEL} for none, got {labels.min().item()} to"
            f" {labels.max().item()}"
        )

    return torch.where(labels == NO_LABEL, classes, labels)

"""Class labels for networks: (B,) int64, with NO_LABEL for a sample without label."""

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
    """Row numbers, (B,), for an embedding with classes + 1 rows, whose last row stands for "no label".

    Args:
        labels: (B,) int64 in [-1, classes), -1 for no label; None: no sample has one. The range is checked only on the
            CPU.
        count: B.
        classes: number of classes.
        device: where the result is made if labels is None.

    Raises:
        ValueError: naming `labels`.
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

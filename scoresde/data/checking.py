"""What every set of samples must be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def check_shape(name: str, x: Tensor) -> None:
    """Samples of one dimension or more, some."""
    if x.dim() < 2 or not x.numel():
        raise ValueError(
            "`data` must be points (N, d), images (N, C, H, W) or other samples (N, ...), not empty; got shape"
            f" {tuple(x.shape)} from {name}"
        )


def check_labels(name: str, labels: Any, count: int) -> None:
    """None, or one non-negative int64 a sample."""
    if labels is not None and (labels.dtype != torch.int64 or labels.shape != (count,) or bool((labels < 0).any())):
        raise ValueError(
            f"`labels` of {name} must be {count} non-negative int64, got {tuple(labels.shape)} {labels.dtype}"
        )

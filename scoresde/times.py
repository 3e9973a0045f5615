"""Times and coefficients: float64 scalars off the hot path, cast to the state right before the multiply."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from solvers import check


def as_time(t: Any, name: str = "t") -> Tensor:
    """A time as a floating tensor; a plain number becomes 0-d float64."""
    if isinstance(t, Tensor):
        return check.floating(name, t)
    return torch.tensor(check.number(name, t), dtype=torch.float64)


def like(c: Tensor, x: Tensor, name: str = "t") -> Tensor:
    """A coefficient, 0-d, (B,) or (B, 1, ..., 1), ready to multiply x of shape (B, ...) without promoting it."""
    if c.dim() == 0:
        return c if c.device.type == "cpu" else c.to(x.device)
    if c.numel() != x.shape[0] or c.shape[0] != x.shape[0]:
        raise ValueError(f"`{name}` must be a number or hold one value per sample, got shape {tuple(c.shape)} for a batch of shape {tuple(x.shape)}")
    if c.device.type != "cpu" and c.device.type != x.device.type:
        raise ValueError(f"`{name}` must be on the state's device {x.device} or on the CPU, got {c.device}")
    return c.reshape(-1, *[1] * (x.dim() - 1)).to(x.device, x.dtype)


def per_sample(c: Tensor, x: Tensor) -> Tensor:
    """The same as one value per sample, (B,), in x's dtype: what a network is given."""
    return torch.ones(x.shape[0], dtype=x.dtype, device=x.device) * like(c, x).reshape(-1).to(x.dtype)  # 0-d made 1-d would promote

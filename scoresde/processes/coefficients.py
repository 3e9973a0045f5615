"""Times and coefficients. They are computed as float64 scalars. Just before they multiply a state, they are cast to its
dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from solvers import check
from solvers.solver import is_plain_scalar

T = TypeVar("T")
_MOST = 1 << 14


class CachedCoefficients(Generic[T]):
    """Caches f(t) for scalar float64 CPU times, because every batch visits the same noise levels. Inside torch.compile,
    and for any other tensor, f is called directly."""

    def __init__(self, f: Callable[..., T]):
        self.f = f
        self.kept: dict[tuple[float, ...], T] = {}

    def __call__(self, *times: Tensor) -> T:
        if not all(is_plain_scalar(t) and t.dtype == torch.float64 for t in times):
            return self.f(*times)

        key = tuple(t.item() for t in times)
        if key not in self.kept:
            if len(self.kept) >= _MOST:
                self.kept.clear()
            with torch.inference_mode(False):  # so that cached values can be used with gradients later
                self.kept[key] = self.f(*(torch.tensor(t, dtype=torch.float64, device="cpu") for t in key))

        return self.kept[key]


def as_number(c: Tensor | float) -> Tensor | float:
    """The coefficient as a Python float where `is_plain_scalar` allows it; else the tensor itself."""
    return c.item() if isinstance(c, Tensor) and is_plain_scalar(c) else c


def as_time(t: Any, name: str = "t") -> Tensor:
    """A time as a floating tensor. A plain number becomes a 0-d float64 tensor.

    Args:
        t: a finite number, or a floating tensor of any shape.
        name: name of the argument, for messages.
    """
    if isinstance(t, Tensor):
        return check.floating(name, t)
    return torch.tensor(check.number(name, t), dtype=torch.float64, device="cpu")


def like(c: Tensor, x: Tensor, name: str = "t") -> Tensor:
    """A coefficient in a form that multiplies x without changing its dtype.

    Args:
        c: the coefficient, 0-d, (B,) or (B, 1, ..., 1).
        x: the tensor that it will multiply, (B, ...).
        name: name of the argument, for messages.
    """
    if c.dim() == 0:
        return c if c.device.type == "cpu" else c.to(x.device)
    if c.numel() != x.shape[0] or c.shape[0] != x.shape[0]:
        raise ValueError(
            f"`{name}` must be a number or hold one value per sample, got shape {tuple(c.shape)} for a batch of"
            f" shape {tuple(x.shape)}"
        )
    if c.device.type != "cpu" and c.device.type != x.device.type:
        raise ValueError(f"`{name}` must be on the state's device {x.device} or on the CPU, got {c.device}")

    return c.reshape(-1, *[1] * (x.dim() - 1)).to(x.device, x.dtype)


def per_sample(c: Tensor | float, x: Tensor) -> Tensor:
    """A coefficient as one value per sample, (B,), in x's dtype. Networks take the noise level in this form.

    Args:
        c: a number, or a coefficient as `like` takes it.
        x: the batch, (B, ...).
    """
    if not isinstance(c, Tensor):
        return torch.full((x.shape[0],), c, dtype=x.dtype, device=x.device)

    ones = torch.ones(x.shape[0], dtype=x.dtype, device=x.device)
    value = like(c, x)

    return ones * (
        value if value.dim() == 0 else value.reshape(-1)
    )  # a 0-d one neither promotes nor has to be on x's device


def check_range(
    low: tuple[str, float],
    high: tuple[str, float],
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    """Check that both ends of a range are finite, lie in (above, below), and are in order.

    Args:
        low: name and value of the lower end.
        high: name and value of the upper end.
        above: number that both ends must exceed.
        below: number that both ends must stay below.

    Raises:
        TypeError, ValueError: naming the end.
    """
    check.number(high[0], high[1], above=above, below=below)
    check.number(low[0], low[1], above=above, below=below)
    if low[1] >= high[1]:
        raise ValueError(f"`{high[0]}` must be greater than {low[0]} = {low[1]!r}, got {high[1]!r}")


def widened(log: Callable[[Tensor], Tensor], t: Any) -> Tensor:
    """exp(log(t)), in the dtype of t. It is computed in float64 where the device has it, because exp multiplies the
    rounding error of log by |log|.

    Args:
        log: function from a time tensor to a logarithm of the same shape.
        t: times, a number or a floating tensor.
    """
    t = as_time(t)
    return log(t).exp() if t.device.type == "mps" else log(t.double()).exp().to(t.dtype)

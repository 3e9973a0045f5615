"""Right-hand sides that count their calls and are checked at each answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from .equation import Equation, Field


@dataclass
class Tally:
    """Calls of f and g so far."""

    f: int = 0
    g: int = 0


def counted(eq: Equation, tally: Tally) -> Equation:
    """The same equation; its calls go to `tally`, and what would broadcast, promote or move the state is refused."""

    def f(t: Tensor, y: Tensor) -> Tensor:
        tally.f += 1
        return checked("f", eq.f, t, y, exact=True)

    def g(t: Tensor, y: Tensor) -> Tensor:
        tally.g += 1
        assert eq.g is not None
        return checked("g", eq.g, t, y, exact=False)

    def take(index: Tensor) -> Equation:
        assert eq.take is not None
        return counted(eq.take(index), tally)

    return replace(eq, f=f, g=None if eq.g is None else g, take=None if eq.take is None else take)


def checked(name: str, field: Field, t: Tensor, y: Tensor, exact: bool) -> Tensor:
    """field(t, y), which must be like y (exact), or at least broadcast against it."""
    out: Any = field(t, y)
    if not isinstance(out, Tensor):
        raise TypeError(f"`{name}` must return a tensor, got {type(out).__name__}")
    if exact and out.shape != y.shape:
        raise ValueError(
            f"`{name}` must return the state's shape {tuple(y.shape)}, got {tuple(out.shape)}; nothing is broadcast"
            " (where it holds per-sample data, give the Equation a `take`)"
        )
    if not exact and (out.dim() > y.dim() or any(m not in (1, n) for m, n in zip(reversed(out.shape), reversed(y.shape), strict=False))):
        raise ValueError(f"`{name}` must broadcast against the state's shape {tuple(y.shape)}, got {tuple(out.shape)}: noise is diagonal, not a matrix")
    if out.dim() and out.dtype != y.dtype:
        raise TypeError(f"`{name}` must return the state's dtype {y.dtype}, got {out.dtype}; cast it, or the state")
    if out.dim() and out.device != y.device:
        raise ValueError(f"`{name}` must return a tensor on the state's device {y.device}, got {out.device}")
    return out

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

    def add(self, f: int, g: int) -> None:
        """So many more."""
        self.f += f
        self.g += g


@dataclass(frozen=True)
class Counted:
    """A right-hand side that adds `once` to its tally at each call, and whose answer is checked."""

    name: str
    field: Field
    exact: bool
    tally: Tally
    once: tuple[int, int]

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.tally.f += self.once[0]
        self.tally.g += self.once[1]
        return checked(self.name, self.field, t, y, self.exact)


def counted(eq: Equation, tally: Tally) -> Equation:
    """The same equation; its calls go to `tally` alone, and what would broadcast, promote or move the state is refused."""

    def take(index: Tensor) -> Equation:
        assert eq.take is not None
        return counted(eq.take(index), tally)

    f = eq.f.field if isinstance(eq.f, Counted) else eq.f
    g = eq.g.field if isinstance(eq.g, Counted) else eq.g
    return replace(
        eq,
        f=Counted("f", f, True, tally, (1, 0)),
        g=None if g is None else Counted("g", g, False, tally, (0, 1)),
        take=None if eq.take is None else take,
    )


def charge(eq: Equation, f: int, g: int) -> None:
    """Tell the tally of an equation, if it has one, of calls that went past it."""
    if isinstance(eq.f, Counted):
        eq.f.tally.add(f, g)


def checked(name: str, field: Field, t: Tensor, y: Tensor, exact: bool) -> Tensor:
    """field(t, y), which must be like y (exact), or at least broadcast against it."""
    out: Any = field(t, y)
    if isinstance(out, Tensor) and out.shape == y.shape and out.dtype == y.dtype and out.device == y.device:
        return out
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

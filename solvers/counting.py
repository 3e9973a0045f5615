"""Wrappers of f and g that count their calls and check each returned tensor."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .equation import Equation, Field


@dataclass
class Tally:
    """A counter of the calls of f and g."""

    f: int = 0
    g: int = 0
    last: dict[str, tuple[weakref.ref[Tensor], int]] = field(default_factory=dict)

    def note(self, name: str, out: Tensor) -> None:
        """Raise ValueError if the previous returned tensor was modified since: a solver may still use it.

        Args:
            name: "f" or "g".
            out: the tensor that was returned now; it is compared at the next call.
        """
        kept, version = self.last.get(name, (None, 0))
        before = None if kept is None else kept()
        if before is not None and before._version != version:
            raise ValueError(
                f"`{name}` must return a new tensor at each call, but it wrote into the tensor of its last answer;"
                " return a clone of the buffer"
            )

        if not out.is_inference():
            self.last[name] = weakref.ref(out), out._version

    def add(self, f: int, g: int) -> None:
        """Add to the counts.

        Args:
            f: calls of f.
            g: calls of g.
        """
        self.f += f
        self.g += g


@dataclass(frozen=True, eq=False)  # created inside compiled graphs, which cannot hash its fields before torch 2.13
class Counted:
    """A wrapper of f or g that adds `once` to its tally at each call and checks the returned tensor."""

    name: str
    rule: Field
    exact: bool
    tally: Tally
    once: tuple[int, int]

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.tally.f += self.once[0]
        self.tally.g += self.once[1]

        if torch.compiler.is_compiling() or y.is_inference():
            return checked(self.name, self.rule, t, y, self.exact)

        before = y._version
        out = checked(self.name, self.rule, t, y, self.exact)

        if y._version != before:
            raise ValueError(
                f"`{self.name}` must not change y, but it did so in place; write y.neg(), for example, not y.neg_()"
            )

        self.tally.note(self.name, out)

        return out


def counted(eq: Equation, tally: Tally) -> Equation:
    """The same equation, with its calls of f and g counted by `tally` and the returned tensors checked.

    Args:
        eq: the equation. If its calls are already counted, `tally` replaces the previous counter.
        tally: the counter.
    """

    def take(index: Tensor) -> Equation:
        assert eq.select is not None
        return counted(eq.select(index), tally)

    f = eq.f.rule if isinstance(eq.f, Counted) else eq.f
    g = eq.g.rule if isinstance(eq.g, Counted) else eq.g

    return replace(
        eq,
        f=Counted("f", f, True, tally, (1, 0)),
        g=None if g is None else Counted("g", g, False, tally, (0, 1)),
        select=None if eq.select is None else take,
    )


def add_calls(eq: Equation, f: int, g: int) -> None:
    """Add calls that were made inside a compiled step to the equation's counter, if it has one.

    Args:
        eq: the equation.
        f: calls of f.
        g: calls of g.
    """
    if isinstance(eq.f, Counted):
        eq.f.tally.add(f, g)


def checked(
    name: str,
    rule: Field,
    t: Tensor,
    y: Tensor,
    exact: bool,
) -> Tensor:
    """Call rule(t, y) and check that the returned tensor fits the state.

    Args:
        name: "f" or "g", for messages.
        rule: f or g of an equation.
        t: the time, 0-d, or (B, 1, ..., 1).
        y: the state, (B, ...).
        exact: whether the tensor must have the shape of y; False: it may broadcast against y. It must have the dtype
            and device of y; a 0-d tensor that broadcasts may have others.

    Raises:
        TypeError: if it is not a tensor, or has another dtype.
        ValueError: if it has another shape or device.
    """
    out: Any = rule(t, y)
    if isinstance(out, Tensor) and out.shape == y.shape and out.dtype == y.dtype and out.device == y.device:
        return out
    if not isinstance(out, Tensor):
        raise TypeError(f"`{name}` must return a tensor, got {type(out).__name__}")
    if exact and out.shape != y.shape:
        raise ValueError(
            f"`{name}` must return the state's shape {tuple(y.shape)}, got {tuple(out.shape)}; nothing is broadcast"
            " (where it holds per-sample data, give the Equation a `select`, which takes rows)"
        )
    if not exact and (
        out.dim() > y.dim()
        or any(m not in (1, n) for m, n in zip(reversed(out.shape), reversed(y.shape), strict=False))
    ):
        raise ValueError(
            f"`{name}` must broadcast against the state's shape {tuple(y.shape)}, got {tuple(out.shape)}: noise"
            " is diagonal, not a matrix"
        )
    if out.dim() and out.dtype != y.dtype:
        raise TypeError(f"`{name}` must return the state's dtype {y.dtype}, got {out.dtype}; cast it, or the state")
    if out.dim() and out.device != y.device:
        raise ValueError(f"`{name}` must return a tensor on the state's device {y.device}, got {out.device}")

    return out

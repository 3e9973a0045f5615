"""Arguments are checked once, at the edge, and every message has one shape: what must hold, what came, what to do."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor


def number(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    hint: str = "",
) -> float:
    """`value` as a float within the bounds; or raise.

    Args:
        name: of the argument, for messages.
        value: what came; must be a finite int or float, no bool and no tensor.
        above: it must be greater.
        least: it must be this or greater.
        below: it must be less.
        most: it must be this or less.
        hint: what to do instead, for the end of the message.

    Raises:
        TypeError: where it is no number.
        ValueError: where it is not finite or out of bounds.
    """
    detached(name, value)

    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"`{name}` must be a number, got {type(value).__name__} {value!r}{_tail(hint)}")

    if not (-math.inf < value < math.inf and above < value < below and least <= value <= most):
        bounds = [("> ", above), (">= ", least), ("< ", below), ("<= ", most)]
        wanted = " and ".join(f"{sign}{bound:g}" for sign, bound in bounds if math.isfinite(bound))
        raise ValueError(f"`{name}` must be finite{' and ' + wanted if wanted else ''}, got {value!r}{_tail(hint)}")

    return float(value)


def detached(name: str, value: Any) -> None:
    """Raise ValueError for a tensor that requires a gradient: times, tolerances and steps must not.

    Args:
        name: of the argument, for messages.
        value: what came; all but such a tensor passes.
    """
    if isinstance(value, Tensor) and value.requires_grad:
        raise ValueError(f"`{name}` must not require a gradient, got a tensor with requires_grad; detach it")


def integer(
    name: str,
    value: Any,
    *,
    least: int = 1,
    most: int = 10**7,
    hint: str = "",
) -> int:
    """`value` as an int in [least, most]; or raise.

    Args:
        name: of the argument, for messages.
        value: what came; no bool.
        least: smallest allowed.
        most: largest allowed.
        hint: what to do instead, for the end of the message.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`{name}` must be an integer, got {type(value).__name__} {value!r}{_tail(hint)}")
    if not least <= value <= most:
        raise ValueError(f"`{name}` must lie in [{least}, {most}], got {value}{_tail(hint)}")
    return value


def takes(
    name: str,
    function: Any,
    arguments: int,
    shown: str,
) -> None:
    """A callable that can be called with `arguments` positional arguments, as far as its signature can be read.

    Args:
        name: of the argument, for messages.
        function: what came.
        arguments: how many.
        shown: what is wanted, for the message, as in "(t, y) -> tensor".
    """
    if not callable(function):
        raise TypeError(f"`{name}` must be a callable {shown}, got {type(function).__name__}")

    try:
        inspect.signature(function).bind(*[None] * arguments)
    except ValueError:  # built in, without a signature
        return
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be a callable {shown}, got one with signature {inspect.signature(function)}"
        ) from error


def seed(name: str, value: Any) -> int:
    """A seed: an integer in [0, 2^63).

    Args:
        name: of the argument, for messages.
        value: what came.
    """
    return integer(name, value, least=0, most=2**63 - 1)


def floating(name: str, x: Any) -> Tensor:
    """A real floating-point tensor; or raise.

    Args:
        name: of the argument, for messages.
        x: what came.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a torch.Tensor, got {type(x).__name__}; use torch.as_tensor(...)")
    if not x.is_floating_point():
        hint = f"torch.view_as_real({name}) keeps both parts" if x.is_complex() else f"use {name}.float() or .double()"
        raise TypeError(f"`{name}` must be a real floating-point tensor, got {x.dtype}; {hint}")
    return x


def state(name: str, x: Any) -> Tensor:
    """A state: a finite floating-point tensor of shape (B, ...) with B >= 1.

    Args:
        name: of the argument, for messages.
        x: what came.
    """
    x = floating(name, x)
    if x.dim() == 0 or x.shape[0] == 0:
        raise ValueError(f"`{name}` must have shape (B, ...) with B >= 1, got {tuple(x.shape)}")

    bad = ~torch.isfinite(x.detach())
    if bad.any():
        first = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"`{name}` must be finite, got {int(bad.sum())} NaN or Inf values, the first at index {first}")

    return x


def shape(name: str, value: Any) -> tuple[int, ...]:
    """A shape (B, ...) of positive integers.

    Args:
        name: of the argument, for messages.
        value: what came: a tuple or a list, not empty.
    """
    if not isinstance(value, (tuple, list)) or not value:
        raise ValueError(f"`{name}` must be a non-empty tuple (B, ...), got {value!r}")

    sizes: tuple[Any, ...] = tuple(value)

    for n in sizes:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"`{name}` must hold positive integers, got {sizes!r}")

    return sizes


def times(name: str, value: Any) -> Tensor:
    """A grid of at least two strictly monotone finite times, as a float64 tensor on the CPU.

    Args:
        name: of the argument, for messages.
        value: what came: a 1-D floating tensor on any device, rising or falling, without a gradient.
    """
    value = floating(name, value)
    detached(name, value)

    if value.dim() != 1 or len(value) < 2:
        raise ValueError(f"`{name}` must be a 1-D tensor of at least 2 times, got shape {tuple(value.shape)}")

    value = value.detach().to("cpu", torch.float64)
    if not torch.isfinite(value).all():
        raise ValueError(f"`{name}` must be finite, got {value.tolist()}")

    forward = value.diff() * torch.sign(value[-1] - value[0])
    if not (forward > 0).all():
        at = int((forward <= 0).nonzero()[0])
        pair = value[at : at + 2].tolist()
        raise ValueError(
            f"`{name}` must be strictly monotone, got {pair} at index {at}; remove the repeated or turning point"
        )

    return value


def values(x: Tensor) -> list[float]:
    """The numbers of a 1-D tensor."""
    return cast("list[float]", x.tolist())  # pyright: ignore[reportUnknownMemberType]


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """One of `options`; the message lists them and the nearest.

    Args:
        name: of the argument, for messages.
        value: what came.
        options: what is allowed.
    """
    known = sorted(options)

    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string, got {type(value).__name__} {value!r}")

    if value not in known:
        near = difflib.get_close_matches(value, known, 1, 0.4)
        raise ValueError(
            f"`{name}` must be one of {', '.join(known)}, got"
            f" {value!r}{_tail(f'did you mean {near[0]!r}?' if near else '')}"
        )

    return value


def _tail(hint: str) -> str:
    return f"; {hint}" if hint else ""

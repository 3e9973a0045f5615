"""Checks of arguments. Public functions check their arguments once, before they compute anything.

Every message has the same form: what must hold, what was given, what to do instead."""

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
    """Return `value` as a float after checking that it is finite and within the bounds.

    Args:
        name: name of the argument, for messages.
        value: the value given; must be a finite int or float, no bool and no tensor.
        above: lower bound; the value must be greater.
        least: smallest value allowed.
        below: upper bound; the value must be less.
        most: largest value allowed.
        hint: what to do instead, for the end of the message.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is not finite or out of bounds.
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
    """Raise ValueError for a tensor that requires a gradient. Times, tolerances and step sizes must not require one.

    Args:
        name: name of the argument, for messages.
        value: the value given; anything else passes.
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
    """Return `value` after checking that it is an int in [least, most].

    Args:
        name: name of the argument, for messages.
        value: the value given; no bool.
        least: smallest value allowed.
        most: largest value allowed.
        hint: what to do instead, for the end of the message.

    Raises:
        TypeError: if it is not an int.
        ValueError: if it is out of bounds.
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
    """Raise TypeError unless `function` can be called with `arguments` positional arguments.

    A built-in function whose signature cannot be read passes.

    Args:
        name: name of the argument, for messages.
        function: the value given.
        arguments: number of positional arguments.
        shown: the expected signature, for the message, for example "(t, y) -> tensor".
    """
    if not callable(function):
        raise TypeError(f"`{name}` must be a callable {shown}, got {type(function).__name__}")

    try:
        inspect.signature(function).bind(*[None] * arguments)
    except ValueError:  # a built-in function without a readable signature
        return
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be a callable {shown}, got one with signature {inspect.signature(function)}"
        ) from error


def seed(name: str, value: Any) -> int:
    """Return a seed after checking that it is an integer in [0, 2^63).

    Args:
        name: name of the argument, for messages.
        value: the value given.
    """
    return integer(name, value, least=0, most=2**63 - 1)


def floating(name: str, x: Any) -> Tensor:
    """Return `x` after checking that it is a real floating-point tensor; otherwise raise TypeError.

    Args:
        name: name of the argument, for messages.
        x: the value given.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a torch.Tensor, got {type(x).__name__}; use torch.as_tensor(...)")
    if not x.is_floating_point():
        hint = f"torch.view_as_real({name}) keeps both parts" if x.is_complex() else f"use {name}.float() or .double()"
        raise TypeError(f"`{name}` must be a real floating-point tensor, got {x.dtype}; {hint}")
    return x


def state(name: str, x: Any) -> Tensor:
    """Return a state after checking that it is a finite floating-point tensor of shape (B, ...) with B >= 1.

    Args:
        name: name of the argument, for messages.
        x: the value given.
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
    """Return a shape (B, ...) as a tuple after checking that it holds positive integers.

    Args:
        name: name of the argument, for messages.
        value: the value given: a tuple or a list, not empty.
    """
    if not isinstance(value, (tuple, list)) or not value:
        raise ValueError(f"`{name}` must be a non-empty tuple (B, ...), got {value!r}")

    sizes: tuple[Any, ...] = tuple(value)

    for n in sizes:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"`{name}` must hold positive integers, got {sizes!r}")

    return sizes


def times(name: str, value: Any) -> Tensor:
    """Return a grid of at least two strictly monotone finite times as a float64 tensor on the CPU.

    Args:
        name: name of the argument, for messages.
        value: the value given: a 1-D floating tensor on any device, increasing or decreasing, without a gradient.
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
    """The elements of a 1-D tensor as Python floats."""
    return cast("list[float]", x.tolist())  # pyright: ignore[reportUnknownMemberType]


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """Return `value` after checking that it is one of `options`. The error message lists them and suggests the
    nearest.

    Args:
        name: name of the argument, for messages.
        value: the value given.
        options: the strings allowed.
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

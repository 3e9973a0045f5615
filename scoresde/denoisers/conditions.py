"""Conditions of a batch: a tensor, or a dict, list or tuple of them, nested to any depth, with one entry per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from ..networks.labels import NO_LABEL


def each(f: Callable[[Any, str], Any], cond: Any, name: str = "cond") -> Any:
    """Apply f(leaf, name) to every leaf of a condition. A leaf is anything but a dict, list or tuple; the structure
    stays the same.

    Args:
        f: function of a leaf (which may be None) and its name, as in `cond['text']` or `cond[0]`.
        cond: the condition.
        name: name of the whole condition.
    """
    if isinstance(cond, Mapping):
        return {key: each(f, part, f"{name}[{key!r}]") for key, part in cast("Mapping[Any, Any]", cond).items()}

    if isinstance(cond, (list, tuple)):
        parts = [each(f, part, f"{name}[{i}]") for i, part in enumerate(cast("list[Any]", cond))]
        named = hasattr(cond, "_fields")  # a named tuple
        return type(cond)(*parts) if named else type(cond)(parts)  # pyright: ignore[reportUnknownVariableType, reportCallIssue]

    return f(cond, name)


def prepared(
    cond: Any,
    count: int,
    device: Any = None,
    name: str = "cond",
) -> Any:
    """Check a condition for `count` samples. Each tensor must have `count` rows; it is moved to `device`.

    Args:
        cond: None for no condition, a tensor, or a dict, list or tuple of them. A plain number holds for all samples:
            an int becomes (count,) int64, a float (count,) float32.
        count: number of samples of the batch.
        device: device of the batch; None: tensors are not moved.
        name: name of the argument, for messages.

    Returns:
        The condition in the same structure, with tensors (or None) as leaves.

    Raises:
        ValueError: naming the tensor, as in `cond['text']`, if it has not one row per sample.
        TypeError: naming a leaf that is not a tensor or a number.
    """

    def checked(leaf: Any, leaf_name: str) -> Any:
        if leaf is None:
            return None
        if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
            return torch.full(
                (count,), leaf, dtype=torch.int64 if isinstance(leaf, int) else torch.float32, device=device or "cpu"
            )
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"`{leaf_name}` must be a tensor, a number, or a dict, list or tuple of them, got {type(leaf).__name__}"
            )

        if leaf.dim() == 0:
            leaf = leaf.expand(count)

        if len(leaf) != count:
            raise ValueError(
                f"`{leaf_name}` must hold one entry per sample, as `labels` do, {count} of them, got shape"
                f" {tuple(leaf.shape)}"
            )

        return leaf if device is None else leaf.to(device)

    return each(checked, cond, name)


def rows(cond: Any, index: Any) -> Any:
    """The entries of a condition for some samples.

    Args:
        cond: None, a tensor, or a dict, list or tuple of them, (B, ...) each.
        index: a slice, or a tensor of whole numbers or of truth values.
    """

    def some(leaf: Any, _: str) -> Any:
        if leaf is None:
            return None
        return leaf[index.to(leaf.device) if isinstance(index, Tensor) else index]

    return each(some, cond)


def differ(a: Any, b: Any) -> Tensor:
    """For each sample, whether its condition differs between `a` and `b`: (B,) bool on the CPU.

    Args:
        a: a tensor, or a dict, list or tuple of them, (B, ...) each.
        b: another of the same structure and shapes.
    """
    leaves: list[list[Tensor]] = [[], []]
    for kept, cond in zip(leaves, (a, b), strict=True):
        each(lambda leaf, _, kept=kept: None if leaf is None else kept.append(leaf.cpu()), cond)
    return torch.stack([(one != other).reshape(len(one), -1).any(1) for one, other in zip(*leaves, strict=True)]).any(0)


def hidden(cond: Any, where: Tensor) -> Any:
    """The condition with its entries for some samples replaced by "no condition".

    Args:
        cond: None, a tensor, or a dict, list or tuple of them, (B, ...) each.
        where: the samples, (B,) bool.

    Returns:
        The condition in the same structure. For these samples, signed integers are NO_LABEL, floating and complex
        numbers zero, and truth values False.

    Raises:
        TypeError: naming a tensor of unsigned integers, which have no value for "no label".
    """

    def masked(leaf: Any, name: str) -> Any:
        if leaf is None:
            return None

        if leaf.is_floating_point() or leaf.is_complex() or leaf.dtype == torch.bool:
            left_out = 0
        elif leaf.dtype.is_signed:
            left_out = NO_LABEL
        else:
            raise TypeError(
                f"`{name}` must be signed so that {NO_LABEL} can mean no label, got {leaf.dtype}; pass {name}.long()"
            )

        mask = where.to(leaf.device).reshape(-1, *[1] * (leaf.dim() - 1))

        return leaf.masked_fill(mask, left_out)

    return each(masked, cond)


def joined(a: Any, b: Any) -> Any:
    """The entries of condition `a`, followed by those of condition `b`.

    Args:
        a: None, a tensor, or a dict, list or tuple of them.
        b: another of the same structure.
    """
    others: list[Any] = []
    each(lambda leaf, _: others.append(leaf), b)
    rest = iter(others)

    def both(leaf: Any, _: str) -> Any:
        other = next(rest)
        return None if leaf is None else torch.cat((leaf, other))

    return each(both, a)

"""Random numbers as functions of a counter and a key. There is no state; the words are the same on every device."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

MASK = 0xFFFFFFFF  # the lower 32 bits


def philox(counter: Sequence[Tensor], key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The Philox4x32-10 generator: four random 32-bit words (in int64) from a 4-word counter and a 2-word key.

    Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", SC'11.

    Args:
        counter: four int64 tensors of one shape, each with values in [0, 2^32).
        key: two integers in [0, 2^32).

    Returns:
        Four int64 tensors of the counter's shape, each with values in [0, 2^32).
    """

    c0, c1, c2, c3 = counter
    k0, k1 = key

    for _ in range(10):
        p0 = c0 * 0xD2511F53  # the product may overflow int64, but its 64 bits are correct
        p1 = c2 * 0xCD9E8D57
        c0 = (p1 >> 32).bitwise_and_(MASK).bitwise_xor_(c1 ^ k0)
        c1 = p1.bitwise_and_(MASK)
        c2 = (p0 >> 32).bitwise_and_(MASK).bitwise_xor_(c3 ^ k1)
        c3 = p0.bitwise_and_(MASK)
        k0 = (k0 + 0x9E3779B9) & MASK
        k1 = (k1 + 0xBB67AE85) & MASK

    return c0, c1, c2, c3


def box_muller(words: Tensor) -> Tensor:
    """Pairs of standard normals from pairs of 32-bit words, in float64, by the Box-Muller method.

    Shapes: (..., 2 n) -> (..., n, 2)."""
    uniform = words.to(torch.float64).add_(0.5).mul_(2.0**-32)
    radius = uniform[..., 0::2].log().mul_(-2.0).sqrt_()
    angle = uniform[..., 1::2].mul(2 * math.pi)
    return torch.stack((radius * angle.cos(), radius.mul_(angle.sin())), dim=-1)


def open_unit(high: Tensor, low: Tensor) -> Tensor:
    """Uniform float64 numbers in (0, 1), each made from 53 bits of two words.

    Args:
        high: 32-bit words in int64, of any shape; all bits are used.
        low: 32-bit words like `high`; the upper 21 bits are used.
    """
    return ((high << 21) + (low >> 11)).to(torch.float64).mul_(2.0**-53).add_(2.0**-54)

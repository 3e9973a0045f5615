"""Which samples make a batch, and how they are augmented: functions of seed and step."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=2)
def permutation(n: int, seed: int) -> Tensor:
    """A random order of n samples. The two orders that were asked for last are kept.

    Args:
        n: number of samples.
        seed: of the order.

    Returns:
        The numbers 0 to n - 1, each once, (n,) int64 on the CPU. Every caller gets the same tensor: do not change it.
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed), device="cpu")


def generator_for(seed: int, step: int) -> torch.Generator:
    """A generator of random numbers for one training step.

    Args:
        seed: of the run.
        step: of training; another step gives other numbers.

    Returns:
        A new CPU generator.
    """
    return torch.Generator().manual_seed(mixed(seed, step))


def mixed(seed: int, n: int) -> int:
    """A seed of its own for the n-th use of `seed`.

    Args:
        seed: of all uses.
        n: which use.
    """
    return (seed * 0x9E3779B97F4A7C15 + n * 0xBF58476D1CE4E5B9) % 2**63


def shifted(x: Tensor, by: Tensor) -> Tensor:
    """Images moved to the right; what is vacated takes the image's minimum.

    Args:
        x: images, (B, C, H, W).
        by: pixels, (B,) whole numbers; negative ones move to the left.
    """
    width = x.shape[-1]
    source = torch.arange(width, device=by.device) - by.unsqueeze(-1)
    inside = ((source >= 0) & (source < width)).reshape(-1, 1, 1, width)
    moved = x.gather(-1, source.clamp(0, width - 1).reshape(-1, 1, 1, width).expand(x.shape))
    return torch.where(inside, moved, x.amin(dim=(1, 2, 3), keepdim=True))

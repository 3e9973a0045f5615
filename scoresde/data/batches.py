"""Choose the samples of a batch and augment them. Both depend on the seed and the step alone."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=2)
def permutation(n: int, seed: int) -> Tensor:
    """A random order of n samples. The two most recently used orders are cached.

    Args:
        n: number of samples.
        seed: determines the order.

    Returns:
        The numbers 0 to n - 1, each once, (n,) int64 on the CPU. Every caller gets the same tensor: do not change it.
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed), device="cpu")


def generator_for(seed: int, step: int) -> torch.Generator:
    """A random number generator for one training step.

    Args:
        seed: of the run.
        step: number of the training step; every step gives different random numbers.

    Returns:
        A new CPU generator.
    """
    return torch.Generator().manual_seed(mixed(seed, step))


def mixed(seed: int, n: int) -> int:
    """Derive a different seed for each use of one seed.

    Args:
        seed: the seed that all uses share.
        n: number of the use.

    Returns:
        The seed of the n-th use, in [0, 2^63).
    """
    return (seed * 0x9E3779B97F4A7C15 + n * 0xBF58476D1CE4E5B9) % 2**63


def shifted(x: Tensor, by: Tensor) -> Tensor:
    """Shift each image to the right. Vacated pixels take the minimum of their image.

    Args:
        x: images, (B, C, H, W).
        by: shift of each image in pixels, (B,) whole numbers; negative ones shift to the left.
    """
    width = x.shape[-1]
    source = torch.arange(width, device=by.device) - by.unsqueeze(-1)
    inside = ((source >= 0) & (source < width)).reshape(-1, 1, 1, width)
    moved = x.gather(-1, source.clamp(0, width - 1).reshape(-1, 1, 1, width).expand(x.shape))
    return torch.where(inside, moved, x.amin(dim=(1, 2, 3), keepdim=True))

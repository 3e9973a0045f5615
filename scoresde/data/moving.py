"""Clips of moving digits: video data in which the true positions are known."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from .samples import Dataset
from .toys import digits

_SIDE = 8  # side of a digit in pixels
_SLOWEST, _FASTEST = 0.5, 1.5  # pixels per frame, along each axis


class MovingDigits(NamedTuple):
    """Clips and the positions of their digits.

    data    clips (N, 1, frames, height, width) in [-1, 1]; the labels are the digits
    tracks  upper left corner of the digit in each frame: row and column in pixels from the upper left corner of the
            frame, (N, frames, 2)
    """

    data: Dataset
    tracks: Tensor


def moving_digits(
    n: int = 2000,
    frames: int = 8,
    size: tuple[int, int] = (16, 16),
    seed: int = 0,
) -> MovingDigits:
    """Clips of one moving digit each, from scikit-learn. It moves in a straight line and is reflected at the walls.

    Along each axis the start is uniform over the positions at which the digit fits, the speed is uniform from 0.5 to
    1.5 pixels per frame, and both directions are equally likely. Positions between pixels are interpolated.

    Args:
        n: number of clips.
        frames: number of frames in a clip.
        size: height and width in pixels, at least 8 each.
        seed: determines digits, starts and velocities; clip i depends on (seed, i) alone.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    check.integer("n", n)
    check.integer("frames", frames)
    height, width = check.shape("size", size)
    if min(height, width) < _SIDE:
        raise ValueError(f"`size` must be at least {_SIDE} a side, got {size}")

    source = _digits()
    u = SeededNoise(check.seed("seed", seed)).uniform(PRIOR, range(1), (n, 7), device="cpu")[0].double()
    which = (u[:, 0] * len(source.x)).long().clamp(max=len(source.x) - 1)
    room = torch.tensor([height - _SIDE, width - _SIDE], dtype=torch.float64, device="cpu")
    speed = _SLOWEST + (_FASTEST - _SLOWEST) * u[:, 3:5]
    velocity = torch.where(u[:, 5:7] < 0.5, -speed, speed)
    at = u[:, None, 1:3] * room + velocity[:, None] * torch.arange(frames, dtype=torch.float64, device="cpu")[:, None]
    tracks = _reflected(at, room)

    clips = _placed(source.x[which], tracks, (height, width))
    assert source.labels is not None

    return MovingDigits(Dataset(clips, source.labels[which], "moving digits", 8.0, 8.0), tracks)


@lru_cache(maxsize=1)
def _digits() -> Dataset:
    """The digits, read only once, because training may draw new clips at every step."""
    return digits()


def _reflected(at: Tensor, room: Tensor) -> Tensor:
    """Positions after reflection at the walls 0 and room."""
    period = (2 * room).clamp(min=1e-9)
    folded = at.remainder(period)
    return torch.where(room > 0, torch.minimum(folded, period - folded), 0.0)


def _placed(images: Tensor, tracks: Tensor, size: tuple[int, int]) -> Tensor:
    """Draw digits (N, 1, 8, 8) at corners (N, frames, 2) by bilinear interpolation: (N, 1, frames, height, width)."""
    n, frames = tracks.shape[:2]
    rows = torch.arange(size[0], dtype=torch.float64, device="cpu")[:, None].expand(size)
    columns = torch.arange(size[1], dtype=torch.float64, device="cpu").expand(size)
    pixels = torch.stack((rows, columns), -1)
    inside = pixels - tracks.reshape(n * frames, 1, 1, 2)
    grid = ((2 * inside + 1) / _SIDE - 1).flip(-1)
    lifted = (images + 1).double().repeat_interleave(frames, 0)
    drawn = F.grid_sample(lifted, grid, mode="bilinear", padding_mode="zeros", align_corners=False) - 1

    return drawn.reshape(n, frames, 1, *size).transpose(1, 2).float().clamp(-1, 1)

"""Measurements that give some frames of a clip: to animate an image, to extend a clip, to join two clips, or to make a
loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from solvers import check

from .image_operators import Mask
from .measurement import Measurement


def seen_frames(at: Sequence[int], shape: Sequence[int]) -> Mask:
    """The measurement operator that selects some frames of a clip.

    Args:
        at: places of the selected frames, from 0; at least one, and not all.
        shape: shape of one clip, (C, frames, H, W).

    Raises:
        TypeError, ValueError: naming the argument.
    """

    shape = check.shape("shape", shape)
    if len(shape) != 4:
        raise ValueError(f"`shape` must be that of a clip, (C, frames, H, W), got {shape}")

    count = shape[1]
    places = [check.integer("at", place, least=0) for place in at]
    if not places or max(places) >= count or len(set(places)) != len(places):
        raise ValueError(f"`at` must hold different places from 0 to {count - 1}, some, got {places}")
    if len(places) == count:
        raise ValueError(f"`at` must leave a frame to be drawn, got all {count}")

    mask = torch.zeros(shape, dtype=torch.bool, device="cpu")
    mask[:, places] = True
    return Mask(mask)


def known_frames(
    frames: Tensor,
    at: Sequence[int],
    count: int,
    std: float = 0.0,
) -> Measurement:
    """The measurement that gives some frames of a clip.

    Samples of its posterior are clips that contain these frames. `Measurement.imposed` inserts them bit for bit.

    Args:
        frames: the given frames, (C, K, H, W), in the model's scale.
        at: the places of these K frames in the clip, from 0.
        count: number of frames of the whole clip.
        std: standard deviation of the noise on the given frames, at least 0.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    frames = check.floating("frames", frames)
    if frames.dim() != 4:
        raise ValueError(f"`frames` must have the shape (C, K, H, W), got {tuple(frames.shape)}")
    if len(at) != frames.shape[1]:
        raise ValueError(f"`at` must hold a place for each of the {frames.shape[1]} frames, got {list(at)}")

    shape = (frames.shape[0], check.integer("count", count), *frames.shape[2:])
    operator = seen_frames(at, shape)
    clip = frames.new_zeros(shape)
    clip[:, list(at)] = frames

    return Measurement(operator, operator.forward(clip[None])[0], std, shape)

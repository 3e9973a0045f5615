"""Clips of moving digits: where the digits are, and that they are the same in all frames."""

from __future__ import annotations

import pytest
import torch

from scoresde.data.moving import moving_digits
from tests.helpers.problems import F64


def test_the_digit_lies_where_the_track_says() -> None:
    """Its centre of mass, less that of the digit itself, is the corner, to 0.05 pixels: at any size and number."""
    for frames, size in ((8, (16, 16)), (12, (12, 20))):
        clips, tracks = moving_digits(40, frames, size, seed=3)
        mass = (clips.x[:, 0] + 1).double()
        total = mass.sum((2, 3))
        row = (mass.sum(3) * torch.arange(size[0], dtype=F64)).sum(2) / total
        column = (mass.sum(2) * torch.arange(size[1], dtype=F64)).sum(2) / total
        inside = torch.stack((row, column), 2) - tracks
        assert clips.x.shape == (40, 1, frames, *size)
        assert float(inside.std(1).max()) < 0.05
        assert bool((inside > 2).all() & (inside < 5).all())


def test_tracks_are_straight_between_walls() -> None:
    _, tracks = moving_digits(200, 10, seed=1)
    assert bool((tracks >= 0).all() & (tracks <= 8).all())
    step = tracks.diff(dim=1)
    assert float(step.abs().max()) <= 1.5 + 1e-12
    free = ((tracks[:, 1:-1] > 1.5) & (tracks[:, 1:-1] < 6.5)).all(2)
    assert float(step.diff(dim=1)[free].abs().max()) < 1e-12


def test_clips_are_functions_of_seed_and_index() -> None:
    a, b = moving_digits(6, seed=5), moving_digits(3, seed=5)
    assert torch.equal(a.data.x[:3], b.data.x)
    assert not torch.equal(a.data.x, moving_digits(6, seed=6).data.x)
    assert a.data.labels is not None
    assert len(set(moving_digits(200).data.labels.tolist())) == 10  # type: ignore[union-attr]


def test_a_frame_as_large_as_a_digit_holds_it_still() -> None:
    clips, tracks = moving_digits(4, 3, (8, 8))
    assert float(tracks.abs().max()) == 0
    assert torch.equal(clips.x[:, :, 0], clips.x[:, :, 2])


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="`size` must be at least 8"):
        moving_digits(2, 2, (7, 16))
    with pytest.raises(ValueError, match="`frames`"):
        moving_digits(2, 0)
    with pytest.raises((TypeError, ValueError), match="`n`"):
        moving_digits(-1)

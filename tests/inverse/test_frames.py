"""Clips of which some frames are given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde import VPSDE, catalogue, exact, inverse, sample

SHAPE = (2, 5, 4, 3)


def clip(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def test_given_frames_are_what_the_operator_sees() -> None:
    whole = clip()
    known = inverse.known_frames(whole[:, [1, 4]], [1, 4], 5)
    assert torch.equal(known.residual(whole[None]), torch.zeros(1, 2 * 2 * 4 * 3))
    assert torch.equal(known.pseudo_inverse()[0, :, [1, 4]], whole[:, [1, 4]])
    assert not known.pseudo_inverse()[0, :, [0, 2, 3]].any()


def test_frames_go_to_the_places_that_are_named_in_any_order() -> None:
    frames = clip()[:, :2]
    known = inverse.known_frames(frames, [3, 0], 5).pseudo_inverse()[0]
    assert torch.equal(known[:, 3], frames[:, 0])
    assert torch.equal(known[:, 0], frames[:, 1])


def test_what_is_imposed_is_kept_to_the_bit_and_the_rest_untouched() -> None:
    known = inverse.known_frames(clip(1)[:, :2], [0, 1], 5)
    x = torch.stack([clip(2), 1e6 * clip(3)])
    made = known.imposed(x)
    assert torch.equal(made[:, :, :2], clip(1)[:, :2].expand(2, -1, -1, -1, -1))
    assert torch.equal(made[:, :, 2:], x[:, :, 2:])


def test_what_is_imposed_by_other_operators_is_what_they_see() -> None:
    x = clip(4)[None]
    operator = inverse.Grey(2)
    y = torch.randn(1, 5, 4, 3, generator=torch.Generator().manual_seed(5))
    made = inverse.Measurement(operator, y, 0.0, SHAPE).imposed(x)
    torch.testing.assert_close(operator.forward(made)[0], y)
    torch.testing.assert_close(made[:, 0] - made[:, 1], x[:, 0] - x[:, 1])


def test_frames_that_are_drawn_know_those_that_are_given() -> None:
    """Clips whose frames are all alike: what is drawn is what is given, by RePaint and by pigdm."""
    pattern = torch.randn(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = torch.stack([pattern, -pattern]).repeat(1, 4)
    model = exact.GaussianMixture(means, torch.tensor([0.01, 0.01], dtype=torch.float64), process=VPSDE())
    mask = torch.zeros(48, dtype=torch.bool)
    mask[:12] = True
    flat = inverse.Measurement(inverse.Mask(mask), means[1, :12], 0.0)

    method = replace(catalogue.ddim(40), wrap=(inverse.RePaint(flat, resamplings=4),))
    for drawn in (
        sample(model, (8, 48), method),
        sample(inverse.pigdm(model, flat), (8, 48), catalogue.unipc(40)),
    ):
        assert float((drawn - means[1]).square().mean().sqrt()) < 0.2


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "out of range": ({"at": [5]}, "`at` must hold different places from 0 to 4"),
    "below": ({"at": [-1]}, "`at` must lie in"),
    "none": ({"at": []}, "`at` must hold a place for each of the 1 frames"),
    "too many": ({"at": [0, 1]}, "`at` must hold a place for each of the 1 frames"),
    "twice": ({"at": [1, 1], "frames": clip()[:, :2]}, "`at` must hold different places"),
    "all": ({"at": [0], "count": 1}, "`at` must leave a frame to be drawn, got all 1"),
    "a batch": ({"frames": clip()[None]}, "`frames` must have the shape"),
    "no tensor": ({"frames": [0.0]}, "`frames` must"),
    "half a frame": ({"count": 1.5}, "`count` must"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case: str) -> None:
    given, message = BAD[case]
    arguments: dict[str, Any] = {"frames": clip()[:, :1], "at": [0], "count": 5}
    with pytest.raises((TypeError, ValueError), match=message):
        inverse.known_frames(**arguments | given)


def test_the_shape_of_a_clip_is_wanted() -> None:
    with pytest.raises(ValueError, match="`shape` must be that of a clip"):
        inverse.seen_frames([0], (1, 8, 8))


def test_nothing_is_imposed_by_what_is_not_linear() -> None:
    bent = inverse.Measurement(inverse.Function(torch.sin), torch.zeros(3), 0.1)
    with pytest.raises(ValueError, match="`measurement` must have a linear operator"):
        bent.imposed(torch.zeros(2, 3))

"""Tasks of benchmarks/video.py: clips of which some frames are given, judged by the clip's own continuation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.video_judge import Judge, middles, off_track, rms
from scoresde import catalogue, inverse, sample
from scoresde.data import moving_digits
from scoresde.denoisers.denoiser import BaseDenoiser

STEPS = 20
RESAMPLINGS = 3
COUNT = 8  # frames of a window
CLIPS = 20  # of each task
OVERLAP = 3  # frames that one window hands to the next
Row = dict[str, Any]
Place = tuple[int, int]  # clip of a pair, and its frame


def filled(
    model: BaseDenoiser,
    frames: Tensor,
    at: Sequence[int],
    count: int = COUNT,
    cond: Any = None,
    seed: int = 0,
) -> Tensor:
    """A clip that holds the given frames to the bit, (1, 1, count, H, W).

    Args:
        model: the prior.
        frames: that are given, (1, K, H, W).
        at: their places.
        count: frames of the clip.
        cond: the label of the digit, or None.
        seed: of the others.
    """
    known = inverse.known_frames(frames, at, count)
    method = replace(catalogue.ddim(STEPS), wrap=(inverse.RePaint(known, resamplings=RESAMPLINGS),))
    shape = (1, frames.shape[0], count, *frames.shape[2:])
    return known.imposed(sample(inverse.pigdm(model, known), shape, method, seed, cond=cond))


def extended(model: BaseDenoiser, clip: Tensor, windows: int, cond: Any = None, seed: int = 0) -> Tensor:
    """A clip (1, frames, H, W) that goes on, window after window: each is given the last frames of the one before."""
    for _ in range(windows):
        window = filled(model, clip[:, -OVERLAP:], range(OVERLAP), cond=cond, seed=seed)[0]
        clip = torch.cat((clip, window[:, OVERLAP:]), 1)
    return clip


@dataclass(frozen=True)
class Task:
    """Frames cut from a pair of real clips, and where the clips' own continuation is known.

    given  place in the window -> the real frame that lies there
    truth  place in the window that is drawn -> the real frame that belongs there
    """

    name: str
    given: dict[int, Place]
    truth: dict[int, Place] = field(default_factory=dict)


def of_first(*places: int) -> dict[int, Place]:
    """Places where the first clip of a pair lies as it is."""
    return {k: (0, k) for k in places}


TASKS = (
    Task("an image animated", of_first(0)),
    Task("extended forward", of_first(0, 1, 2), of_first(3, 4, 5, 6, 7)),
    Task("extended backward", of_first(5, 6, 7), of_first(0, 1, 2, 3, 4)),
    Task("a gap of 4 frames filled", of_first(0, 1, 6, 7), of_first(2, 3, 4, 5)),
    Task(
        "two clips joined",
        {0: (0, 6), 1: (0, 7), 6: (1, 4), 7: (1, 5)},
        {2: (0, 8), 5: (1, 3)},
    ),
    Task(
        "a loop closed",
        {0: (0, 8), 1: (0, 9), 6: (0, 2), 7: (0, 3)},
        {2: (0, 10), 5: (0, 1)},
    ),
)


@dataclass(frozen=True)
class Pairs:
    """Pairs of real clips of the same label.

    clips    (N, 2, 1, frames, H, W)
    labels   (N,)
    middles  of the digit in each frame, (N, 2, frames, 2)
    """

    clips: Tensor
    labels: Tensor
    middles: Tensor

    @classmethod
    def drawn(cls, frames: int = 18) -> Pairs:
        """Two of each label."""
        data = moving_digits(600, frames, seed=23).data
        assert data.labels is not None
        rows: list[Tensor] = []

        for k in range(CLIPS):
            own = (data.labels == k % 10).nonzero().flatten()
            rows.append(own[2 * (k // 10) :][:2])

        clips = torch.stack([data.x[row] for row in rows])
        found = torch.stack([middles(clips[:, side]) for side in range(2)], 1)
        return cls(clips, data.labels[torch.stack(rows)[:, 0]], found)

    def frames(self, k: int, places: Sequence[Place]) -> Tensor:
        """Frames of the k-th pair, (1, K, H, W)."""
        return torch.stack([self.clips[k, clip, :, frame] for clip, frame in places], 1)


def drawn_tasks(model: BaseDenoiser, pairs: Pairs, judge: Judge) -> tuple[list[Row], dict[str, Tensor]]:
    """Rows of all tasks, and the clips that were drawn."""
    rows: list[Row] = []
    clips: dict[str, Tensor] = {}

    for task in TASKS:
        given = [pairs.frames(k, list(task.given.values())) for k in range(CLIPS)]
        made = [
            filled(model, frames, list(task.given), cond=int(pairs.labels[k]), seed=k) for k, frames in enumerate(given)
        ]
        x = torch.cat(made)
        exact = torch.equal(x[:, :, list(task.given)], torch.stack(given))
        clips[task.name] = x
        rows.append({"task": task.name, "given frames exact": exact, **_told(task, x, pairs, judge)})

    return rows, clips


def _told(task: Task, x: Tensor, pairs: Pairs, judge: Judge) -> Row:
    """What is measured of one task."""
    found = middles(x)
    hidden = [k for k in range(COUNT) if k not in task.given]
    seams = [k for k in hidden if {k - 1, k + 1} & set(task.given)]
    seen = judge.labels(x)[:, hidden]

    if task.truth:
        off = {k: (found[:, k] - pairs.middles[:, *place]).norm(dim=-1) for k, place in task.truth.items()}
    else:
        track = off_track(x)
        off = {k: track[:, k] for k in hidden}

    return {
        "label in drawn frames": float((seen == pairs.labels[:, None]).double().mean()),
        "off at the seams": rms(torch.stack([off[k] for k in seams])),
        "off in all known": rms(torch.stack(list(off.values()))),
        "longest step": float((found[:, 1:] - found[:, :-1]).norm(dim=-1).max()),
    }


def twice(model: BaseDenoiser, pairs: Pairs, judge: Judge) -> tuple[Row, Tensor]:
    """Clips of 8 frames that two windows make 18: the second window is given frames that the first has drawn."""
    made = [
        extended(model, pairs.clips[k, 0, :, :COUNT], 2, int(pairs.labels[k]), seed=k).unsqueeze(0)
        for k in range(CLIPS)
    ]
    x = torch.cat(made)
    off = (middles(x) - pairs.middles[:, 0]).norm(dim=-1)
    begins = (COUNT - OVERLAP, COUNT + COUNT - 2 * OVERLAP)  # of the two windows
    seams = [off_track(x[:, :, begin : begin + COUNT])[:, OVERLAP] for begin in begins]
    seen = judge.labels(x)[:, COUNT:]
    row = {
        "task": "extended twice, to 18 frames",
        "given frames exact": torch.equal(x[:, :, :COUNT], pairs.clips[:, 0, :, :COUNT]),
        "label in drawn frames": float((seen == pairs.labels[:, None]).double().mean()),
        "off at the seams": rms(torch.stack(seams)),
        "off in all known": rms(off[:, COUNT:]),
        "longest step": float((middles(x)[:, 1:] - middles(x)[:, :-1]).norm(dim=-1).max()),
    }
    return row, x

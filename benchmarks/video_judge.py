"""What judges clips of moving digits: a classifier of frames, and the straight track between walls that fits best."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from scoresde.data import moving_digits

_SIDE = 10  # pixels of a crop about a digit
_DIGIT = 8  # pixels of a digit
_FAINT = 0.2  # ink that is none
_WIDEST = (2.0, 6.0)  # where in its own frame a digit has its middle
_SPEEDS = (0.4, 1.6)  # of the data: 0.5 to 1.5


def frames_of(clips: Tensor) -> Tensor:
    """Clips (N, 1, frames, H, W) as frames (N * frames, 1, H, W)."""
    return clips.transpose(1, 2).flatten(0, 1)


def middles(clips: Tensor) -> Tensor:
    """Centre of mass of the ink in each frame, row and column in pixels, (N, frames, 2) float64."""
    ink = (clips[:, 0].double() + 1 - _FAINT).clamp(min=0.0)
    mass = ink.sum((-2, -1)).clamp(min=1e-6)
    rows = torch.arange(ink.shape[-2], dtype=torch.float64)
    columns = torch.arange(ink.shape[-1], dtype=torch.float64)
    return torch.stack(((ink.sum(-1) * rows).sum(-1) / mass, (ink.sum(-2) * columns).sum(-1) / mass), -1)


def crops(clips: Tensor) -> Tensor:
    """Each frame about its centre of mass, (N * frames, 100), between pixels by interpolation."""
    frames = frames_of(clips).double() + 1
    height, width = frames.shape[-2:]
    middle = middles(clips).flatten(0, 1)[:, None, None]
    steps = torch.arange(_SIDE, dtype=torch.float64) - (_SIDE - 1) / 2
    around = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    at = (2 * (middle + around) + 1) / torch.tensor([height, width], dtype=torch.float64) - 1
    return F.grid_sample(frames, at.flip(-1), align_corners=False).flatten(1)


class Judge:
    """Which digit a frame shows: a support vector machine on crops of real frames.

    Args:
        n: clips that it learns of, two frames of each.
    """

    def __init__(self, n: int = 4000):
        from sklearn.svm import SVC

        clips = moving_digits(n, 2, seed=101).data
        assert clips.labels is not None
        self.machine: Any = SVC(C=10.0).fit(crops(clips.x).numpy(), clips.labels.repeat_interleave(2).numpy())

    def labels(self, clips: Tensor) -> Tensor:
        """The digit seen in each frame, (N, frames)."""
        seen = torch.from_numpy(self.machine.predict(crops(clips).numpy()))
        return seen.reshape(len(clips), clips.shape[2])


def off_track(clips: Tensor) -> Tensor:
    """Distance of each frame's digit from the straight track between walls that fits its clip best, (N, frames).

    Begin, velocity and the digit's own middle are fitted by least squares along each axis, over a grid of 0.05 pixels.
    """
    found = middles(clips)
    axes = [_residual(found[..., k], clips.shape[3 + k] - _DIGIT) for k in range(2)]
    return torch.stack(axes, -1).square().sum(-1).sqrt()


def _residual(at: Tensor, room: int) -> Tensor:
    """Along one axis: what is left of places (N, frames) by the best reflected line."""
    frames = torch.arange(at.shape[1], dtype=torch.float64)
    begins = torch.arange(0.0, room + 0.01, 0.1, dtype=torch.float64)
    speeds = torch.arange(_SPEEDS[0], _SPEEDS[1] + 0.01, 0.05, dtype=torch.float64)
    speeds = torch.cat((-speeds, speeds))

    lines = (begins[:, None, None] + speeds[None, :, None] * frames).flatten(0, 1).remainder(2 * room)
    lines = torch.minimum(lines, 2 * room - lines)
    centred = lines - lines.mean(1, keepdim=True)
    own = at - at.mean(1, keepdim=True)

    # The digit's middle is a constant: least squares leaves it as the difference of means, within its bounds.
    shift = (at.mean(1)[:, None] - lines.mean(1)).clamp(*_WIDEST)
    beyond = at.mean(1)[:, None] - lines.mean(1) - shift
    cost = (own[:, None] - centred).square().sum(-1) + at.shape[1] * beyond.square()
    best = cost.argmin(1)
    rows = torch.arange(len(at))
    return at - lines[best] - shift[rows, best][:, None]


def rms(x: Tensor) -> float:
    """Root of the mean square."""
    return float(x.square().mean().sqrt())

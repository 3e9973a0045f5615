"""Video clips in the command restore: the observed frames, and a picture of all frames."""

from __future__ import annotations

import re
from typing import Any

from .common import UsageError

_PART = re.compile(r"(\d+)(?:-(\d+))?")


def places(text: str, count: int) -> list[int]:
    """Sorted indices of the observed frames, from an option such as 0-2,7.

    Args:
        text: indices and inclusive ranges of frames, counted from 0, separated by commas.
        count: frames of a clip.

    Raises:
        UsageError: naming `--operator`.
    """

    found: set[int] = set()

    for part in text.split(","):
        ends = _PART.fullmatch(part.strip())
        if ends is None:
            raise UsageError(f"`--operator` must list frames as in frames:0-2,7, got frames:{text}")
        first = int(ends[1])
        last = int(ends[2] or first)
        if not first <= last < count:
            raise UsageError(f"`--operator` must name frames from 0 to {count - 1}, in order, got frames:{text}")
        found |= set(range(first, last + 1))

    if len(found) == count:
        raise UsageError(f"`--operator` must leave a frame to be drawn, got all {count} by frames:{text}")
    return sorted(found)


def sheet(clips: Any) -> Any:
    """A PIL image of clips (N, C, frames, H, W): one clip per row, its frames side by side."""
    from ..reports import images

    return images.tiled(clips.transpose(1, 2).flatten(0, 1), columns=clips.shape[2], side=64)

"""Moving pictures as numbers: .gif and .webp files, alone or a folder of them. Nothing is scaled here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .reading import MOST_PIXELS, middle_square

SUFFIXES = (".gif", ".webp")


def all_animated(files: Sequence[Path]) -> bool:
    """Whether the images of a folder are clips.

    Args:
        files: images, at least one.

    Raises:
        ValueError: where some have several frames and others one, naming two of them.
    """

    animated = [file.suffix.lower() in SUFFIXES and _frames(file) > 1 for file in files]
    if any(animated) and not all(animated):
        moving = files[animated.index(True)]
        still = files[animated.index(False)]
        raise ValueError(
            f"`data` must hold images or clips, not both, got {moving} with several frames and {still} with one; put"
            " them into two folders"
        )

    return all(animated)


def clips(files: Sequence[Path], size: int | None) -> Any:
    """Pixels (N, C, frames, H, W) uint8: one channel where all frames of all clips are grey, else three.

    Args:
        files: one clip each, of one size and of as many frames.
        size: pixels a side: the middle square of each frame, resized; None: as it is.

    Raises:
        ValueError: naming the file that cannot be read, or whose size or number of frames is another.
    """

    import numpy as np

    read = [_clip(file, size) for file in files]

    for file, clip in zip(files, read, strict=True):
        if len(clip) != len(read[0]):
            raise ValueError(
                f"`data` must hold clips of as many frames, got {len(clip)} in {file} but {len(read[0])} in {files[0]};"
                " cut them to one length"
            )
        if clip.shape != read[0].shape:
            raise ValueError(
                f"`data` must hold clips of one size, got {clip.shape[1:3]} in {file} but {read[0].shape[1:3]} in"
                f" {files[0]}; give a size"
            )

    colours = np.stack(read).transpose(0, 4, 1, 2, 3)
    grey = bool((colours == colours[:, :1]).all())

    return np.ascontiguousarray(colours[:, :1] if grey else colours)


def _frames(file: Path) -> int:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return getattr(image, "n_frames", 1)
    except Exception as error:  # whatever pillow finds wrong with a file
        raise ValueError(f"`data` must hold readable images, got {file}: {error}") from error


def _clip(file: Path, size: int | None) -> Any:
    """(frames, H, W, 3) uint8."""
    import numpy as np
    from PIL import Image, ImageSequence

    try:
        with Image.open(file) as image:
            pixels = image.width * image.height * getattr(image, "n_frames", 1)
            if pixels > MOST_PIXELS:
                raise ValueError(f"{pixels} pixels in all frames, more than {MOST_PIXELS}")

            frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
            return np.stack([np.asarray(f if size is None else middle_square(f, size)) for f in frames])
    except Exception as error:  # whatever pillow finds wrong with a file
        raise ValueError(f"`data` must hold readable clips, got {file}: {error}") from error

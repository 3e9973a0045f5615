"""Read clips (moving pictures) from .gif and .webp files. Pixels stay 0 to 255; nothing is scaled here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .reading import MOST_PIXELS, middle_square

SUFFIXES = (".gif", ".webp")


def all_animated(files: Sequence[Path]) -> bool:
    """Whether all images of a folder are clips, that is, have several frames.

    Args:
        files: the images, at least one.

    Raises:
        ValueError: if some have several frames and others one, naming one file of each; or if a file cannot be read.
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
    """Read clips as pixels (N, C, frames, H, W) uint8. C is 1 if all frames of all clips are grey, otherwise 3.

    Args:
        files: one clip each, all of the same size and number of frames.
        size: if given, the middle square of each frame is resized to this many pixels a side; None: frames are not
            resized.

    Raises:
        ValueError: if a file cannot be read, or its size or number of frames differs from the first. The message names
            the file.
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
    """One clip as pixels (frames, H, W, 3) uint8."""
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

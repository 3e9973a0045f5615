"""Read tables of comma-separated values, and folders of images. Nothing is scaled here."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
MOST_PIXELS = 1 << 27  # of one image: 11585 x 11585


def table(path: Path) -> tuple[Tensor, list[str] | None]:
    """Read a .csv: its rows, (N, d) float64, and the column names if the first line holds names, otherwise None.

    Cells may be separated by commas, semicolons, tabs or vertical bars. Raises ValueError naming the file and the line
    if a line does not hold as many finite numbers as the first."""

    with path.open(newline="", encoding="utf-8-sig") as file:  # skips a byte-order mark
        try:
            first = file.readline()
            file.seek(0)
            mark = next((sign for sign in ";\t|" if sign in first and "," not in first), ",")
            found = [
                (number, row)
                for number, row in enumerate(csv.reader(file, delimiter=mark), 1)
                if any(cell.strip() for cell in row)
            ]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"`data` must be a readable .csv, got {path}: {error}") from error

    names: list[str] | None = None

    if found and not any(_number(cell) is not None for cell in found[0][1]):
        names = [cell.strip() for cell in found.pop(0)[1]]

    width = len(names or (found[0][1] if found else []))
    rows: list[list[float]] = []

    for number, row in found:
        values = [_number(cell) for cell in row]
        if len(row) != width or None in values:
            column = values.index(None) if len(row) == width else None
            got = (
                f"{len(row)} cells"
                if column is None
                else f"{row[column]!r} in column {column + 1 if names is None else names[column]}"
            )
            raise ValueError(f"`data` must hold {width} finite numbers a line, got {got} in line {number} of {path}")

        rows.append([value for value in values if value is not None])

    return torch.tensor(rows, dtype=torch.float64, device="cpu").reshape(len(rows), width), names


def _number(cell: str) -> float | None:
    """The cell as a finite number, or None if it is not one."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def image_files(path: Path) -> list[Path]:
    """All image files in a folder and its sub-folders, sorted by path.

    Args:
        path: of the folder. Hidden files and hidden sub-folders are skipped.

    Raises:
        ValueError: if there are no images, or if one is a link to a file outside the folder or is not a regular file.
    """

    seen = (f for f in path.rglob("*") if f.suffix.lower() in _IMAGES and not _hidden(f.relative_to(path)))
    files = sorted(seen)
    if not files:
        raise ValueError(f"`data` must hold images ({', '.join(sorted(_IMAGES))}), got none in {path}")

    for file in files:
        if not file.resolve().is_relative_to(path.resolve()):
            raise ValueError(
                f"`data` must lie in the folder named, got {file}, a link to {file.resolve()} outside it; name"
                " that folder"
            )
        if not file.is_file():
            raise ValueError(f"`data` must hold regular files, got {file}, which is none")

    return files


def classes_of(files: Sequence[Path], path: Path) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Labels from sub-folders: each sub-folder that holds files is a class.

    Args:
        files: files in `path` or its sub-folders.
        path: of the folder.

    Returns:
        (labels (N,), names of the sub-folders); (None, None) if all files lie in the same folder.
    """
    classes = sorted({f.parent for f in files})
    if len(classes) == 1:
        return None, None

    labels = torch.tensor([classes.index(f.parent) for f in files], device="cpu")

    return labels, tuple(str(c.relative_to(path)) for c in classes)


def images(files: Sequence[Path], size: int | None) -> Any:
    """Read images as pixels uint8: (N, H, W) if all are grey, (N, H, W, 3) if all are in colour.

    Args:
        files: of the images, at least one.
        size: if given, the middle square is resized to this many pixels a side; None: images are not resized.

    Raises:
        ValueError: if an image cannot be read, or differs from the first in size or in being grey; naming the file.
    """

    from PIL import Image

    arrays: list[Any] = []

    for file in files:
        try:
            with Image.open(file) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels, more than {MOST_PIXELS}")
                arrays.append(plain(image, size))
        except Exception as error:  # whatever pillow finds wrong with a file
            raise ValueError(f"`data` must hold readable images, got {file}: {error}") from error

    return stacked(arrays, [str(file) for file in files])


def stacked(arrays: Sequence[Any], names: Sequence[str]) -> Any:
    """Stack images into one array. All must have the same size, and all must be grey or all in colour.

    Args:
        arrays: the images, (H, W) or (H, W, 3) each.
        names: of the images, for messages.

    Raises:
        ValueError: if two images differ; the message names both.
    """

    import numpy as np

    for array, name in zip(arrays, names, strict=True):
        if array.ndim != arrays[0].ndim:
            grey, colour = (name, names[0]) if array.ndim == 2 else (names[0], name)
            raise ValueError(
                f"`data` must hold images that are all grey or all in colour, got {grey} in grey and {colour} in"
                " colour; convert one of them"
            )

        if array.shape != arrays[0].shape:
            raise ValueError(
                f"`data` must hold images of one size, got {array.shape} in {name} but {arrays[0].shape} in"
                f" {names[0]}; give a size"
            )

    return np.stack(arrays)


def _hidden(path: Path) -> bool:
    """Whether a file, or a folder on its path, belongs to the system or an editor, such as .ipynb_checkpoints or
    __MACOSX."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def plain(image: Any, size: int | None = None) -> Any:
    """A pillow image as a uint8 array: (H, W) if it is grey, otherwise (H, W, 3).

    The orientation stored in the image is applied. Grey values of 16 bits, 0 to 65535, are scaled to 0 to 255.

    Args:
        image: a pillow image.
        size: if given, the middle square is resized to this many pixels a side; None: the image is not resized.

    Raises:
        ValueError: if the range of the numbers in the image's mode is not known; the message names the mode.
    """

    import numpy as np
    from PIL import ImageOps

    upright = _eight_bits(ImageOps.exif_transpose(image))
    return np.asarray(upright if size is None else middle_square(upright, size))


def middle_square(image: Any, size: int) -> Any:
    """Crop an image to its middle square and resize it.

    Args:
        image: a pillow image.
        size: side of the result in pixels.
    """
    side = min(image.size)
    left = (image.width - side) // 2
    top = (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), resample=3)  # 3: bicubic


def _eight_bits(image: Any) -> Any:
    """Convert an image to eight bits, grey or RGB."""
    from PIL import Image

    mode = image.mode
    if mode.startswith("I;16"):
        import numpy as np

        return Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().astype(np.uint8))

    if mode in ("I", "F"):
        raise ValueError(f"mode {mode!r}, whose range is not known; save it as 8 or 16 bits of grey")

    return image.convert("L" if mode in ("1", "L", "LA") else "RGB")

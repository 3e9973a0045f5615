"""Read folders that the library `datasets` saved: images with labels, or columns of numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .reading import plain, stacked
from .samples import Dataset
from .scale import scaled
from .tables import LABEL, from_columns

IMAGE = "image"
_ONE = ("dataset_info.json", "state.json")  # files that every saved data set holds
_SPLITS = "dataset_dict.json"


def is_saved(path: Path) -> bool:
    """Whether the library `datasets` saved this folder.

    Args:
        path: a folder.
    """
    return (path / _SPLITS).is_file() or all((path / name).is_file() for name in _ONE)


def from_saved(path: Path, size: int | None, kind: str | None) -> Dataset:
    """Read a folder that `save_to_disk` of the library `datasets` wrote.

    If there is a column `image`, the samples are images; otherwise all columns must be numbers. A column `label` holds
    the labels.

    Args:
        path: of the folder.
        size: if given, images are cropped to the middle square and resized to this many pixels a side.
        kind: "images" or "points", which must agree with the columns; None accepts either.

    Raises:
        ValueError: naming the folder and what is wrong with it, or the library that is missing.
    """

    if (path / _SPLITS).is_file():
        raise ValueError(
            f"`data` must be one data set, got {path}, which holds several: {', '.join(_splits(path))}; name the folder"
            " of one of them"
        )

    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"`data` must be of a kind that can be read here, got {path}: it is read by the library datasets, which is"
            " not installed; pip install datasets, or save its images or columns as files"
        ) from error

    try:
        stored: Any = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever the library finds wrong with a folder
        raise ValueError(f"`data` must be a readable folder of datasets, got {path}: {error}") from error

    found = "images" if IMAGE in stored.column_names else "points"
    if kind not in (None, found):
        raise ValueError(f"`kind` must be {found} for the columns {', '.join(stored.column_names)}, got {kind}")

    class_names = _class_names(stored)

    if found == "points":
        table = stored.with_format("numpy")
        return from_columns(stored.column_names, lambda name: table[name][:], path, class_names)

    return _images(stored, path, size, class_names)


def _images(stored: Any, path: Path, size: int | None, class_names: tuple[str, ...] | None) -> Dataset:
    """The images of the column `image`, with the column `label`. Other columns are ignored."""
    read: list[Any] = []

    for row, image in enumerate(stored[IMAGE]):
        try:
            read.append(plain(image, size))
        except Exception as error:  # an empty cell, or whatever pillow finds wrong with an image
            raise ValueError(f"`data` must hold readable images, got row {row} of {path}: {error}") from error

    names = [f"row {row} of {path}" for row in range(len(read))]
    pixels = torch.from_numpy(stacked(read, names))
    laid = pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2)
    labels = _labels(stored[LABEL], path) if LABEL in stored.column_names else None

    return Dataset(
        scaled(laid, 127.5, 127.5),
        labels,
        str(path),
        127.5,
        127.5,
        class_names=class_names,
    )


def _labels(stored: Any, path: Path) -> Tensor:
    values = list(stored)
    if wrong := [value for value in values if not isinstance(value, int)]:
        raise ValueError(f"`labels` must be integers, got {wrong[0]!r} in {path}; make them a ClassLabel")
    return torch.tensor(values, dtype=torch.int64, device="cpu")


def _class_names(stored: Any) -> tuple[str, ...] | None:
    """The names of the classes if the column `label` stores them, otherwise None."""
    names = getattr(stored.features.get(LABEL), "names", None)
    return None if names is None else tuple(names)


def _splits(path: Path) -> list[str]:
    try:
        return [str(name) for name in json.loads((path / _SPLITS).read_text(encoding="utf-8"))["splits"]]
    except (OSError, ValueError, KeyError, TypeError):
        return ["splits"]

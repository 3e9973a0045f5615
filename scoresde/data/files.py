"""Data from files, checked.

What is empty, not finite, mixed in size or out of range raises, naming the file and the row.

Nothing is unpickled. Images and clips come to [-1, 1], channels first; points stay as they are; the columns of a table
are standardised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import arrow, clips, tables
from .checking import KINDS
from .layout import standard_layout
from .mapped import Mapped
from .masked import masked_sets
from .moving import moving_digits
from .reading import classes_of, image_files, images
from .samples import Dataset, Samples
from .scale import Scale, scaled
from .shapes import balls, sphere_sets, two_sines, wine
from .toys import checkerboard, digits, eight_gaussians, moons, photos, swiss_roll

SETS: Mapping[str, Callable[[], Dataset]] = {
    "digits": digits,
    "photos": photos,
    "moons": moons,
    "swiss_roll": swiss_roll,
    "checkerboard": checkerboard,
    "eight_gaussians": eight_gaussians,
    "moving_digits": lambda: moving_digits().data,
    "two_sines": two_sines,
    "balls": balls,
    "sphere_sets": sphere_sets,
    "wine": wine,
}
KINDS_OF_SETS: Mapping[str, str] = {"two_sines": "series", "sphere_sets": "sets"}  # whose shape does not say it
SCALE = "scoresde_scale"  # the array in a file of samples that tells the scale of the model that made them
Read = tuple[Tensor, Tensor | None, Any]  # samples, labels, conditions


def load(path: str | Path, size: int | None = None, kind: str | None = None) -> Samples:
    """Data from a file or a folder of images.

    Args:
        path: one of

            .npz, .safetensors  the array `x` or `images`, or the only one; where they are there, `y` or `labels` (whole
                                numbers), and `cond` or `cond.NAME` (conditions, one row a sample)
            .npy                such an array, mapped: it may be larger than memory; where they are there, labels in
                                NAME.labels.npy beside it, and conditions in NAME.cond.npy
            .csv                a table of numbers, with or without a line of names; a column named label holds labels;
                                columns are standardised
            .parquet            such a table, where pyarrow is installed
            .gif, .webp         one clip (1, C, frames, H, W), grey where all its frames are
            a folder            images of one size, or of any with `size`; or clips of one size and as many frames each;
                                sub-folders are classes. Or what the library datasets saved, where it is installed:
                                a column `image` or columns of numbers, and `label`

        size: pixels a side, for images and clips: they are cropped to the middle square and resized.
        kind: of an array's samples, where its shape does not say; see `KINDS`.

            points  (N, d), as they are; a warning says where they are far from unit size
            images  uint8 (0..255), or floats in [0, 1] or [-1, 1], of shape (N, H, W), (N, C, H, W) or (N, H, W, C)
                    with C in 1, 3, 4

            volumes (N, C, D, H, W), and video (N, C, frames, H, W): uint8 as images, others as they are

            Others come as they are: series (N, C, L), sets of points (N, P, d).

            sets    of several sizes are padded to the largest: beside x an array `mask` (N, P) says which points there
                    are; it becomes the condition {"mask": (N, P) bool}, and x is 0 beyond it

    Returns:
        The samples, images in [-1, 1], with what is needed to undo their scale.

    Raises:
        ValueError: naming the file, and the row where there is one; `kind` where the shape alone does not say what the
        samples are.
    """

    if not str(path).strip():
        raise ValueError("`data` must name a file or a folder, got an empty path")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")

    path = Path(path)
    if path.is_dir():
        return arrow.from_saved(path, size, kind) if arrow.is_saved(path) else _pictures(path, size, kind)

    readers: dict[str, Callable[[Path, str | None], Samples]] = {
        ".npz": _npz,
        ".npy": _npy,
        ".safetensors": _safetensors,
        ".csv": tables.from_csv,
        ".parquet": tables.from_parquet,
    }
    if path.suffix in clips.SUFFIXES and path.is_file():
        return _pictures(path, size, kind)

    if path.suffix not in readers or not path.is_file():
        missing = "" if path.exists() else ", which does not exist"
        raise ValueError(
            f"`data` must be {', '.join(SETS)}, a file ({', '.join((*readers, *clips.SUFFIXES))}) or a folder of"
            f" images, got"
            f" {path}{missing}"
        )

    return readers[path.suffix](path, kind)


def _pictures(path: Path, size: int | None, kind: str | None) -> Dataset:
    """The images or clips of a folder, or the clip of a file."""
    files = image_files(path) if path.is_dir() else [path]
    moving = not path.is_dir() or clips.all_animated(files)
    found = "volumes" if moving else "images"
    if kind not in (None, found):
        raise ValueError(f"`kind` must be {found} for the pictures of {path}, got {kind}")

    labels, class_names = classes_of(files, path)
    pixels = clips.clips(files, size) if moving else images(files, size)
    laid, centre, half = standard_layout(torch.from_numpy(pixels), str(path), found)

    return Dataset(
        scaled(laid, centre, half),
        labels,
        str(path),
        centre,
        half,
        class_names=class_names,
    )


def _npz(path: Path, kind: str | None) -> Dataset:
    import numpy as np

    try:
        with np.load(path) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except Exception as error:  # whatever NumPy finds wrong with a file
        raise ValueError(f"`data` must be a readable .npz of plain numeric arrays, got {path}: {error}") from error

    if "mask" in arrays and arrays["mask"].dtype == bool:
        arrays["mask"] = arrays["mask"].astype("uint8")

    return _arrays({key: _tensor(value, path) for key, value in arrays.items()}, path, kind)


def _tensor(array: Any, path: Path) -> Tensor:
    import numpy as np

    if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
        raise ValueError(f"`data` must be numeric, got dtype {getattr(array, 'dtype', None)} in {path}")
    _check_known(array.dtype, path)
    return torch.from_numpy(np.ascontiguousarray(array))


def _check_known(dtype: Any, path: Path) -> None:
    """Raise ValueError naming a dtype that torch cannot compute with."""
    if dtype.kind == "u" and dtype.itemsize > 1:
        raise ValueError(
            f"`data` must be uint8, a signed integer or floating, got {dtype} in {path}; divide it by its"
            " largest value and save float32"
        )


def _safetensors(path: Path, kind: str | None) -> Dataset:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return _arrays(load_file(path), path, kind)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"`data` must be a readable .safetensors, got {path}: {error}") from error


def _arrays(arrays: dict[str, Tensor], path: Path, kind: str | None) -> Dataset:
    labels = next((arrays.pop(k) for k in ("y", "labels") if k in arrays), None)
    named = {key[5:]: arrays.pop(key) for key in sorted(arrays) if key.startswith("cond.")}
    cond = named or arrays.pop("cond", None)
    raw = next((arrays[k] for k in ("x", "images") if k in arrays), next(iter(arrays.values()), None))
    if raw is None or (len(arrays) > 1 and not {"x", "images"} & set(arrays)):
        raise ValueError(f"`data` must hold an array named x or images, got {sorted(arrays)} in {path}")

    if labels is not None and labels.is_floating_point():
        told = "conditions that are no labels are named cond"
        raise ValueError(f"`labels` must be integers, got dtype {labels.dtype} in {path}; {told}")

    if kind == "sets" and "mask" in arrays:
        if cond is not None:
            raise ValueError(f"`cond` must be left out beside a mask, got both in {path}")
        raw, cond = masked_sets(raw, arrays["mask"], str(path))

    laid, centre, half = standard_layout(raw, str(path), kind, _scale(arrays.get(SCALE), raw, path))
    labels = None if labels is None else labels.to(torch.int64)

    return Dataset(
        scaled(laid, centre, half),
        labels,
        str(path),
        centre,
        half,
        cond=cond,
        kind=kind,
    )


def _scale(stored: Tensor | None, raw: Tensor, path: Path) -> tuple[Scale, Scale] | None:
    """(centre, half range) as samples of a model tell them, one number each or one a column."""
    if stored is None:
        return None

    fits = stored.shape in ((2,), (2, raw.shape[-1])) and bool(stored.isfinite().all() & (stored[1] > 0).all())
    if not fits:
        raise ValueError(
            f"`{SCALE}` must be centre and half range, one each or one a column, finite and half ranges positive, got"
            f" shape {tuple(stored.shape)} in {path}"
        )

    centre, half = stored.double().tolist()
    return (tuple(centre), tuple(half)) if stored.dim() == 2 else (centre, half)


def _npy(path: Path, kind: str | None) -> Mapped:
    import numpy as np

    def mapped(file: Path) -> Tensor:
        try:
            array = np.load(file, mmap_mode="c")  # writes stay in memory: torch wants none that it must not write
        except Exception as error:  # whatever NumPy finds wrong with a file
            raise ValueError(f"`data` must be a readable .npy of plain numbers, got {file}: {error}") from error

        if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif" or not array.dtype.isnative:
            raise ValueError(
                "`data` must be numeric, in this machine's byte order, got dtype"
                f" {getattr(array, 'dtype', None)} in {file}"
            )

        _check_known(array.dtype, file)

        return torch.from_numpy(array)

    size = path.stat().st_size
    laid, centre, half = standard_layout(mapped(path), str(path), kind)
    beside = {name: path.with_suffix(f".{name}.npy") for name in ("labels", "cond")}
    labels, cond = (mapped(file).clone() if file.is_file() else None for file in beside.values())
    labels = None if labels is None else labels.to(torch.int64)
    index = torch.arange(len(laid), device="cpu")

    return Mapped(
        laid,
        index,
        labels,
        str(path),
        centre,
        half,
        cond=cond,
        kind=kind,
        file=path,
        bytes=size,
    )

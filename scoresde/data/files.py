"""Data from files, checked.

Data that are empty, not finite, mixed in size or out of range raise an error that names the file and the row.

No pickle is loaded. Images and clips are scaled to [-1, 1], channels first. Points are not scaled. The columns of a
table are standardised.
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
KINDS_OF_SETS: Mapping[str, str] = {"two_sines": "series", "sphere_sets": "sets"}  # their shape does not determine it
SCALE = "scoresde_scale"  # array in a file of generated samples: the scale of the model that made them
Read = tuple[Tensor, Tensor | None, Any]  # samples, labels, conditions


def load(path: str | Path, size: int | None = None, kind: str | None = None) -> Samples:
    """Load data from a file or a folder.

    Args:
        path: the name of a built-in data set, a key of `SETS`, if no file or folder has this name; otherwise one of

            .npz, .safetensors  the samples are the array `x` or `images`, or the only array. Optional: `y` or `labels`
                                (whole numbers), and `cond` or `cond.NAME` (conditions, one row for each sample)
            .npy                the samples, mapped: the file may be larger than memory. Optional files beside it:
                                NAME.labels.npy (labels) and NAME.cond.npy (conditions)
            .csv                a table of numbers, with or without a line of names; a column named label holds labels;
                                columns are standardised
            .parquet            a table of numbers, as for .csv; needs pyarrow
            .gif, .webp         one clip (1, C, frames, H, W); C is 1 if all its frames are grey, otherwise 3
            a folder            images, or clips with equal numbers of frames; all of one size unless `size` is given;
                                sub-folders are classes
            a folder that the library datasets saved (needs datasets): a column `image` or columns of numbers, and
                                `label`

        size: for images and clips: they are cropped to the middle square and resized to this many pixels a side.
        kind: the kind of samples in an array, one of `KINDS`; needed if the shape does not determine it.

            points  (N, d), not scaled; a warning appears if their standard deviation is far from 1
            images  uint8 (0..255), or floats in [0, 1] or [-1, 1], of shape (N, H, W), (N, C, H, W) or (N, H, W, C)
                    with C in 1, 3, 4
            volumes (N, C, D, H, W), also video (N, C, frames, H, W); uint8 is scaled like images, other types are not
            series  (N, C, L), not scaled
            sets    (N, P, d), sets of P points, not scaled. Sets of different sizes are padded to the largest; a second
                    array `mask` (N, P) marks the points that exist. It becomes the condition {"mask": (N, P) bool}, and
                    the padding in x becomes 0

    Returns:
        The samples, images in [-1, 1], with the centre and half range that undo their scale.

    Raises:
        ValueError: if the data cannot be used; the message names the file, and the row if there is one. Also if the
            shape alone does not determine the kind of the samples; the message then names `kind`.
    """

    if not str(path).strip():
        raise ValueError("`data` must name a file or a folder, got an empty path")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")

    name = str(path)
    path = Path(path)
    if name in SETS and not path.exists():
        return SETS[name]()
    if path.is_dir():
        return arrow.from_saved(path, size, kind) if arrow.is_saved(path) else _pictures(path, size, kind)

    readers: dict[str, Callable[[Path, str | None], Samples]] = {
        ".npz": _npz,
        ".npy": _npy,
        ".safetensors": _safetensors,
        ".csv": tables.from_csv,
        ".parquet": tables.from_parquet,
    }
    suffix = path.suffix.lower()
    if suffix in clips.SUFFIXES and path.is_file():
        return _pictures(path, size, kind)

    if suffix not in readers or not path.is_file():
        missing = "" if path.exists() else ", which does not exist"
        raise ValueError(
            f"`data` must be {', '.join(SETS)}, a file ({', '.join((*readers, *clips.SUFFIXES))}) or a folder of"
            f" images, got"
            f" {path}{missing}"
        )

    return readers[suffix](path, kind)


def _pictures(path: Path, size: int | None, kind: str | None) -> Dataset:
    """Read the images or clips of a folder, or the clip of one file."""
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

    if kind == "sets" and "mask" in arrays:
        if cond is not None:
            raise ValueError(f"`cond` must be left out beside a mask, got both in {path}")
        raw, cond = masked_sets(raw, arrays["mask"], str(path))

    laid, centre, half = standard_layout(raw, str(path), kind, _scale(arrays.get(SCALE), raw, path))
    labels = _integers(labels, path)

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
    """(centre, half range) stored with generated samples: one number each, or one for each column."""
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


def _integers(labels: Tensor | None, path: Path) -> Tensor | None:
    """Labels of a file as int64. Raises ValueError if they are no integers: rounding them would change them."""
    if labels is None:
        return None
    if labels.is_floating_point():
        told = "conditions that are no labels are named cond"
        raise ValueError(f"`labels` must be integers, got dtype {labels.dtype} in {path}; {told}")
    return labels.to(torch.int64)


def _npy(path: Path, kind: str | None) -> Mapped:
    import numpy as np

    def mapped(file: Path) -> Tensor:
        try:
            array = np.load(file, mmap_mode="c")  # copy on write: torch warns about a read-only array
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
    labels = _integers(labels, beside["labels"])
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

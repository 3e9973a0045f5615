"""Data from files, checked: what is empty, not finite, mixed in size or out of range raises, naming the file and the row.

Nothing is unpickled. Images come to [-1, 1], channels first; points stay as they are; the columns of a table are standardised.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .dataset import Dataset, Mapped, Samples, check_shape, scaled
from .toys import checkerboard, digits, eight_gaussians, moons, photos, swiss_roll

SETS: Mapping[str, Callable[[], Dataset]] = {
    "digits": digits,
    "photos": photos,
    "moons": moons,
    "swiss_roll": swiss_roll,
    "checkerboard": checkerboard,
    "eight_gaussians": eight_gaussians,
}
_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_MOST_PIXELS = 1 << 27  # of one image: 11585 x 11585
_CHUNK = 1 << 22  # numbers looked at at once


def load(path: str | Path, size: int | None = None) -> Samples:
    """Data from a file or a folder of images.

    .npz, .safetensors  the array `x` or `images` (or the only one), and `y` or `labels` if there: uint8 images (0..255), or floats
                        in [0, 1] or [-1, 1]; shapes (N, H, W), (N, H, W, C) with C in 1, 3, 4, (N, C, H, W) or points (N, d)
    .npy                such an array, mapped: it may be larger than memory; labels beside it in NAME.labels.npy, if there
    .csv                a table of numbers, with or without a line of names; a column named label holds labels; columns are standardised
    folder              images of one size, or of any with `size`: cropped to the middle square, resized; sub-folders are classes

    Raises ValueError naming the file, and the row where there is one."""
    path = Path(path)
    if path.is_dir():
        return _folder(path, size)
    readers: dict[str, Callable[[Path], Samples]] = {".npz": _npz, ".npy": _npy, ".safetensors": _safetensors, ".csv": _csv}
    if path.suffix not in readers or not path.is_file():
        missing = "" if path.exists() else ", which does not exist"
        raise ValueError(f"`data` must be {', '.join(SETS)}, a file ({', '.join(readers)}) or a folder of images, got {path}{missing}")
    return readers[path.suffix](path)


def _npz(path: Path) -> Dataset:
    import numpy as np

    try:
        with np.load(path) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except Exception as error:  # whatever NumPy finds wrong with a file
        raise ValueError(f"`data` must be a readable .npz of plain numeric arrays, got {path}: {error}") from error
    return _arrays({key: _tensor(value, path) for key, value in arrays.items()}, path)


def _tensor(array: Any, path: Path) -> Tensor:
    import numpy as np

    if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
        raise ValueError(f"`data` must be numeric, got dtype {getattr(array, 'dtype', None)} in {path}")
    _check_known(array.dtype, path)
    return torch.from_numpy(np.ascontiguousarray(array))


def _check_known(dtype: Any, path: Path) -> None:
    """Raise ValueError naming a dtype that torch cannot compute with."""
    if dtype.kind == "u" and dtype.itemsize > 1:
        raise ValueError(f"`data` must be uint8, a signed integer or floating, got {dtype} in {path}; divide it by its largest value and save float32")


def _safetensors(path: Path) -> Dataset:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return _arrays(load_file(path), path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"`data` must be a readable .safetensors, got {path}: {error}") from error


def _arrays(arrays: dict[str, Tensor], path: Path) -> Dataset:
    labels = next((arrays.pop(k) for k in ("y", "labels") if k in arrays), None)
    raw = next((arrays[k] for k in ("x", "images") if k in arrays), next(iter(arrays.values()), None))
    if raw is None or (len(arrays) > 1 and not {"x", "images"} & set(arrays)):
        raise ValueError(f"`data` must hold an array named x or images, got {sorted(arrays)} in {path}")
    if labels is not None and labels.is_floating_point():
        raise ValueError(f"`labels` must be integers, got dtype {labels.dtype} in {path}")
    laid, centre, half = _laid(raw, str(path))
    return Dataset(scaled(laid, centre, half), None if labels is None else labels.to(torch.int64), str(path), centre, half)


def _npy(path: Path) -> Mapped:
    import numpy as np

    def mapped(file: Path) -> Tensor:
        try:
            array = np.load(file, mmap_mode="c")  # writes stay in memory: torch wants none that it must not write
        except Exception as error:  # whatever NumPy finds wrong with a file
            raise ValueError(f"`data` must be a readable .npy of plain numbers, got {file}: {error}") from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif" or not array.dtype.isnative:
            raise ValueError(f"`data` must be numeric, in this machine's byte order, got dtype {getattr(array, 'dtype', None)} in {file}")
        _check_known(array.dtype, file)
        return torch.from_numpy(array)

    laid, centre, half = _laid(mapped(path), str(path))
    beside = path.with_suffix(".labels.npy")
    labels = mapped(beside).to(torch.int64) if beside.is_file() else None
    return Mapped(laid, torch.arange(len(laid)), labels, str(path), centre, half)


def _csv(path: Path) -> Dataset:
    with path.open(newline="", encoding="utf-8-sig") as file:  # a byte-order mark is no part of the first name
        try:
            first = file.readline()
            file.seek(0)
            mark = next((sign for sign in ";\t|" if sign in first and "," not in first), ",")
            table = [(number, row) for number, row in enumerate(csv.reader(file, delimiter=mark), 1) if any(cell.strip() for cell in row)]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"`data` must be a readable .csv, got {path}: {error}") from error
    names: list[str] | None = None
    if table and not any(_number(cell) is not None for cell in table[0][1]):
        names = [cell.strip() for cell in table.pop(0)[1]]
    width = len(names or (table[0][1] if table else []))
    rows: list[list[float]] = []
    for number, row in table:
        values = [_number(cell) for cell in row]
        if len(row) != width or None in values:
            column = values.index(None) if len(row) == width else None
            got = f"{len(row)} cells" if column is None else f"{row[column]!r} in column {column + 1 if names is None else names[column]}"
            raise ValueError(f"`data` must hold {width} finite numbers a line, got {got} in line {number} of {path}")
        rows.append([value for value in values if value is not None])
    x, labels = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), width), None
    if names is not None and "label" in names:
        at = names.index("label")
        labels = x[:, at].to(torch.int64)
        if bool((labels != x[:, at]).any()):
            raise ValueError(f"`labels` must be integers, got {x[labels != x[:, at], at][0].item()} in {path}")
        x = torch.cat([x[:, :at], x[:, at + 1 :]], 1)
    check_shape(str(path), x)
    spread = x.std(0, correction=0)
    centre, half = tuple(x.mean(0).tolist()), tuple(torch.where(spread > 0, spread, 1.0).tolist())
    return Dataset(((x - torch.tensor(centre)) / torch.tensor(half)).float(), labels, str(path), centre, half)


def _number(cell: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _folder(path: Path, size: int | None) -> Dataset:
    import numpy as np
    from PIL import Image, ImageOps

    seen = (f for f in path.rglob("*") if f.suffix.lower() in _IMAGES and not _hidden(f.relative_to(path)))
    files = sorted(seen)
    if not files:
        raise ValueError(f"`data` must hold images ({', '.join(sorted(_IMAGES))}), got none in {path}")
    arrays: list[Any] = []
    for file in files:
        if not file.resolve().is_relative_to(path.resolve()):
            raise ValueError(f"`data` must lie in the folder named, got {file}, a link to {file.resolve()} outside it; name that folder")
        if not file.is_file():
            raise ValueError(f"`data` must hold regular files, got {file}, which is none")
        try:
            with Image.open(file) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels, more than {_MOST_PIXELS}")
                plain = _plain(ImageOps.exif_transpose(image))
                arrays.append(np.asarray(plain if size is None else _square(plain, size)))
        except Exception as error:  # whatever pillow finds wrong with a file
            raise ValueError(f"`data` must hold readable images, got {file}: {error}") from error
        if arrays[-1].shape != arrays[0].shape:
            raise ValueError(f"`data` must hold images of one size and mode, got {arrays[-1].shape} in {file} but {arrays[0].shape} in {files[0]}; give a size")
    classes = sorted({f.parent for f in files})
    labels = torch.tensor([classes.index(f.parent) for f in files]) if len(classes) > 1 else None
    laid, centre, half = _laid(torch.from_numpy(np.stack(arrays)), str(path))
    return Dataset(scaled(laid, centre, half), labels, str(path), centre, half)


def _hidden(path: Path) -> bool:
    """Whether a file or a folder on the way to it is a system's or an editor's own, as .ipynb_checkpoints and __MACOSX are."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _plain(image: Any) -> Any:
    """An image in eight bits: grey or RGB. Grey values of 16 bits, 0 to 65535, are brought to 0 to 255.

    Raises ValueError naming the mode where the range of its numbers is not known."""
    from PIL import Image

    mode = image.mode
    if mode.startswith("I;16"):
        import numpy as np

        return Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().astype(np.uint8))
    if mode in ("I", "F"):
        raise ValueError(f"mode {mode!r}, whose range is not known; save it as 8 or 16 bits of grey")
    return image.convert("L" if mode in ("1", "L", "LA") else "RGB")


def _square(image: Any, size: int) -> Any:
    """The middle square, resized to `size` pixels a side."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), resample=3)  # 3: bicubic


def _laid(raw: Tensor, name: str) -> tuple[Tensor, float, float]:
    """Images channels first, or points; and the (centre, half range) that bring images to [-1, 1]. A view: nothing is copied.

    Every number is looked at, in pieces: a mapped file is read once."""
    if raw.dim() == 3:
        raw = raw.unsqueeze(1)
    check_shape(name, raw)
    if raw.dim() == 4 and raw.shape[-1] in (1, 3, 4) and raw.shape[1] not in (1, 3, 4):
        raw = raw.permute(0, 3, 1, 2)
    low, high, size = math.inf, -math.inf, max(1, _CHUNK // raw[0].numel())
    for i in range(0, len(raw), size):
        piece = raw[i : i + size]
        if piece.is_floating_point() and not bool(piece.isfinite().all()):
            row = i + int((~piece.isfinite()).reshape(len(piece), -1).any(1).nonzero()[0])
            raise ValueError(f"`data` must be finite, got NaN or Inf from {name}, first in row {row}")
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
    if raw.dim() == 2:
        return raw, 0.0, 1.0
    if raw.dtype == torch.uint8:
        return (raw, 0.5, 0.5) if high == 1 else (raw, 127.5, 127.5)  # 0 and 1 alone: a mask, white is 1
    if low >= 0 and high <= 1:
        return raw, 0.5, 0.5
    if low >= -1 and high <= 1:
        return raw, 0.0, 1.0
    raise ValueError(f"`data` must be uint8, or lie in [0, 1] or [-1, 1], got {raw.dtype} in [{low:g}, {high:g}] from {name}; rescale it")

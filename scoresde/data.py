"""Data in the model's scale: images (N, C, H, W) or points (N, d), float32.

Checked on load: empty, not finite, mixed sizes and wrong ranges raise, naming the file. Arrays are read without pickle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solvers import check

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Dataset:
    """Samples in the model's scale, with what is needed to undo it: original = x * half_range + centre.

    x        (N, ...) float32;  labels  (N,) int64 or None;  name  where it came from
    shift    horizontal shifts, in pixels, drawn in [-shift, shift] as augmentation; vacated pixels take the image's minimum"""

    x: Tensor
    labels: Tensor | None = None
    name: str = "data"
    centre: float = 0.0
    half_range: float = 1.0
    shift: int = 0

    def __post_init__(self) -> None:
        check_data(self.name, self.x)
        if self.labels is not None and (self.labels.dtype != torch.int64 or self.labels.shape != (len(self.x),) or bool((self.labels < 0).any())):
            raise ValueError(f"`labels` of {self.name} must be {len(self.x)} non-negative int64, got {tuple(self.labels.shape)} {self.labels.dtype}")

    @property
    def classes(self) -> int | None:
        """How many labels there are, or None."""
        return None if self.labels is None else int(self.labels.max()) + 1

    def order(self, step: int, size: int, seed: int) -> Tensor:
        """Which samples make the batch of a training step, a function of (seed, step): epochs are permutations."""
        n = len(self.x)
        positions = torch.arange(step * size, (step + 1) * size)
        epochs = range(step * size // n, ((step + 1) * size - 1) // n + 1)
        return torch.cat([_permutation(n, mixed(seed, epoch)) for epoch in epochs])[positions - epochs.start * n]

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> tuple[Tensor, Tensor | None]:
        """The batch of a training step, or `rows` of it: (samples, labels); shifts are drawn anew each step."""
        part = slice(0, size) if rows is None else slice(rows.start, rows.stop)
        index = self.order(step, size, seed)[part]
        x = self.x[index]
        if self.shift:
            draw = torch.randint(-self.shift, self.shift + 1, (size,), generator=torch.Generator().manual_seed(mixed(seed + 1, step)))
            x = shifted(x, draw[part])
        return x, None if self.labels is None else self.labels[index]

    def split(self, held_out: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
        """(training, held-out) parts, stratified by label where there are labels."""
        from sklearn.model_selection import train_test_split

        kept, out = train_test_split(range(len(self.x)), test_size=held_out, random_state=seed, stratify=None if self.labels is None else self.labels.numpy())
        return self.take(torch.tensor(kept)), self.take(torch.tensor(out))

    def take(self, index: Tensor) -> Dataset:
        """The samples at `index`."""
        return replace(self, x=self.x[index], labels=None if self.labels is None else self.labels[index])


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def mixed(seed: int, n: int) -> int:
    """A seed of its own for the n-th use of `seed`."""
    return (seed * 0x9E3779B97F4A7C15 + n * 0xBF58476D1CE4E5B9) % 2**63


def shifted(x: Tensor, by: Tensor) -> Tensor:
    """Images (B, C, H, W) moved right by `by` (B,) pixels; what is vacated takes the image's minimum."""
    width = x.shape[-1]
    source = torch.arange(width) - by.unsqueeze(-1)
    inside = ((source >= 0) & (source < width)).reshape(-1, 1, 1, width)
    moved = x.gather(-1, source.clamp(0, width - 1).reshape(-1, 1, 1, width).expand(x.shape))
    return torch.where(inside, moved, x.amin(dim=(1, 2, 3), keepdim=True))


def check_data(name: str, x: Any) -> None:
    """Refuse what cannot be trained on."""
    x = check.floating("data", x)
    if x.dim() not in (2, 4) or not x.numel():
        raise ValueError(f"`data` must be points (N, d) or images (N, C, H, W), not empty; got shape {tuple(x.shape)} from {name}")
    if not bool(x.isfinite().all()):
        raise ValueError(f"`data` must be finite, got {int((~x.isfinite()).sum())} NaN or Inf values from {name}")


def digits() -> Dataset:
    """scikit-learn's 1797 handwritten digits, 8x8, in [-1, 1], with labels; shifts of one pixel as augmentation."""
    from sklearn.datasets import load_digits

    raw: Any = load_digits()
    x = torch.from_numpy(raw.images).to(torch.float32).unsqueeze(1) / 8 - 1
    return Dataset(x, torch.from_numpy(raw.target).to(torch.int64), "digits", 8.0, 8.0, shift=1)


def load(path: str | Path) -> Dataset:
    """Data from a .npz file or a folder of images.

    .npz    the array `x` or `images` (or the only one), and `y` or `labels` if there: uint8 images (0..255), or floats in
            [0, 1] or [-1, 1]; shapes (N, H, W), (N, H, W, C) with C in 1, 3, 4, (N, C, H, W) or points (N, d)
    folder  images of one size; sub-folders, where there are any, are classes

    Raises ValueError naming the file."""
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".npz" and path.is_file():
        return _npz(path)
    raise ValueError(f"`data` must be a .npz file or a folder of images, got {path}{'' if path.exists() else ', which does not exist'}")


def _npz(path: Path) -> Dataset:
    import zipfile

    import numpy as np

    try:
        with np.load(path) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"`data` must be a readable .npz of plain numeric arrays, got {path}: {error}") from error
    labels = next((arrays.pop(k) for k in ("y", "labels") if k in arrays), None)
    raw = next((arrays[k] for k in ("x", "images") if k in arrays), next(iter(arrays.values()), None))
    if raw is None or (len(arrays) > 1 and not {"x", "images"} & set(arrays)):
        raise ValueError(f"`data` must hold an array named x or images, got {sorted(arrays)} in {path}")
    if raw.dtype.kind not in "uif":
        raise ValueError(f"`data` must be numeric, got dtype {raw.dtype} in {path}")
    if labels is not None and labels.dtype.kind not in "ui":
        raise ValueError(f"`labels` must be integers, got dtype {labels.dtype} in {path}")
    return _scaled(torch.from_numpy(np.ascontiguousarray(raw)), None if labels is None else torch.from_numpy(labels.astype(np.int64)), str(path))


def _folder(path: Path) -> Dataset:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    files = sorted(f for f in path.rglob("*") if f.suffix.lower() in _IMAGES)
    if not files:
        raise ValueError(f"`data` must hold images ({', '.join(sorted(_IMAGES))}), got none in {path}")
    arrays: list[Any] = []
    for file in files:
        try:
            with Image.open(file) as image:
                arrays.append(np.asarray(image.convert("L" if image.mode in ("1", "L", "I", "F") else "RGB")))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"`data` must hold readable images, got {file}: {error}") from error
        if arrays[-1].shape != arrays[0].shape:
            raise ValueError(f"`data` must hold images of one size and mode, got {arrays[-1].shape} in {file} but {arrays[0].shape} in {files[0]}")
    classes = sorted({f.parent for f in files})
    labels = torch.tensor([classes.index(f.parent) for f in files]) if len(classes) > 1 else None
    return _scaled(torch.from_numpy(np.stack(arrays)), labels, str(path))


def _scaled(raw: Tensor, labels: Tensor | None, name: str) -> Dataset:
    """Channels first, and values in [-1, 1] for images; points stay as they are."""
    if raw.dim() == 2:
        return Dataset(raw.to(torch.float32), labels, name)
    if raw.dim() == 3:
        raw = raw.unsqueeze(1)
    if raw.dim() != 4 or not raw.numel():
        raise ValueError(f"`data` must be images or points, got shape {tuple(raw.shape)} from {name}")
    if raw.shape[-1] in (1, 3, 4) and raw.shape[1] not in (1, 3, 4):
        raw = raw.permute(0, 3, 1, 2)
    check_data(name, raw.to(torch.float32))
    low, high = float(raw.min()), float(raw.max())
    if raw.dtype == torch.uint8:
        centre, half = 127.5, 127.5
    elif low >= 0 and high <= 1:
        centre, half = 0.5, 0.5
    elif low >= -1 and high <= 1:
        centre, half = 0.0, 1.0
    else:
        raise ValueError(f"`data` must be uint8, or lie in [0, 1] or [-1, 1], got {raw.dtype} in [{low:g}, {high:g}] from {name}; rescale it")
    return Dataset(((raw.to(torch.float32) - centre) / half).contiguous(), labels, name, centre, half)

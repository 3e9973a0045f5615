"""The file that samples are written to: its kind, whether it may be replaced, and its content."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from .common import UsageError, reachable

_ORIGIN = b"scoresde"
_KINDS = (".png", ".gif", ".npz", ".csv")
_PICTURES = {".png": 3, ".gif": 4}  # dimensions of the samples they show: images, video and volumes
_COLUMNS = 16_384  # of a table at most


def check_target(out: Path, overwrite: bool) -> None:
    """Raise UsageError where a file that was asked for cannot be written, or holds what we did not write."""
    if out.suffix.lower() not in _KINDS:
        raise UsageError(f"`--out` must end in .png, .gif, .npz or .csv, got {out}")
    if not reachable(out).exists():
        return
    if not out.is_file():
        raise UsageError(f"`--out` must be a file, got {out}, which is none")
    if not overwrite:
        raise UsageError(f"`--out` must not exist, got {out}; use --overwrite")

    if not _ours(out):
        said = "a .csv never says so" if out.suffix.lower() == ".csv" else "nothing says so"
        raise UsageError(
            f"`--out` must be new or hold samples that scoresde wrote, got {out}: {said}; use another name"
        )


def default_target(run: Path, shape: tuple[int, ...], overwrite: bool) -> Path:
    """Where samples go that were given no name: beside the run, an earlier file of ours replaced."""
    from ..storage.ownership import owned

    target = run / ("samples.png" if len(shape) == 3 else "samples.npz")
    if reachable(target).exists() and not (_ours(target) or owned(run)):
        check_target(target, overwrite)
    return target


def check_kind(target: Path, shape: tuple[int, ...]) -> None:
    """Raise UsageError where samples of this shape are no pictures but a picture is asked for, or no rows of a table
    but a table is."""

    if target.suffix.lower() == ".csv" and len(shape) != 1:
        raise UsageError(
            f"`--out` must be a .png or .npz for samples of shape {shape}, got {target}; a .csv holds points"
        )

    shown = _PICTURES.get(target.suffix.lower())
    if shown is not None and shown != len(shape):
        fitting = {3: "a .png or .npz", 4: "a .gif or .npz"}.get(len(shape), "a .npz")
        raise UsageError(
            f"`--out` must be {fitting} for {'points' if len(shape) == 1 else f'samples of shape {shape}'}, got"
            f" {target}"
        )


def save_table(x: Any, path: Path, columns: list[str] | None) -> None:
    """A .csv of points (N, d), its first line the names of the columns."""
    import csv

    from ..storage.files import write_whole

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns or [f"x{i}" for i in range(x.shape[1])])
    writer.writerows(x.tolist())
    write_whole(path, text.getvalue().encode())


def save_arrays(x: Any, path: Path, mask: Any = None) -> None:
    """A .npz with the samples as `x`, sets of several sizes with their `mask`, whose archive comment tells who wrote
    it."""
    import numpy as np

    from ..storage.files import write_whole

    buffer = io.BytesIO()
    arrays = {"x": x} if mask is None else {"x": x.masked_fill(~mask[..., None], 0), "mask": mask}
    np.savez_compressed(buffer, **{name: array.numpy() for name, array in arrays.items()})

    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = _ORIGIN

    write_whole(path, buffer.getvalue())


def _ours(path: Path) -> bool:
    """Whether a file of samples tells that we wrote it."""
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                return archive.comment == _ORIGIN

        if path.suffix.lower() == ".csv":
            return False  # a table has no place for a mark

        from PIL import Image

        with Image.open(path) as image:
            return "scoresde" in (image.info.get("Software"), bytes(image.info.get("comment", b"")).decode("latin-1"))
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile):
        return False

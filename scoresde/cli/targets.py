"""The file that samples are written to: its kind, whether it may be replaced, and its content."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from .common import UsageError, reachable

_ORIGIN = b"scoresde"
_KINDS = (".png", ".npz")


def check_target(out: Path, overwrite: bool) -> None:
    """Raise UsageError where a file that was asked for cannot be written, or holds what we did not write."""
    if out.suffix.lower() not in _KINDS:
        raise UsageError(f"`--out` must end in .png or .npz, got {out}")
    if not reachable(out).exists():
        return
    if not out.is_file():
        raise UsageError(f"`--out` must be a file, got {out}, which is none")
    if not overwrite:
        raise UsageError(f"`--out` must not exist, got {out}; use --overwrite")
    if not _ours(out):
        raise UsageError(f"`--out` must be new or hold samples that scoresde wrote, got {out}: nothing says so; use another name")


def default_target(run: Path, shape: tuple[int, ...], overwrite: bool) -> Path:
    """Where samples go that were given no name: beside the run, an earlier file of ours replaced."""
    from ..ownership import owned

    target = run / ("samples.png" if len(shape) == 3 else "samples.npz")
    if reachable(target).exists() and not (_ours(target) or owned(run)):
        check_target(target, overwrite)
    return target


def check_kind(target: Path, shape: tuple[int, ...]) -> None:
    """Raise UsageError where samples of this shape are no pictures but a picture is asked for."""
    if target.suffix.lower() == ".png" and len(shape) != 3:
        raise UsageError(f"`--out` must be a .npz for {'points' if len(shape) == 1 else f'samples of shape {shape}'}, got {target}")


def save_arrays(x: Any, path: Path) -> None:
    """A .npz with the samples as `x`, whose archive comment tells who wrote it."""
    import numpy as np

    from ..checkpoint import write_whole

    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=x.numpy())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = _ORIGIN
    write_whole(path, buffer.getvalue())


def _ours(path: Path) -> bool:
    """Whether a file of samples tells that we wrote it."""
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                return archive.comment == _ORIGIN
        from PIL import Image

        with Image.open(path) as image:
            return image.info.get("Software") == "scoresde"
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile):
        return False

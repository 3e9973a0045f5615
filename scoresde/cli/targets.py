"""The output file of samples: its format, whether it may be replaced, and writing it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from .common import UsageError, reachable

_ORIGIN = b"scoresde"
_KINDS = (".png", ".gif", ".npz", ".csv")
_FITTING = {
    "points": ".png, .csv or .npz",
    "volumes": ".png, .gif or .npz",
}  # file types for each kind of samples; other kinds: .png or .npz


def check_target(out: Path, overwrite: bool) -> None:
    """Check that the output file can be written.

    Args:
        out: the file.
        overwrite: True: a file that scoresde wrote may be replaced.

    Raises:
        UsageError: naming `--out`, if its ending is unknown, it cannot be written, or it may not be replaced.
    """
    if out.suffix.lower() not in _KINDS:
        raise UsageError(f"`--out` must end in .png, .gif, .npz or .csv, got {out}")
    if not reachable(out).exists():
        return
    if not out.is_file():
        raise UsageError(f"`--out` must be a file, got {out}, which is none")
    if not _ours(out):
        said = "a .csv never says so" if out.suffix.lower() == ".csv" else "nothing says so"
        raise UsageError(
            f"`--out` must be new or hold samples that scoresde wrote, got {out}: {said}; use another name"
        )

    if not overwrite:
        raise UsageError(f"`--out` must not exist, got {out}; use --overwrite")


def default_target(run: Path, shape: tuple[int, ...], overwrite: bool) -> Path:
    """The output file if --out is not given: samples.png or samples.npz in the run folder. An earlier file that
    scoresde wrote is replaced.

    Args:
        run: folder of the run.
        shape: shape of one sample.
        overwrite: whether --overwrite was given; a file of another origin is refused nevertheless.

    Raises:
        UsageError: naming `--out`, if the file is of another origin or cannot be written.
    """
    from ..storage.ownership import owned

    target = run / ("samples.png" if len(shape) == 3 else "samples.npz")
    if reachable(target).exists() and not (_ours(target) or owned(run)):
        check_target(target, overwrite)
    return target


def check_kind(target: Path, shape: tuple[int, ...], kind: str | None = None) -> None:
    """Check that the type of a file suits the samples: a .csv holds points, a .gif video or volumes, a .png any samples
    of known kind, a .npz all samples.

    Args:
        target: the file.
        shape: shape of one sample.
        kind: kind of the samples (`Model.kind`); None: it follows from the shape.

    Raises:
        UsageError: naming `--out`.
    """

    from ..data.checking import kind_of

    kind = kind_of(shape, kind)
    fitting = ".npz" if kind is None else _FITTING.get(kind, ".png or .npz")
    if target.suffix.lower() in fitting:
        return

    told = f"samples of shape {shape}, whose kind is not known," if kind is None else f"{kind} of shape {shape},"
    raise UsageError(f"`--out` must be a {fitting} for {told} got {target}")


def save_samples(
    x: Any,
    target: Path,
    model: Any,
    groups: int = 1,
    mask: Any = None,
) -> None:
    """Write samples to a file. Pictures of images and volumes use the model's scale; everything else uses the units of
    the data.

    Args:
        x: samples in the model's scale, on the CPU, (N, ...).
        target: a file that passed `check_kind`.
        model: the model that made the samples.
        groups: number of equal parts of x to distinguish in a picture.
        mask: for sets of several sizes: True for points that exist, (N, P) bool; else None.
    """

    from ..reports import images
    from ..reports.shapes import PIXELS, save_picture

    suffix = target.suffix.lower()

    if suffix == ".png":
        shown = x if model.kind in PIXELS else model.original(x)
        save_picture(shown, model.kind, target, groups, model.columns)
    elif suffix == ".gif":
        columns = max(1, round(len(x) ** 0.5)) if groups == 1 else len(x) // groups
        images.save_clips(x, columns, target)
    elif suffix == ".csv":
        save_table(model.original(x), target, model.columns)
    else:
        save_arrays(model.original(x), target, model.scale, mask)


def save_table(x: Any, path: Path, columns: list[str] | None) -> None:
    """Write points to a .csv.

    Args:
        x: points, (N, d), on the CPU.
        path: the file.
        columns: names for the first line; None: x0, x1 and so on.
    """
    import csv

    from ..storage.files import write_whole

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns or [f"x{i}" for i in range(x.shape[1])])
    writer.writerows(x.tolist())
    write_whole(path, text.getvalue().encode())


def save_arrays(
    x: Any,
    path: Path,
    scale: tuple[Any, Any] | None = None,
    mask: Any = None,
) -> None:
    """Write a .npz with the samples as `x`. Its archive comment says that scoresde wrote it.

    Args:
        x: samples in the data's units, on the CPU, (N, ...).
        path: the file.
        scale: centre and half range of the model, with which `data.load` scales the samples again; None: not stored.
        mask: for sets of several sizes: True for points that exist, stored as `mask`; None: all points exist.
    """
    import numpy as np

    from ..data.files import SCALE
    from ..storage.files import write_whole

    buffer = io.BytesIO()
    arrays = {"x": x} if mask is None else {"x": x.masked_fill(~mask[..., None], 0), "mask": mask}
    kept: dict[str, Any] = {name: array.numpy() for name, array in arrays.items()}
    if scale is not None:
        kept[SCALE] = np.array(scale, dtype=np.float64)
    np.savez_compressed(buffer, **kept)

    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = _ORIGIN

    write_whole(path, buffer.getvalue())


def _ours(path: Path) -> bool:
    """True if a file of samples is marked as written by scoresde."""
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

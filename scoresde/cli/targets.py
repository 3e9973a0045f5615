"""The file that samples are written to: its kind, whether it may be replaced, and its content."""

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
}  # endings for samples of a kind; others have pictures and arrays
_COLUMNS = 16_384  # of a table at most


def check_target(out: Path, overwrite: bool) -> None:
    """Raise UsageError where a file that was asked for cannot be written, or holds what we did not write.

    Args:
        out: the file.
        overwrite: whether a file that we wrote may be replaced.
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
    """Where samples go that were given no name: beside the run, an earlier file of ours replaced.

    Args:
        run: folder of the run.
        shape: of one sample.
        overwrite: whether --overwrite was given; a file that is not ours is refused all the same.
    """
    from ..storage.ownership import owned

    target = run / ("samples.png" if len(shape) == 3 else "samples.npz")
    if reachable(target).exists() and not (_ours(target) or owned(run)):
        check_target(target, overwrite)
    return target


def check_kind(target: Path, shape: tuple[int, ...], kind: str | None = None) -> None:
    """Raise UsageError where a file cannot hold samples: a .csv holds points, a .gif video or volumes, and a picture is
    drawn of what is known.

    Args:
        target: the file.
        shape: of one sample.
        kind: of the samples (`Model.kind`); None: by the shape.
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
    """Samples in the file that was asked for: pictures of pixels as the model has them, all else in the data's units.

    Args:
        x: in the model's scale, on the CPU, (N, ...).
        target: a file that `check_kind` let pass.
        model: that made them.
        groups: equal parts of x that a picture tells apart.
        mask: which points of sets of several sizes there are, or None.
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
    """A .csv of points.

    Args:
        x: points, (N, d), on the CPU.
        path: of the file.
        columns: names in the first line; None: x0, x1 and so on.
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
    """A .npz with the samples as `x`. Its archive comment tells who wrote it.

    Args:
        x: samples in the data's units, on the CPU, (N, ...).
        path: of the file.
        scale: centre and half range of the model, by which `data.load` reads the samples again; None: not kept.
        mask: which points of sets of several sizes there are, kept beside; None: all.
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

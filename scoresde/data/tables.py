"""Tables: columns of numbers, standardised. A column named label holds the labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checking import check_shape
from .reading import table
from .samples import Dataset

LABEL = "label"
_INDEX = "__index_level_"  # a column that pandas adds to keep its row numbers


def standardised(
    x: Tensor,
    labels: Tensor | None,
    name: str,
    columns: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Standardise a table: each column gets mean 0 and standard deviation 1. A constant column becomes 0.

    Args:
        x: rows in their own units, (N, d) float64.
        labels: (N,) int64, or None.
        name: where the table came from.
        columns: names of the columns.
        class_names: names of the labels.

    Raises:
        ValueError: if there are no rows or no columns.
    """

    check_shape(name, x)
    spread = x.std(0, correction=0)
    centre = x.mean(0)
    half = torch.where(spread > 0, spread, 1.0)

    return Dataset(
        ((x - centre) / half).float(),
        labels,
        name,
        tuple(centre.tolist()),
        tuple(half.tolist()),
        columns=None if columns is None else tuple(columns),
        class_names=None if class_names is None else tuple(class_names),
    )


def from_csv(path: Path, kind: str | None) -> Dataset:
    """Read a .csv, with or without a line of names.

    Args:
        path: of the file.
        kind: "points" or None; both mean the same.
    """
    _check_points(path, kind)
    rows, names = table(path)
    return _labelled(rows, names, path)


def from_parquet(path: Path, kind: str | None) -> Dataset:
    """Read a .parquet of columns of numbers by pyarrow.

    Args:
        path: of the file.
        kind: "points" or None; both mean the same.
    """
    _check_points(path, kind)

    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"`data` must be of a kind that can be read here, got {path}: a .parquet is read by pyarrow, which is not"
            " installed; pip install pyarrow, or save it as a .csv"
        ) from error

    try:
        stored = parquet.read_table(path)
    except Exception as error:  # whatever pyarrow finds wrong with a file
        raise ValueError(f"`data` must be a readable .parquet, got {path}: {error}") from error

    return from_columns(stored.column_names, lambda name: stored.column(name).to_numpy(), path)


def from_columns(
    names: Sequence[str],
    column: Callable[[str], Any],
    path: Path,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """A table of named columns.

    Args:
        names: names of the columns.
        column: returns the numbers of the column of a name, a NumPy array (N,).
        path: where the columns come from, for messages.
        class_names: names of the labels.

    Raises:
        ValueError: if there is no column, or a column holds anything but finite numbers; naming the column, and the
            row if there is one. Also if labels are not integers.
    """

    kept = [name for name in names if not name.startswith(_INDEX)]
    columns = [_numbers(column(name), name, path) for name in kept]
    if not columns:
        raise ValueError(f"`data` must hold columns of numbers, got none in {path}")

    return _labelled(torch.stack(columns, 1), kept, path, class_names)


def _numbers(values: Any, name: str, path: Path) -> Tensor:
    """A column in float64."""
    import numpy as np

    array = np.asarray(values)
    if array.dtype.kind not in "uifb" or array.ndim != 1:
        got = f"dtype {array.dtype}" if array.ndim == 1 else f"shape {array.shape}"
        raise ValueError(
            f"`data` must hold columns of numbers, got {got} in column {name} of {path}; make it numbers, or leave it"
            " out of the file"
        )

    wide = array.astype(np.float64)
    if not np.isfinite(wide).all():
        row = int(np.flatnonzero(~np.isfinite(wide))[0])
        raise ValueError(
            f"`data` must hold finite numbers, got {wide[row]} or an empty cell in row {row} of column {name} of {path}"
        )

    return torch.from_numpy(wide)


def _labelled(
    x: Tensor,
    names: Sequence[str] | None,
    path: Path,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """A standardised table; if there is a column `label`, it becomes the labels."""
    if names is None or LABEL not in names:
        return standardised(x, None, str(path), names)

    at = list(names).index(LABEL)
    labels = x[:, at].to(torch.int64)
    if bool((labels != x[:, at]).any()):
        raise ValueError(f"`labels` must be integers, got {x[labels != x[:, at], at][0].item()} in {path}")

    rest = torch.cat([x[:, :at], x[:, at + 1 :]], 1)

    return standardised(rest, labels, str(path), [*names[:at], *names[at + 1 :]], class_names)


def _check_points(path: Path, kind: str | None) -> None:
    if kind not in (None, "points"):
        raise ValueError(f"`kind` must be points for a table, got {kind} for {path}")

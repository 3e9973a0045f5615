"""Samples in a file that is mapped into memory, so that the set may be larger than memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ..denoisers import conditions
from .checking import check_kind, check_labels, check_shape
from .samples import Stored
from .scale import Scale, scaled


@dataclass(frozen=True)
class Mapped(Stored):
    """Samples in a file that is mapped into memory. They are read from disk only when used, so the set may be larger
    than memory.

    stored   the array in the file, (M, ...) of any real dtype; a sample is x = (stored - centre)/half_range
    rows     indices of the samples that belong to the set, (N,)
    file     the mapped file; None: not checked
    bytes    its size when it was mapped; if it became shorter, reading the missing part would end the process

    The other fields are those of `Dataset`."""

    stored: Tensor
    rows: Tensor
    labels: Tensor | None = None
    name: str = "data"
    centre: Scale = 0.0
    half_range: Scale = 1.0
    shift: int = 0
    flip: bool = False
    columns: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    cond: Any = None
    kind: str | None = None
    file: Path | None = None
    bytes: int = 0

    def __post_init__(self) -> None:
        check_shape(self.name, self.stored)
        check_kind(self.name, self.kind, self.stored)
        check_labels(self.name, self.labels, len(self.rows))
        object.__setattr__(self, "cond", conditions.prepared(self.cond, len(self.rows)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stored.shape[1:])

    def samples(self, index: Tensor) -> Tensor:
        """The samples at `index` (B,), float32. Raises ValueError naming the file if it is gone or became shorter."""
        if self.file is not None and (not self.file.is_file() or self.file.stat().st_size < self.bytes):
            raise ValueError(
                f"`data` must stay as it is while it is read, got {self.file}, which is shorter than the"
                f" {self.bytes} bytes it had"
            )
        return scaled(self.stored[self.rows[index]], self.centre, self.half_range)

    def take(self, index: Tensor) -> Mapped:
        labels = None if self.labels is None else self.labels[index]
        return replace(self, rows=self.rows[index], labels=labels, cond=conditions.rows(self.cond, index))

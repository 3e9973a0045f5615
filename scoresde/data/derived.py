"""Samples that are computed from other samples: latents, or images with low-resolution copies."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Self

from torch import Tensor

from .samples import Samples
from .scale import Scale

_TOLD = ("labels", "cond", "name", "centre", "half_range", "columns", "class_names", "kind")


@dataclass(frozen=True)
class Derived(Samples):
    """Abstract set of samples that are computed from another set, one from each sample. The other set does the shifts
    and flips.

    data  the set that they are computed from; labels, names and units are copied from it"""

    data: Samples
    labels: Tensor | None = field(init=False)
    cond: Any = field(init=False)
    name: str = field(init=False)
    centre: Scale = field(init=False)
    half_range: Scale = field(init=False)
    columns: tuple[str, ...] | None = field(init=False)
    class_names: tuple[str, ...] | None = field(init=False)
    kind: str | None = field(init=False)
    shift: int = field(init=False, default=0)
    flip: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        for name in _TOLD:
            object.__setattr__(self, name, getattr(self.data, name))

    def __len__(self) -> int:
        return len(self.data)

    @property
    def source(self) -> Samples:
        return self.data

    def take(self, index: Tensor) -> Self:
        return replace(self, data=self.data.take(index))

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What a run's description records of them: plain values, with the SHA-256 of the run they depend on."""

"""Samples that are made from other samples."""

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
    """Abstract set of samples made from another, one from one; shifts and flips are those of the other.

    data  what they are made from: labels, names and units are its own"""

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
        """What a run's description says of them: plain values, with the SHA-256 of the run that they stand on."""

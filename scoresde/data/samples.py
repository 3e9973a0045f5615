"""Samples to train on, in the model's scale: points (N, d), series (N, C, L), images (N, C, H, W), any (N, ...), in
memory or mapped."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from solvers import check

from ..denoisers import conditions
from ..runtime.torch_state import untouched
from .batches import generator_for, mixed, permutation, shifted
from .checking import check_kind, check_labels, check_shape
from .scale import Scale, original


class Samples(ABC):
    """Abstract set of samples, with what is needed to undo its scale: original = x * half_range + centre."""

    labels: Tensor | None
    cond: Any
    name: str
    centre: Scale
    half_range: Scale
    shift: int
    flip: bool
    columns: tuple[str, ...] | None
    class_names: tuple[str, ...] | None
    kind: str | None

    @abstractmethod
    def __len__(self) -> int:
        """How many."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""

    @abstractmethod
    def samples(self, index: Tensor) -> Tensor:
        """The samples at `index` (B,), in the model's scale, float32."""

    @abstractmethod
    def take(self, index: Tensor) -> Self:
        """The set of the samples at `index`."""

    @property
    @abstractmethod
    def source(self) -> Samples:
        """The data that these samples are made from: themselves, unless they are latents or have a copy beside."""

    @abstractmethod
    def decoded(self, x: Tensor) -> Tensor:
        """Samples like these as samples of the source: as they are, but for latents.

        Args:
            x: samples in the model's scale, (B, ...).
        """

    @abstractmethod
    def conditions(self, index: Tensor, x: Tensor) -> Any:
        """What a network is given with some samples beside a label, or None.

        Args:
            index: of the samples, (B,).
            x: the samples, (B, ...).
        """

    @abstractmethod
    def batch(
        self,
        step: int,
        size: int,
        seed: int,
        rows: range | None = None,
    ) -> tuple[Tensor, Any]:
        """The batch of a training step, or `rows` of it: (samples, condition); what is random of it is drawn anew each
        step.

        The condition is `cond`, or else the labels.

        Args:
            step: number of the step, from 0.
            size: of the whole batch.
            seed: of order and augmentation.
            rows: part of the batch; None: all.
        """

    @property
    def classes(self) -> int | None:
        """How many labels there are, or None."""
        return None if self.labels is None else int(self.labels.max()) + 1

    @property
    def unit(self) -> float:
        """What a unit of the model's scale is in the data's own: the geometric mean where columns differ."""
        return float(torch.as_tensor(self.half_range, dtype=torch.float64, device="cpu").log().mean().exp())

    @property
    def whole(self) -> bool:
        """Whether the data's own numbers are integers, as far as the first 256 samples tell."""
        some = self.in_memory(256)
        own = original(some.x.double(), some.centre, some.half_range)

        return bool(
            (
                (own - own.round()).abs() < 1e-3 * torch.as_tensor(some.half_range, dtype=own.dtype, device=own.device)
            ).all()
        )

    def in_memory(self, n: int) -> Dataset:
        """The first n, or all there are, in memory and without augmentation."""
        index = torch.arange(min(n, len(self)), device="cpu")
        labels = None if self.labels is None else self.labels[index]
        x = self.samples(index)

        return Dataset(
            x,
            labels,
            self.name,
            self.centre,
            self.half_range,
            columns=self.columns,
            class_names=self.class_names,
            cond=self.conditions(index, x),
            kind=self.kind,
        )

    def order(self, step: int, size: int, seed: int) -> Tensor:
        """Which samples make the batch of a training step, a function of (seed, step): epochs are permutations.

        Args:
            step: number of the step, from 0.
            size: of the batch.
            seed: of the order.
        """
        n = len(self)
        first = step * size
        last = (step + 1) * size
        parts = [
            permutation(n, mixed(seed, k))[max(first - k * n, 0) : last - k * n]
            for k in range(first // n, (last - 1) // n + 1)
        ]

        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def split(self, held_out: float = 0.2, seed: int = 0) -> tuple[Self, Self]:
        """(training, held-out) parts, stratified by label where there are labels.

        Args:
            held_out: share that is held out.
            seed: of the choice.
        """
        if self.labels is not None:
            counts = self.labels.bincount()
            if bool((counts == 1).any()):
                label = int((counts == 1).nonzero()[0])
                name = label if self.class_names is None else self.class_names[label]
                raise ValueError(
                    f"`labels` of {self.name} must leave each class two samples, one to hold out, got one alone"
                    f" of class {name}; add another"
                )

            count = math.ceil(held_out * len(self))
            known = int((counts > 0).sum())
            if min(count, len(self) - count) < known:
                raise ValueError(
                    f"`held_out` must leave each of {known} classes a sample on either side, got {held_out:g}, which"
                    f" holds {count} of {len(self)} samples of {self.name} out"
                )

        with untouched():
            from sklearn.model_selection import train_test_split

        kept, out = train_test_split(
            range(len(self)),
            test_size=held_out,
            random_state=seed,
            stratify=None if self.labels is None else self.labels.numpy(),
        )

        return self.take(torch.tensor(kept, device="cpu")), self.take(torch.tensor(out, device="cpu"))


class Stored(Samples):
    """Abstract set of samples that are kept as they are, shifted and flipped when they are drawn."""

    @property
    def source(self) -> Samples:
        return self

    def decoded(self, x: Tensor) -> Tensor:
        return x

    def conditions(self, index: Tensor, x: Tensor) -> Any:
        return conditions.rows(self.cond, index)

    def batch(
        self,
        step: int,
        size: int,
        seed: int,
        rows: range | None = None,
    ) -> tuple[Tensor, Any]:

        part = slice(0, size) if rows is None else slice(rows.start, rows.stop)
        index = self.order(step, size, seed)[part]
        x = self.samples(index)

        if self.shift:
            draw = generator_for(seed + 1, step)
            by = torch.randint(-self.shift, self.shift + 1, (size,), generator=draw, device="cpu")
            x = shifted(x, by[part])

        if self.flip:
            mirrored = torch.randint(0, 2, (size,), generator=generator_for(seed + 2, step), device="cpu").bool()[part]
            x = torch.where(mirrored.reshape(-1, 1, 1, 1), x.flip(-1), x)

        return x, conditions.rows(self.labels if self.cond is None else self.cond, index)


@dataclass(frozen=True)
class Dataset(Stored):
    """Samples in memory.

    x        (N, ...) float32
    labels   (N,) int64 or None
    name     where it came from
    shift    horizontal shifts, in pixels, drawn in [-shift, shift] as augmentation; vacated pixels take the image's
             minimum
    flip     mirror half of the images
    columns  names of a table's columns
    class_names  of the classes
    cond     what a network of one's own is given instead of labels: a tensor, or a dict, list or tuple of them, N rows
             each
    kind     what the samples are, of `checking.KINDS`, where their shape does not say; None: by the shape"""

    x: Tensor
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

    def __post_init__(self) -> None:
        check.floating("data", self.x)
        check_shape(self.name, self.x)
        check_kind(self.name, self.kind, self.x)

        if not bool(self.x.isfinite().all()):
            bad = ~self.x.reshape(len(self.x), -1).isfinite()
            row = int(bad.any(1).nonzero()[0])
            raise ValueError(
                f"`data` must be finite, got {int(bad.sum())} NaN or Inf values from {self.name}, the first"
                f" in row {row}"
            )

        check_labels(self.name, self.labels, len(self.x))
        object.__setattr__(self, "cond", conditions.prepared(self.cond, len(self.x)))

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    def samples(self, index: Tensor) -> Tensor:
        return self.x[index]

    def take(self, index: Tensor) -> Dataset:
        labels = None if self.labels is None else self.labels[index]
        return replace(self, x=self.x[index], labels=labels, cond=conditions.rows(self.cond, index))


def unscaled(data: Samples) -> Dataset:
    """All of it in memory, in its own units."""
    some = data.in_memory(len(data))
    return replace(some, x=original(some.x, some.centre, some.half_range), centre=0.0, half_range=1.0)

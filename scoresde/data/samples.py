"""Training samples in the model's scale, in memory or mapped: points (N, d), series (N, C, L), images (N, C, H, W) or
any other (N, ...)."""

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
    """Abstract set of samples. It knows its scale: the data in their own units are x * half_range + centre."""

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
        """The number of samples."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""

    @abstractmethod
    def samples(self, index: Tensor) -> Tensor:
        """The samples at `index` (B,), in the model's scale, float32."""

    @abstractmethod
    def take(self, index: Tensor) -> Self:
        """The set that holds only the samples at `index`."""

    @property
    @abstractmethod
    def source(self) -> Samples:
        """The data that these samples are computed from; the set itself if it is not `Derived`."""

    @abstractmethod
    def decoded(self, x: Tensor) -> Tensor:
        """Convert such samples to samples of the source. Latents are decoded; all others are returned unchanged.

        Args:
            x: samples in the model's scale, (B, ...).
        """

    @abstractmethod
    def conditions(self, index: Tensor, x: Tensor) -> Any:
        """The conditions, other than labels, of some samples, or None if there are none.

        Args:
            index: of the samples, (B,).
            x: the samples at `index`, (B, ...).
        """

    @abstractmethod
    def batch(
        self,
        step: int,
        size: int,
        seed: int,
        rows: range | None = None,
    ) -> tuple[Tensor, Any]:
        """The batch of a training step, or part of it: (samples, condition). Random parts are drawn again at each step.

        The condition is `cond`; if that is None, it is the labels.

        Args:
            step: number of the step, from 0.
            size: number of samples in the whole batch.
            seed: determines the order and the augmentation.
            rows: the rows of the batch to return; None: all.
        """

    @property
    def classes(self) -> int | None:
        """The number of classes, which is the largest label + 1; None if there are no labels."""
        return None if self.labels is None else int(self.labels.max()) + 1

    @property
    def unit(self) -> float:
        """The length of the model's unit in the data's own units; if columns differ, their geometric mean."""
        return float(torch.as_tensor(self.half_range, dtype=torch.float64, device="cpu").log().mean().exp())

    @property
    def whole(self) -> bool:
        """Whether the data in their own units are whole numbers, judged by the first 256 samples."""
        some = self.in_memory(256)
        own = original(some.x.double(), some.centre, some.half_range)

        return bool(
            (
                (own - own.round()).abs() < 1e-3 * torch.as_tensor(some.half_range, dtype=own.dtype, device=own.device)
            ).all()
        )

    def in_memory(self, n: int) -> Dataset:
        """The first n samples in memory, without augmentation; all samples if there are fewer."""
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
        """The indices of the samples in the batch of a training step, (size,). Each epoch is a random permutation.

        Args:
            step: number of the step, from 0.
            size: number of samples in a batch.
            seed: determines the order.
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
        """Split the set into (training, held-out) parts. If there are labels, the split is stratified by label.

        Args:
            held_out: share of the samples that is held out, in (0, 1).
            seed: determines which.

        Raises:
            ValueError: if a class has too few samples for both parts; naming `labels` or `held_out`.
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
    """Abstract set of stored samples. Batches are augmented by random shifts and flips."""

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
    name     where the data came from
    shift    augmentation: images are shifted horizontally by a random number of pixels in [-shift, shift]; vacated
             pixels take the minimum of their image
    flip     augmentation: each image is mirrored with probability 1/2
    columns  names of a table's columns
    class_names  of the classes
    cond     the condition for a network of one's own, used instead of labels: a tensor, or a dict, list or tuple of
             tensors, N rows each
    kind     one of `checking.KINDS`, if the shape does not determine it; None: the shape determines it"""

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
    """All samples in memory, in the data's own units."""
    some = data.in_memory(len(data))
    return replace(some, x=original(some.x, some.centre, some.half_range), centre=0.0, half_range=1.0)

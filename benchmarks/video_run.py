"""The model of docs/video.md: clips of two native sizes in every batch, trained by `scoresde.training.fit`.

    python -m benchmarks.video_run --out runs/video

It stops and goes on: checkpoints are kept, and a second call takes up the latest. The folder it leaves is a run like
any other, for `scoresde sample`, `edit` and `restore`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoresde.data import moving_digits
from scoresde.data.batches import generator_for, mixed
from scoresde.data.samples import Samples, Stored
from scoresde.networks.labels import NO_LABEL
from scoresde.runs import toml
from scoresde.runs.description import MOMENTS
from scoresde.runs.run_folder import save_run
from scoresde.runs.story import RunDescription
from scoresde.storage import checkpoints
from scoresde.training.fit import fit
from scoresde.training.state import begin

CONFIG = Path(__file__).parent.parent / "docs" / "moving_digits.toml"
NATIVE = (8, 16, 16)  # frames, height, width of most of each batch
OTHERS = (
    (8, 12, 12),
    (16, 16, 16),
    (8, 16, 20),
    (4, 16, 16),
    (8, 20, 16),
    (8, 12, 16),
    (4, 20, 20),
    (16, 12, 12),
    (8, 16, 12),
    (8, 20, 20),
)  # neither 12 frames nor 12 x 20 pixels is among them: they are asked for in benchmarks/video.py
_NATIVE = 2 / 3  # share of the native size in a batch; the rest is of another size, in turn


class MixedClips(Stored):
    """Clips drawn anew for every step: most of them 8 frames of 16 x 16, the others of one of ten sizes.

    Clips lie in the first corner of a grid that holds the largest, and `cond` tells their sizes.

    Args:
        native: clips of the native size, those that are looked at outside of batches.
        dropout: share of labels that are hidden. Sizes never are, so `training.label_dropout` is left out.
    """

    labels = None
    shift = 0
    flip = False

    def __init__(self, native: Samples, dropout: float):
        self.native = native
        self.dropout = dropout
        self.most = tuple(max(size[axis] for size in (NATIVE, *OTHERS)) for axis in range(3))
        self.name = f"{native.name} of several sizes"
        self.centre = native.centre
        self.half_range = native.half_range
        self.columns = native.columns
        self.class_names = native.class_names
        self.kind = native.kind
        sizes = torch.tensor(NATIVE).expand(len(native), 3)
        self.cond = {"label": native.labels, "size": sizes}

    def __len__(self) -> int:
        return len(self.native)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, *self.most)

    def samples(self, index: Tensor) -> Tensor:
        frames, height, width = NATIVE
        x = torch.zeros(len(index), *self.shape)
        x[:, :, :frames, :height, :width] = self.native.samples(index)
        return x

    def take(self, index: Tensor) -> MixedClips:
        return MixedClips(self.native.take(index), self.dropout)

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> tuple[Tensor, Any]:
        native = round(_NATIVE * size)
        counts = [(NATIVE, native), (OTHERS[step % len(OTHERS)], size - native)]
        x = torch.zeros(size, *self.shape)
        labels = torch.empty(size, dtype=torch.int64)
        sizes = torch.empty(size, 3, dtype=torch.int64)
        first = 0

        for k, (shape, count) in enumerate(counts):
            frames, height, width = shape
            made = moving_digits(count, frames, (height, width), mixed(seed + k, step) % 2**31).data
            assert made.labels is not None
            own = slice(first, first + count)
            x[own, :, :frames, :height, :width] = made.x
            labels[own] = made.labels
            sizes[own] = torch.tensor(shape)
            first += count

        hidden = torch.rand(size, generator=generator_for(seed + 9, step)) < self.dropout
        cond = {"label": labels.masked_fill(hidden, NO_LABEL), "size": sizes}
        kept = slice(0, size) if rows is None else slice(rows.start, rows.stop)
        return x[kept], {name: value[kept] for name, value in cond.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/video"))
    parser.add_argument("--steps", type=int)
    arguments = parser.parse_args()

    config = toml.read(CONFIG)
    training = replace(config.training, steps=arguments.steps or config.training.steps)
    config = replace(config, training=training)
    native = config.dataset().split(config.data.held_out)[0]
    assert training.label_dropout is not None

    denoiser = config.denoiser(native.shape, native.classes)
    state = begin(denoiser.network, training, "cpu")
    story = RunDescription(config, native, "python -m benchmarks.video_run")
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    story.resume(folder, state)

    data = MixedClips(native, training.label_dropout)
    own = replace(training, label_dropout=None)

    for progress in fit(denoiser, data, own, state, config.objective):
        story.add(progress)
        if progress.step % config.record.log == 0:
            mean = sum(story.tail) / len(story.tail)
            print(progress.step, f"{mean:.5f}", f"{story.about()['training']['seconds']:.0f} s", flush=True)
        if progress.step % config.record.save == 0 or progress.step == training.steps:
            about = {"step": progress.step, "score": None, "seed": training.seed, "tail": story.tail}
            checkpoints.save(folder / "checkpoints", state.tensors(), about | {"versions": {}} | story.about())

    if story.moments is not None:
        story.moments.save(folder / MOMENTS)
    save_run(folder, denoiser.network, state.average.module, story.about())


if __name__ == "__main__":
    main()

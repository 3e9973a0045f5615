"""What a network should predict by default: `python -m benchmarks.predicts`.

Four data sets of other shapes and scales, each trained with everything else at its default (VPSDE, DSM, uniform
levels; fewer steps for images), predicting eps, v, or Karras' target with the measured standard deviation. 2000
samples of the nearly converged flow (60 calls of `recommended`): energy distance over that of two halves of the data,
and how far samples go (`scoresde.evaluation.tails`): the share twice as far out as any data, and the farthest beside
the data's own."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import fleet
from benchmarks.common import save, show
from scoresde import recommended, runs, sample
from scoresde.data.samples import Dataset
from scoresde.evaluation import distances
from scoresde.evaluation.tails import tails
from scoresde.runs.config import Config, NetworkConfig
from scoresde.runs.journal import Record
from scoresde.training.state import Training

COUNT, CALLS = 2000, 60
KINDS = ("eps", "v", "karras")


def trained(data: Dataset, predicts: str) -> runs.Trained:
    """The default network of its kind."""
    images = len(data.shape) == 3
    network = NetworkConfig(
        predicts=predicts, sigma_data=round(float(data.x.std()), 3), widths=(16, 32) if images else ()
    )
    training = Training(steps=600 if images else 3000, batch=128)
    with tempfile.TemporaryDirectory() as folder:
        return runs.train(
            Config(network=network, training=training, record=Record(save=training.steps)),
            data,
            Path(folder),
            fleet.COMMAND,
        )


def main() -> None:
    """Measure, print, store."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name, make in fleet.DATA.items():
        data = replace(make(), shift=0)
        shuffled = data.x[torch.randperm(len(data), generator=torch.Generator().manual_seed(0))].double().flatten(1)
        half = len(data) // 2
        floor = distances.energy(shuffled[:half], shuffled[half : 2 * half])
        for kind in KINDS:
            model = trained(data, kind).denoiser
            x = sample(model, (COUNT, *data.shape), recommended(model, CALLS)).double().flatten(1)
            far = tails(model, data.x)
            row = {"data": name, "predicts": kind, "energy/floor": distances.energy(x, shuffled) / floor}
            rows.append({**row, "far out": far.share, "farthest": far.farthest, "of the data": far.known})
            print(rows[-1], flush=True)
    show("Networks by what they predict, all else at its default", rows)
    means = {
        kind: math.exp(sum(math.log(r["energy/floor"]) for r in rows if r["predicts"] == kind) / len(fleet.DATA))
        for kind in KINDS
    }
    print("\ngeometric mean of energy/floor: " + ", ".join(f"{kind} {value:.2f}" for kind, value in means.items()))
    save("predicts", rows, torch.float32, means=means)


if __name__ == "__main__":
    main()

"""What a network should predict by default: `python -m benchmarks.predicts`, on the networks of `fleet`, each with its usual loss and levels.

2000 samples of the nearly converged flow (60 calls of `recommended`) against the data: energy distance over that of two exact sets of the size, the share of
samples that lie beyond the data's range in some element by half of it, and the largest element in the data's standard deviations."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from benchmarks import fleet
from benchmarks.common import save, show
from scoresde import distances, recommended, sample

COUNT, CALLS = 2000, 60


def beyond(x: Tensor, data: Tensor) -> float:
    """The share of samples that leave the range of the data in some element by more than half of it."""
    low, high = data.amin(0), data.amax(0)
    room = (high - low) / 2
    return ((x < low - room) | (x > high + room)).flatten(1).any(1).double().mean().item()


def main() -> None:
    """Measure, print, store."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name, make in fleet.DATA.items():
        data = make().x.double()
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
        half = len(data) // 2
        floor = distances.energy(data[order[:half]].flatten(1), data[order[half : 2 * half]].flatten(1))
        unit = (data - data.mean(0)).square().mean().sqrt()
        for recipe in fleet.RECIPES:
            model = fleet.trained(f"{name}-{recipe.predicts}").denoiser
            x = sample(model, (COUNT, *data.shape[1:]), recommended(model, CALLS)).double()
            far = ((x - data.mean(0)).abs().max() / unit).item()
            real = ((data - data.mean(0)).abs().max() / unit).item()
            energy = distances.energy(x.flatten(1), data.flatten(1))
            row = {"data": name, "predicts": recipe.predicts, "energy": energy, "energy/floor": energy / floor}
            rows.append({**row, "beyond the range": beyond(x, data), "largest": far, "largest of the data": real})
    show("Networks by what they predict", rows)
    means = {
        kind: math.exp(sum(math.log(row["energy/floor"]) for row in rows if row["predicts"] == kind) / len(fleet.DATA))
        for kind in (recipe.predicts for recipe in fleet.RECIPES)
    }
    print("\ngeometric mean of energy/floor: " + ", ".join(f"{kind} {value:.2f}" for kind, value in means.items()))
    save("predicts", rows, torch.float32, means=means)


if __name__ == "__main__":
    main()

"""A model from a configuration: train on two moons, sample, load the run again."""

import tempfile
from pathlib import Path

import torch

from scoresde import catalogue, runs, sample
from scoresde.runs.toml import parse

CONFIG = {
    "data": {"path": "moons"},
    "network": {"widths": [64]},
    "training": {"steps": 300, "batch": 256},
    "record": {"save": 150, "log": 50, "sample": 0},
}


def main() -> None:
    """Train for some seconds, and print how far samples lie from the data."""
    config = parse(CONFIG)
    data, held_out = config.dataset().split(0.2)

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "moons"
        trained = runs.train(config, data, run, "examples/moons.py", held_out=held_out)
        again = runs.load(run)

    x = sample(again.denoiser, (500, 2), catalogue.unipc(10), seed=0)
    nearest = torch.cdist(x, data.in_memory(4000).x).amin(1)
    print(f"loss {trained.about['training']['loss']:.3f}")
    print(f"a sample lies {nearest.mean():.3f} from the nearest datum; the moons' noise is 0.05")


if __name__ == "__main__":
    main()

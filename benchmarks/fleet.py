"""Small trained networks to judge samplers on: `python -m benchmarks.fleet [--out build/fleet]` trains those that are
missing.

Four data sets (terrain and digits as images, a spiral and a table as points) by four parameterisations, each with the
loss and the noise levels it is usually trained with. A network is a run of the package, so that its recipe is in its
folder and it loads like any other. Half of them, those on terrain and on the spiral, are for finding a rule; the
others judge it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.fields import cancer, terrain
from scoresde import EDM, VPSDE, Process, runs
from scoresde.data import toys
from scoresde.data.samples import Dataset
from scoresde.runs.config import Config, DataConfig, NetworkConfig
from scoresde.runs.journal import Record
from scoresde.training import Objective
from scoresde.training.losses import DSM, KarrasWeighted, MinSNR, PlainV
from scoresde.training.noise_levels import LogNormal, Uniform
from scoresde.training.norms import Huber
from scoresde.training.state import Training

FOLDER = Path("build/fleet")
COMMAND = "python -m benchmarks.fleet"


@dataclass(frozen=True)
class Recipe:
    """How one parameterisation is trained."""

    predicts: str
    process: Process
    objective: Objective


RECIPES = (
    Recipe("eps", VPSDE(), Objective(DSM(), Uniform())),
    Recipe("v", VPSDE(), Objective(PlainV(norm=Huber()), Uniform())),
    Recipe("x0", VPSDE(), Objective(MinSNR(), Uniform())),
    Recipe("karras", EDM(), Objective(KarrasWeighted(), LogNormal())),
)


def table() -> Dataset:
    """The table of breast cancers, its columns standardised."""
    return Dataset(cancer().float(), name="cancer")


def relief() -> Dataset:
    """Terrain in tiles of 8 x 8."""
    return Dataset(terrain().float().reshape(-1, 1, 8, 8), name="terrain")


DATA = {"terrain": relief, "spiral": toys.swiss_roll, "digits": toys.digits, "table": table}
JUDGES = ("digits", "table")


def names(judges: bool) -> list[str]:
    """The networks that judge, or those that a rule is found on."""
    return [f"{data}-{recipe.predicts}" for data in DATA for recipe in RECIPES if (data in JUDGES) == judges]


def config(data: Dataset, recipe: Recipe) -> Config:
    """Some two minutes on one core for images, less than one for points."""
    images = len(data.shape) == 3
    network = NetworkConfig(
        predicts=recipe.predicts, sigma_data=round(float(data.x.std()), 3), widths=(16, 32) if images else (128,)
    )
    training = Training(steps=2000 if images else 6000, batch=64 if images else 256, lr=2e-3)
    return Config(
        DataConfig(), recipe.process, network, recipe.objective, training, Record(save=training.steps, sample=0)
    )


def trained(name: str, folder: Path = FOLDER) -> runs.Trained:
    """The network of that name, trained where it is missing."""
    place = folder / name
    if not (place / "run.json").exists():
        data_name, predicts = name.rsplit("-", 1)
        data = DATA[data_name]()
        recipe = next(r for r in RECIPES if r.predicts == predicts)
        place.mkdir(parents=True, exist_ok=True)
        runs.train(config(data, recipe), replace(data, shift=0), place, COMMAND)
    return runs.load(place)


def main() -> None:
    """Train and say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for judges in (False, True):
        for name in names(judges):
            about = trained(name, args.out).about["training"]
            print(
                f"{name}: {about['steps_done']} steps, loss {about['loss']:.4f}, {about['seconds']:.0f} s", flush=True
            )


if __name__ == "__main__":
    main()

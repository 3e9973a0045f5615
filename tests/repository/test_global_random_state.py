"""Law: no function of the library moves the global random state of Python, NumPy or torch, the imports it makes
included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREPARED = """
import random
import numpy
import torch
from pathlib import Path
from scoresde import VPSDE, catalogue, exact, runs, sample
from scoresde.runs.config import Config, DataConfig, NetworkConfig
from scoresde.data.samples import Dataset
from scoresde.training import Training

torch.set_num_threads(1)
folder = Path({folder!r})
mixture = exact.GaussianMixture(torch.tensor([[1.0, 0.0], [-1.0, 0.5]]), 0.1)
points = Dataset(mixture.sample(64, seed=1).float(), torch.arange(64) % 2)
config = Config(network=NetworkConfig(widths=(8,)), training=Training(steps=2, batch=16))
images = Config(data=DataConfig("digits"), network=NetworkConfig(widths=(8, 8)), training=Training(steps=2, batch=16))


def states():
    return random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()


before = states()
{work}
assert [a == b for a, b in zip(before, states())] == [True] * 3
"""
WORK = {
    "split": "points.split(0.2)",
    "toys": "from scoresde import toys; toys.digits(), toys.photos(), toys.moons()",
    "sample": "sample(mixture, (4, 2), catalogue.ddim(3)); sample(mixture, (4, 2), catalogue.sra1(3))",
    "likelihood": "from scoresde.evaluation.likelihood import log_likelihood; log_likelihood(mixture,"
    " points.x[:2], process=VPSDE(), probes=1, rtol=1e-2)",
    "doctor": "from scoresde import doctor; doctor(mixture, VPSDE(), points.x)",
    "train": "runs.train(config, points, folder / 'run', 'tests', held_out=points)",
    "demo": """
from rich.console import Console
from scoresde import demo
demo.run(images, folder / 'demo', 'tests', 4, 'cpu', Console(quiet=True), workers=1)
""",
    "compare": """
from scoresde.compare import drawing, figures, problems, runner
store = runner.Store(folder)
runner.run(runner.tasks(['gaussian3', 'digits'], ['ddim', 'ddpm'], [3], 1), store)
for panel in figures.panels(store.rows):
    figures.table(panel)
drawing.picture(figures.panels(store.rows), folder / 'compare.png')
""",
}
SLOW = ("demo", "compare", "train", "doctor")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in WORK]
)
def test_no_global_random_state_moves(name: str, tmp_path: Path) -> None:
    """In a process of its own, so that what is imported at first use is imported inside the law."""
    code = PREPARED.format(folder=str(tmp_path), work=WORK[name].replace("from rich.console", "from scoresde.cli.demo"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr

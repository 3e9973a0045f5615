"""DDPM as a discretised SDE, part 4: a trained digits model under the samplers that part 2 judges in exact law.

    python -m benchmarks.ddpm_digits

One network (3000 steps, as `benchmarks.digits_quality` trains it; reused if runs/digits_quality exists), sampled by
ancestral, Euler-Maruyama, DDIM and `catalogue.best` with N = 10, 20, 50, 100, 1000 calls from 5 seeds of 250. Frechet
distance in the features of a classifier: its mean over the seeds with a 95 % interval (Student's t), beside the floor,
which is what 250 real digits reach against the others. Prints and writes benchmarks/results/ddpm_digits.json after
every cell, and goes on from what is stored there; --budgets asks for some of them. The 1000 calls take most of the
time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor

from benchmarks.common import RESULTS, save, show
from scoresde import Method, catalogue, runs, sample
from scoresde.evaluation.judge import Judge, frechet
from scoresde.runs.config import Config
from scoresde.training import Training

BUDGETS, SEEDS, EACH = (10, 20, 50, 100, 1000), 5, 250
SAMPLERS: dict[str, Callable[[int], Method]] = {
    "ancestral": catalogue.ddpm,
    "Euler-Maruyama": catalogue.euler_maruyama,
    "DDIM": catalogue.ddim,
    "best": catalogue.best,
}


def interval(values: list[float]) -> dict[str, float]:
    """Mean and half-width of its 95 % interval."""
    x = torch.tensor(values, dtype=torch.float64)
    return {
        "mean": x.mean().item(),
        "plus_minus": float(student.ppf(0.975, len(x) - 1)) * x.std().item() / len(x) ** 0.5,
    }


def floor(judge: Judge) -> dict[str, float]:
    """Frechet distance of EACH real digits to the rest, over as many random choices as there are seeds."""
    x = judge.features(torch.cat([judge.train.x, judge.held_out.x]))
    orders = [torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)) for seed in range(SEEDS)]
    return interval([frechet(x[order[:EACH]], x[order[EACH:]]) for order in orders])


def cell(name: str, n: int, model: runs.Trained, judge: Judge) -> dict[str, Any]:
    """One sampler at one budget."""
    method = SAMPLERS[name](n)
    drawn: list[Tensor] = [sample(model.denoiser, (EACH, *model.shape), method, seed) for seed in range(SEEDS)]
    told = [judge(x) for x in drawn]
    row: dict[str, Any] = {
        "sampler": name,
        "N": n,
        "calls": method.calls,
        "method": repr(method),
        "frechet_each": [r["frechet"] for r in told],
    }
    spread = interval(row["frechet_each"])
    together = judge(torch.cat(drawn))
    row |= {
        "frechet": spread["mean"],
        "+-": spread["plus_minus"],
        f"frechet of all {SEEDS * EACH}": together["frechet"],
    }
    return {**row, "confidence": together["confidence"], "rarest class": min(together["class_shares"])}


def main() -> None:
    """Train or load, draw, judge, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--run", type=Path, default=Path("runs/digits_quality"), help="trained here; reused if it exists"
    )
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="numbers of calls, comma-separated")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = Config(training=Training(steps=3000, ema=0.999))
    train, held_out = config.dataset().split(config.data.held_out)
    if not (arguments.run / "run.json").exists():
        runs.train(config, train, arguments.run, "python -m benchmarks.ddpm_digits")
    model, judge = runs.load(arguments.run), Judge.of(train, held_out)
    path = RESULTS / "ddpm_digits.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    about = {
        "training": model.about["training"],
        "seeds": SEEDS,
        "samples_each": EACH,
        "accuracy": judge.accuracy,
        "floor": floor(judge),
    }
    for n in map(int, arguments.budgets.split(",")):
        for name in SAMPLERS:
            if all((row["sampler"], row["N"]) != (name, n) for row in rows):
                rows.append(cell(name, n, model, judge))
                save("ddpm_digits", rows, torch.float32, **about)
    hidden = ("method", "frechet_each")
    show(
        "4. A trained model, digits",
        [
            {k: v for k, v in row.items() if k not in hidden}
            for row in sorted(rows, key=lambda r: (r["sampler"], r["N"]))
        ],
    )
    print(
        f"floor: {EACH} real digits against the rest {about['floor']['mean']:.2f} +- {about['floor']['plus_minus']:.2f}"
    )


if __name__ == "__main__":
    main()

"""Are the digits digits? Train longer than the demo, draw 2000 samples by the flow and by the SDE, judge them.

    python -m benchmarks.digits_quality [--steps 4000] [--n 2000]

About 25 minutes on two idle cores. Writes benchmarks/results/digits_quality.json. The bar: every class at 3 % or more,
and a mean classifier confidence within 7 points of that on held-out real digits.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

import torch

from scoresde import catalogue, runs
from scoresde.cli.demo import draw
from scoresde.evaluation.judge import Judge
from scoresde.reports.images import save_image, tiled
from scoresde.runs.config import Config
from scoresde.storage.files import versions, write_json
from scoresde.training import Training

RESULT = Path(__file__).parent / "results" / "digits_quality.json"


def main() -> None:
    """Train, draw, judge, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument(
        "--run", type=Path, default=Path("runs/digits_quality"), help="trained here; reused if it exists"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    config = Config(training=Training(steps=arguments.steps, ema=0.999))
    train, held_out = config.dataset().split(config.data.held_out)
    if not (arguments.run / "run.json").exists():
        runs.train(
            config, train, arguments.run, f"python -m benchmarks.digits_quality --steps {arguments.steps}", report=_say
        )
    trained = runs.load(arguments.run)
    judge = Judge.of(train, held_out)
    real = judge(held_out.x)
    rows: list[dict[str, Any]] = []
    for name, method in (
        ("probability flow, Dormand-Prince 1e-4", catalogue.probability_flow(1e-4)),
        ("Euler-Maruyama, 1000", catalogue.euler_maruyama(1000)),
    ):
        parts = [draw(trained.denoiser, (250, *trained.shape), method, seed) for seed in range(arguments.n // 250)]
        x = torch.cat([part[0] for part in parts])
        row = {
            "method": name,
            "calls": sum(p[1] for p in parts) / len(parts),
            "seconds": sum(p[2] for p in parts),
            **judge(x),
        }
        gap = real["confidence"] - row["confidence"]
        row |= {
            "confidence_gap": gap,
            "rarest_class": min(row["class_shares"]),
            "passes": bool(gap <= 0.07 and min(row["class_shares"]) >= 0.03),
        }
        rows.append(row)
        save_image(
            tiled(x[:100], columns=10),
            arguments.out.with_name(f"digits_quality_{name.split(',')[0].lower().replace(' ', '_')}.png"),
        )
        said = (
            f"{row['calls']:.1f} calls, {row['seconds']:.0f} s, rarest class {row['rarest_class']:.1%},"
            f" confidence {row['confidence']:.3f}"
        )
        print(
            f"{name}: {said} (real {real['confidence']:.3f}), Frechet {row['frechet']:.2f},"
            f" {'passes' if row['passes'] else 'FAILS'}",
            flush=True,
        )
    floors = {"halves": judge.floor(), "one_fifth": judge.floor(len(held_out.x))}
    about = {
        "date": date.today().isoformat(),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "training": trained.about["training"],
    }
    write_json(arguments.out, {**about, "accuracy": judge.accuracy, "floors": floors, "real": real, "rows": rows})


def _say(progress: Any) -> None:
    if progress.step % 100 == 0:
        print(f"step {progress.step}: loss {progress.loss:.4f}", flush=True)


if __name__ == "__main__":
    main()

"""Work against precision over shared problems, our methods and other libraries': `python -m benchmarks.work_precision`.

Every fixed-grid method on its own grid and on others, at 5, 10, 20 and 50 model calls, adaptive ones at four
tolerances, the stochastic ones by the law of their samples; model calls are counted at the model. Rows go to
runs/work_precision as they come, so that a run that was stopped goes on; at the end results/work_precision.json is
written from them, and docs/choosing.md from that by `python -m benchmarks.choosing`. `--tiny` runs a few rows and
stores nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import product
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.common import RESULTS
from scoresde.compare import figures, runner
from scoresde.compare.runner import Row, Store, Task

FLOWS, LAWS, BUDGETS = ("gmm2d", "digits", "patches"), ("gmm2d",), (5, 10, 20, 50)
OURS = (
    "ddim",
    "edm_heun",
    "dpm_solver_2",
    "dpm_solver_pp_2s",
    "dpm_solver_pp_2m",
    "unipc",
    "deis",
    "lms",
    "ipndm",
    "exp_adams",
)
PEERS = (
    "diffusers:dpmpp_2m",
    "diffusers:dpmpp_3m",
    "diffusers:unipc_2",
    "diffusers:unipc_3",
    "diffusers:deis_2",
    "diffusers:deis_3",
    "k-diffusion:heun",
    "k-diffusion:dpm_2",
    "k-diffusion:lms",
    "azula:zAB_3",
    "azula:vAB_2",
    "azula:vAB_3",
)
ALONE = ("recommended", "best", "probability_flow", "torchdiffeq:dopri5", "torchode:tsit5", "scipy:RK45")
STOCHASTIC = (
    "ddpm@lambda",
    "euler_maruyama@lambda",
    "sra1",
    "er_sde",
    "sa_solver",
    "k-diffusion:dpmpp_2m_sde",
    "k-diffusion:euler_ancestral",
)
GRIDS = ("lambda", "quadratic", "karras")
KEPT = (
    "problem",
    "method",
    "family",
    "stochastic",
    "adaptive",
    "cost",
    "seed",
    "calls",
    "metric",
    "error",
    "median",
    "low",
    "high",
    "floor",
    "energy_error",
    "energy_low",
    "energy_high",
    "energy_floor",
    "mmd_error",
    "mmd_low",
    "mmd_high",
    "mmd_floor",
    "frechet_error",
    "frechet_low",
    "frechet_high",
    "frechet_floor",
    "seconds",
    "n",
    "failed",
)


def methods() -> list[str]:
    """Fixed-grid names, each with each grid, then those that have none to choose."""
    return [f"{name}@{grid}" for name, grid in product(OURS + PEERS, GRIDS)] + list(ALONE)


def tasks(tiny: bool) -> list[Task]:
    """All rows, cheap problems first."""
    if tiny:
        return list(
            runner.tasks(["gaussian3"], ["unipc@lambda", "diffusers:unipc_3@lambda", "probability_flow"], [5], 1)
        )
    laws = list(runner.tasks(LAWS, STOCHASTIC, BUDGETS, 1))
    return [task for name in FLOWS for task in runner.tasks([name], methods(), BUDGETS, 1)] + laws


def compact(row: Row) -> Row:
    """What the page and a reader need of a row, four digits of each figure."""
    return {k: float(f"{row[k]:.4g}") if isinstance(row[k], float) else row[k] for k in KEPT if k in row}


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/work_precision"))
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    store, todo = Store(args.out), tasks(args.tiny)
    keys = {task.key for task in todo}
    start, before = time.perf_counter(), len(store.rows)

    def report(row: Row) -> None:
        done = len(store.rows) - before
        left = (time.perf_counter() - start) / done * (len(keys) - len(store.rows)) / 60
        print(
            f"\r{len(store.rows)}/{len(keys)} rows, {left:.0f} min left: {row['problem']} {row['method']}".ljust(100),
            end="",
            flush=True,
        )

    runner.run(todo, store, args.jobs, report)
    rows = [
        row for row in store.rows if (row["problem"], row["method"], row["cost"], row["seed"], row["device"]) in keys
    ]
    every = figures.panels(rows)
    print()
    for panel in every:
        Console(width=150).print(figures.table(panel))
    if not args.tiny:
        measured = [row for row in rows if "failed" not in row]
        about = {k: measured[-1][k] for k in ("date", "commit", "machine", "cores", "threads", "device", "dtype")}
        versions = {k: v for row in measured for k, v in row["versions"].items()}
        lines = ",\n".join("  " + json.dumps(compact(row), allow_nan=False) for row in rows)
        (RESULTS / "work_precision.json").write_text(
            json.dumps({**about, "versions": versions}, indent=1)[:-2] + f',\n "rows": [\n{lines}\n ]\n}}\n'
        )
        print("wrote benchmarks/results/work_precision.json")


if __name__ == "__main__":
    main()

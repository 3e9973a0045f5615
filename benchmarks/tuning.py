"""Tuned samplers against untuned ones: `python -m benchmarks.tuning [--part PART] [--run RUN]`. The parts:

exact     four shared problems at 5 and 10 calls: error of a tuned method over that of the best released choice of
          sampler and grid *of each problem and budget*, picked after the fact; levels alone; how long it took
first     what an analytical first call is worth, untuned: lines of the catalogue with and without, at equal calls
trained   a trained network of digits: Frechet distance of n tuned calls against 1.6 n and 2 n untuned ones, over five
          seeds; the signal-to-noise ratio at 16 calls
transfer  the same tuned method on other calls, precision, guidance, checkpoints and models
noise     a stochastic method with learned noise: energy distance to right samples, beside that of untuned ones

Errors are judged on starts that no tuning saw. Results are stored by part; `--page` writes docs/tuning.md of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import tuning_page, tuning_trained
from benchmarks.common import RESULTS, environment, show
from benchmarks.rivals import Task, rivals
from scoresde import EDM, catalogue, runs, tuning
from scoresde.compare.problems import Problem, all_problems
from scoresde.denoisers.denoiser import BaseDenoiser
from scoresde.denoisers.moments import Moments
from scoresde.samplers.transforms import AnalyticalFirstCall

PROBLEMS = ("gmm2d", "digits", "patches", "mixture3072")
CALLS = (5, 10)
LINES = ("ddim", "dpm_solver_pp_2m", "unipc", "deis", "ipndm", "lms", "best")
NOISY = ("gmm2d", "digits")
NOISE_CALLS = (3, 5, 10)
NOISE_TESTED = 2000
NOISE_DRAWN = 2 * 256 + NOISE_TESTED
Row = dict[str, Any]


def problem(name: str) -> Problem:
    """A shared problem whose model knows its range, s from 0.002 to 80, and the moments of its data."""
    made = all_problems()[name]()
    made.denoiser.process = EDM()
    if made.denoiser.moments is None:
        assert made.draw is not None
        made.denoiser.moments = Moments.of(made.draw(4000, 5))
    return made


def store(part: str, rows: list[Row]) -> None:
    """Write the rows of a part, what is measured so far."""
    path = RESULTS / f"tuning_{part}.json"
    path.write_text(json.dumps({**environment(torch.float64), "rows": rows}, indent=1) + "\n")


def exact() -> list[Row]:
    """One row for each problem and budget."""
    rows: list[Row] = []
    for name in PROBLEMS:
        case = problem(name)
        task = Task.of(case)
        for calls in CALLS:
            released = rivals(task, calls)
            best = min(released, key=lambda key, r=released: r[key].rms)
            median = min(each.median for each in released.values())
            row: Row = {"problem": name, "calls": calls}
            for stages in (("levels",), tuning.STAGES):
                begun = time.process_time()
                found = tuning.tune(case.denoiser, case.shape, calls, stages=stages, seed=1, denoise=False, frames=True)
                errors = task.run(found.method)
                kind = "levels" if len(stages) == 1 else "tuned"
                row |= {
                    kind: errors.rms,
                    f"{kind} median": errors.median,
                    f"{kind} seconds": time.process_time() - begun,
                }
            row |= {
                "best released": released[best].rms,
                "tuned/best": errors.rms / released[best].rms,
                "median/best": errors.median / median,
                "expected": found.error.rms,
                "on training": found.about["training"].rms,
                "began with": found.about["started_from"],
                "best is": best,
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
            store("exact", rows)
    return rows


def first() -> list[Row]:
    """RMS at equal calls, with and without an analytical first call."""
    rows: list[Row] = []
    for name in PROBLEMS:
        case = problem(name)
        moments = case.denoiser.moments
        assert moments is not None
        task = Task.of(case)
        for calls in CALLS:
            for line in LINES:
                make = catalogue.fixed_step_methods()[line]
                free = replace(make(calls + 1), transforms=(AnalyticalFirstCall(moments),))
                assert free.transport_calls == calls
                without, given = (task.run(method) for method in (make(calls), free))
                rows.append(
                    {
                        "problem": name,
                        "calls": calls,
                        "line": line,
                        "without": without.rms,
                        "with": given.rms,
                        "ratio": given.rms / without.rms,
                        "median ratio": given.median / without.median,
                    }
                )
    return rows


def noise(run: Path) -> list[Row]:
    """One row for each model and budget: two exact problems against their data, a network against its flow."""
    rows: list[Row] = []
    for name in NOISY:
        case = problem(name)
        assert case.draw is not None
        target = case.draw(NOISE_DRAWN, 1)
        rows += [noise_row(name, case.denoiser, case.shape, calls, target) for calls in NOISE_CALLS]
    loaded = runs.load(run)
    return rows + [noise_row("digits network", loaded.denoiser, loaded.shape, calls, None) for calls in NOISE_CALLS]


def noise_row(
    where: str,
    denoiser: BaseDenoiser,
    shape: tuple[int, ...],
    calls: int,
    target: Tensor | None,
) -> Row:
    """A tuned stochastic method, the best untuned one and the deterministic choice, on samples that nothing saw."""
    found = tuning.tune_noise(denoiser, shape, calls, target=target, seed=1, tested=NOISE_TESTED)
    rivals = {name: law for name, law in found.baselines.items() if name != "recommended"}
    best = min(rivals, key=lambda name: rivals[name].value)
    row: Row = {
        "model": where,
        "calls": calls,
        "tuned": found.law.value,
        "+-": found.law.high - found.law.value,
        "best untuned": rivals[best].value,
        "untuned +-": rivals[best].high - rivals[best].value,
        "which is": best,
        "recommended": found.baselines["recommended"].value,
        "eta": " ".join(f"{eta:.2g}" for eta in found.about["etas"]),
        "began with": found.about["started_from"],
        "seconds": found.about["seconds"],
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", choices=tuning_page.PARTS, help="measure this part; default all")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/demo"), help="the network of `trained`, `transfer` and `noise`"
    )
    parser.add_argument("--calls", type=int, nargs="*", help="budgets of `trained`; default 5 7 10 16")
    parser.add_argument("--other", action="append", default=[], help="NAME=RUN of the same data, for `transfer`")
    parser.add_argument("--labelled", type=Path, help="a run that takes labels, for guidance in `transfer`")
    parser.add_argument("--page", action="store_true", help="write the page of what is stored")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], list[Row]]] = {
        "exact": exact,
        "first": first,
        "trained": lambda: tuning_trained.trained(asked.run, asked.calls or list(tuning_trained.TUNED)),
        "noise": lambda: noise(asked.run),
        "transfer": lambda: tuning_trained.transfer(
            asked.run, {name: Path(path) for name, path in (each.split("=") for each in asked.other)}, asked.labelled
        ),
    }
    if not asked.page:
        for part in asked.part or tuning_page.PARTS:
            rows = parts[part]()
            show(part, rows)
            store(part, rows)
    tuning_page.write()


if __name__ == "__main__":
    main()

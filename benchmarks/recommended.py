"""`recommended(denoiser, n)` and `catalogue.best(n, unit)` against other libraries' samplers: `python -m
benchmarks.recommended`.

Exact problems of many kinds and scales (`fields`) and small trained networks (`fleet`), half of them for finding the
rules, half judges only; `--kinds exact` or `trained` measures one of them. Start: 80 z, or the first level of a
network's process. Error: against the converged flow, RMS over samples and that of the median sample. Three things
stand beside each other: our choice; the oracle, the best of some 90 released choices of sampler and grid *of each
problem and budget*, picked after the fact; and one named rival, the single released choice that did best on the
problems or networks for finding."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from benchmarks import fields, fleet
from benchmarks.common import save, show
from benchmarks.rivals import F64, Errors, Task, geometric, rivals
from scoresde import Method, catalogue, recommended
from scoresde.compare.problems import Problem
from scoresde.denoisers.moments import Moments

BUDGETS = {"exact": (5, 8, 10, 15, 20, 30, 50), "trained": (5, 10, 20)}
BARS = {"exact": (0.75, 1.5), "trained": (0.9, 1.2)}  # geometric mean and worst ratio to the oracle, recommended
Row = dict[str, Any]


def network(name: str) -> tuple[Problem, Moments]:
    """A trained network as a problem, and what its run knows of its data."""
    run = fleet.trained(name)
    process, moments = run.denoiser.process, run.denoiser.moments
    assert moments is not None
    high, low = (math.exp(-float(process.lam(t))) for t in (process.t_noise, process.t_data))
    n = 128 if len(run.shape) == 3 else 512
    return Problem(name, run.denoiser, run.shape, n, high=high, low=low, steps=400 if n == 512 else 200), moments


def closed_form(problem: Problem) -> tuple[Problem, Moments]:
    """An exact problem, and the moments of 4000 draws of its data."""
    assert problem.draw is not None
    return problem, Moments.of(problem.draw(4000, 5))


def measured(kind: str, cases: Iterable[tuple[Problem, Moments]]) -> list[Row]:
    """One row for each problem and budget, every rival's errors in it."""
    rows: list[Row] = []
    for problem, moments in cases:
        start = problem.start()
        answer, doubt = problem.reference()
        task = Task(problem, start, answer)
        for n in BUDGETS[kind]:
            makers: dict[str, Callable[[], Method]] = {
                "recommended": lambda n=n, p=problem, m=moments: recommended(p.denoiser, n, moments=m),
                "best": lambda n=n, m=moments: catalogue.best(n, m.scale),
            }
            ours = {name: task.run(make()) for name, make in makers.items()}
            rows.append(
                {
                    "kind": kind,
                    "problem": problem.name,
                    "calls": n,
                    "doubt": doubt,
                    "ours": ours,
                    "rivals": rivals(task, n),
                }
            )
            print(
                f"{problem.name}, {n} calls: recommended {ours['recommended'].rms:.2e}, oracle"
                f" {min(rows[-1]['rivals'].values()).rms:.2e}",
                flush=True,
            )
    return rows


def named(rows: list[Row], n: int) -> str:
    """The released choice with the least geometric mean of RMS ratios to the oracle at n calls."""
    of_budget = [row["rivals"] for row in rows if row["calls"] == n]
    names = set.intersection(*(set(r) for r in of_budget))
    least = [min(e.rms for e in r.values()) for r in of_budget]
    return min(
        sorted(names), key=lambda name: math.prod(r[name].rms / b for r, b in zip(of_budget, least, strict=True))
    )


def ratios(row: Row, who: Errors) -> tuple[float, float]:
    """RMS and median of `who` over the oracle's, each oracle the best by that measure."""
    each = row["rivals"].values()
    return who.rms / min(e.rms for e in each), who.median / min(e.median for e in each)


def table(rows: list[Row], chosen: dict[int, str]) -> list[Row]:
    """What is printed and stored: figures and ratios, one line for each problem and budget."""
    out: list[Row] = []
    for row in rows:
        oracle = min(row["rivals"], key=lambda name, r=row["rivals"]: r[name].rms)
        line: Row = {
            "kind": row["kind"],
            "problem": row["problem"],
            "calls": row["calls"],
            "reference error": row["doubt"],
        }
        every = {**row["ours"], "named": row["rivals"][chosen[row["calls"]]]}
        for name, errors in every.items():
            rms, median = ratios(row, errors)
            line |= {
                name: errors.rms,
                f"{name} median": errors.median,
                f"{name}/oracle": rms,
                f"{name}/oracle median": median,
            }
        out.append({**line, "oracle": row["rivals"][oracle].rms, "oracle is": oracle, "named is": chosen[row["calls"]]})
    return out


def summary(rows: list[Row], kind: str) -> list[Row]:
    """Geometric means and worst ratios to the oracle, by budget and over all."""
    out: list[Row] = []
    for n in (*BUDGETS[kind], None):
        these = [row for row in rows if n in (None, row["calls"])]
        line: Row = {"calls": "all" if n is None else n}
        for name in ("recommended", "best", "named"):
            rms = [row[f"{name}/oracle"] for row in these]
            line |= {
                name: geometric(rms),
                f"{name}, worst": max(rms),
                f"{name}, median": geometric([row[f"{name}/oracle median"] for row in these]),
            }
        out.append(line)
    return out


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="exact,trained")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for kind in args.kinds.split(","):
        if kind == "exact":
            found, judges = ([closed_form(p) for p in group()] for group in (fields.found, fields.judges))
        else:
            found, judges = ([network(name) for name in fleet.names(judging)] for judging in (False, True))
        before = measured(kind, found)
        chosen = {n: named(before, n) for n in BUDGETS[kind]}
        stored: list[Row] = []
        means: dict[str, list[Row]] = {}
        for group, rows in (("judges", measured(kind, judges)), ("found", before)):
            lines = table(rows, chosen)
            stored += [{"set": group, **line} for line in lines]
            means[group] = summary(lines, kind)
            show(f"{kind}, {group}: errors over the oracle's (bars on the judges: {BARS[kind]})", means[group])
        save(f"recommended_{kind}", stored, F64, means=means)


if __name__ == "__main__":
    main()

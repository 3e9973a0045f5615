"""Is the last network call better spent on a denoise or on a step? `python -m benchmarks.last_call [--out build/fleet]`.

`recommended` and `catalogue.best` of n calls, each with n - 1 steps and a denoise, and with n steps. Judged by `sample`:
RMS distance to what the converged flow makes of the same latents, its last state denoised. Networks are those of
`fleet`; the ones on terrain are those on which the numbers of calls were found from which on a denoise is made, the
others judge. A ratio below 1 says that the step is better.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import fleet
from benchmarks.common import save, show
from benchmarks.rivals import geometric
from scoresde import Method, catalogue, recommended
from scoresde.denoisers.denoiser import BaseDenoiser
from scoresde.samplers.method import with_last_step
from scoresde.samplers.sampling import decode
from scoresde.tuning.pairs import Pairs, distances, drawn

CALLS = (3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20)
FOUND = ("terrain-eps", "terrain-v")
LATENTS = 128
Row = dict[str, Any]


def with_last_denoise(method: Method) -> Method:
    """The method with a denoise in place of its last step."""
    assert method.n is not None
    return method if method.final_denoise else replace(method, n=method.n - 1, final_denoise=True)


def rms(model: BaseDenoiser, method: Method, pairs: Pairs) -> float:
    """Of the samples of a method."""
    return float(distances(decode(model, pairs.latents, method), pairs.answers).square().mean().sqrt())


def measured(name: str, folder: Path) -> list[Row]:
    """One row for each number of calls."""
    run = fleet.trained(name, folder)
    model, moments = run.denoiser, run.denoiser.moments
    assert moments is not None
    pairs = drawn(model, run.shape, LATENTS, seed=5)
    rows: list[Row] = []
    for n in CALLS:
        row: Row = {"network": name, "set": "found" if name in FOUND else "judges", "calls": n}
        for choice, method in (
            ("recommended", recommended(model, n)),
            ("best", catalogue.best(n, moments.scale)),
        ):
            denoised, stepped = (rms(model, end(method), pairs) for end in (with_last_denoise, with_last_step))
            row |= {f"{choice}, denoise": denoised, f"{choice}, step": stepped, f"{choice}, ratio": stepped / denoised}
        rows.append(row)
    return rows


def summary(rows: list[Row]) -> list[Row]:
    """Geometric means of the ratios over networks, and how many of them the step is better on."""
    out: list[Row] = []
    for kind in ("judges", "found"):
        for n in CALLS:
            these = [row for row in rows if (row["set"], row["calls"]) == (kind, n)]
            if not these:
                continue
            line: Row = {"set": kind, "calls": n, "networks": len(these)}
            for choice in ("recommended", "best"):
                ratios = [row[f"{choice}, ratio"] for row in these]
                line |= {choice: geometric(ratios), f"{choice}, better": sum(ratio < 1 for ratio in ratios)}
            out.append(line)
    return out


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=fleet.FOLDER, help="where the networks lie, or are trained")
    parser.add_argument("--only", nargs="*", help="names of networks; default all")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    names = asked.only or [name for judging in (True, False) for name in fleet.names(judging)]
    rows = [row for name in names for row in measured(name, asked.out)]
    means = summary(rows)
    show("the step's error over the denoise's, geometric mean", means)
    save("last_call", rows, torch.float64, means=means)


if __name__ == "__main__":
    main()

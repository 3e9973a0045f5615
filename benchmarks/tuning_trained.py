"""The parts of `benchmarks.tuning` that are measured on trained networks."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoresde import data, runs, tuning
from scoresde.denoisers.denoiser import BaseDenoiser
from scoresde.evaluation.judge import Judge
from scoresde.guidance import ClassifierFree
from scoresde.samplers.catalogue import probability_flow
from scoresde.samplers.method import Method
from scoresde.samplers.sampling import decode, sample
from scoresde.tuning.candidates import untuned
from scoresde.tuning.pairs import Pairs, distances, drawn

TUNED = (5, 7, 10, 16)
SNR = 16  # calls at which the signal-to-noise ratio is told, and no Frechet distance
DRAWN = 512
JUDGED = 192
SEEDS = 5
LIMIT = 240.0  # seconds of learning
RANGE = 2.0  # of pixels
Row = dict[str, Any]


def best_of(denoiser: BaseDenoiser, calls: int, pairs: Pairs) -> tuple[str, Method]:
    """The untuned method nearest to converged samples."""
    assert denoiser.moments is not None
    methods = untuned(denoiser, calls, denoiser.moments)
    errors = {name: float(off(denoiser, method, pairs).square().mean()) for name, method in methods.items()}
    name = min(errors, key=lambda each: errors[each])
    return name, methods[name]


def off(denoiser: BaseDenoiser, method: Method, pairs: Pairs) -> Tensor:
    """Distance of each sample of a method to the converged one."""
    return distances(decode(denoiser, pairs.latents, method, cond=pairs.cond), pairs.answers)


def spread(values: list[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % interval over seeds."""
    x = torch.tensor(values, dtype=torch.float64)
    return float(x.mean()), 2.776 * float(x.std()) / math.sqrt(len(x))  # Student's t, four degrees of freedom


def trained(folder: Path, budgets: list[int]) -> list[Row]:
    """Frechet distance of n tuned calls, and of 1.6 n and 2 n untuned ones; the ratio of signal to error at 16."""
    run = runs.load(folder)
    model = run.denoiser
    judge = Judge.of(*data.digits().split(0.2))
    pairs = drawn(model, run.shape, JUDGED, seed=77)
    rows: list[Row] = [{"method": "converged", "calls": "", **frechet(model, run.shape, probability_flow(1e-4), judge)}]
    rows[0]["floor"] = judge.floor()

    for calls in budgets:
        found = tuning.tune(model, run.shape, calls, seed=1, seconds=LIMIT)
        methods = {"tuned": found.method}
        for times in (1.0,) if calls == SNR else (1.0, 1.6, 2.0):
            name, method = best_of(model, round(times * calls), pairs)
            methods[f"{name} ({times:g} n)"] = method
        for name, method in methods.items():
            error = off(model, method, pairs)
            rms, median = float(error.square().mean().sqrt()), float(error.median())
            row: Row = {"method": name, "calls": method.calls, "error": rms, "median": median}
            if calls == SNR:
                row |= {"PSNR": psnr(rms), "PSNR of the median": psnr(median)}
            else:
                row |= frechet(model, run.shape, method, judge)
            row["seconds"] = found.about["seconds"] if name == "tuned" else None
            rows.append(row)
            print(json.dumps(row), flush=True)

    return rows


def frechet(
    model: BaseDenoiser,
    shape: tuple[int, ...],
    method: Method,
    judge: Judge,
) -> Row:
    """Frechet distance to the real data over seeds, and half of its 95 % interval."""
    found = [judge(sample(model, (DRAWN, *shape), method, seed))["frechet"] for seed in range(SEEDS)]
    mean, half = spread(found)
    return {"Frechet": mean, "+-": half}


def psnr(rms: float) -> float:
    """Peak signal-to-noise ratio in dB, of images in [-1, 1]."""
    return 20 * math.log10(RANGE / rms)


def transfer(folder: Path, others: dict[str, Path], labelled: Path | None) -> list[Row]:
    """A method tuned at 7 calls, elsewhere: its error over that of the best untuned method there."""
    run = runs.load(folder)
    model = run.denoiser
    home = tuning.tune(model, run.shape, 7, seed=1, seconds=LIMIT).method
    rows = [measured("as tuned, other latents", model, run.shape, home)]

    for calls in (6, 8):
        rows.append(measured(f"{calls} calls", model, run.shape, tuning.stretched(home, calls)))

    half = copy.deepcopy(model)
    half.network.to(torch.bfloat16)
    rows.append(measured("bfloat16 weights", half, run.shape, home))

    for name, path in others.items():
        rows.append(measured(name, runs.load(path).denoiser, run.shape, home))

    if labelled is not None:
        run = runs.load(labelled)
        every = torch.arange(10)
        guided = {scale: ClassifierFree(run.denoiser, scale) for scale in (1.0, 2.0, 4.0)}
        for each in guided.values():
            each.moments = run.denoiser.moments
        home = tuning.tune(guided[2.0], run.shape, 7, seed=1, seconds=LIMIT, cond=every).method
        rows += [
            measured(f"tuned at guidance 2, used at {scale:g}", each, run.shape, home, every)
            for scale, each in guided.items()
        ]

    return rows


def measured(
    where: str,
    model: BaseDenoiser,
    shape: tuple[int, ...],
    method: Method,
    cond: Any = None,
) -> Row:
    """One row: against converged samples of the model there."""
    assert method.calls is not None
    pairs = drawn(model, shape, JUDGED, cond, seed=78)
    name, best = best_of(model, method.calls, pairs)
    errors = {"transferred": off(model, method, pairs), "best untuned": off(model, best, pairs)}
    row: Row = {"where": where, "calls": method.calls}
    for kind, error in errors.items():
        row |= {kind: float(error.square().mean().sqrt()), f"{kind} median": float(error.median())}
    row |= {"ratio": row["transferred"] / row["best untuned"], "best untuned is": name}
    print(json.dumps(row), flush=True)
    return row

"""Examination of a score model. Each fault is a finding with evidence and a remedy; a healthy model has none.

Idea: interpret the output in every way (`interpretations`): parameterisation, sign, c_noise (the noise level as the
network receives it), scale of the data. The true score fits a batch at least as well as any other function. If another
interpretation explains the batch much better than the
declared one, the declaration is wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser, Denoiser, Eps, Score
from ..processes.base import Process, ScoreFunction
from ..samplers.sampling import evaluating
from .findings import (
    MISSING,
    Finding,
    far_samples,
    ignored_inputs,
    missing_inverse_sigma,
    nondeterminism,
    not_finite,
    scale_of_data,
    stale_average,
)
from .interpretations import (
    CLOCKS,
    TABLES,
    Batch,
    Interpretation,
    as_declared,
    data_ranges,
    draw,
    loss_ratios,
    variance,
)

MAX_LOSS_RATIO = 1.25  # a network is reported if its loss is above so many times that of a Gaussian fitted to the batch
RANGE = "wrong data range"


def doctor(
    denoiser: BaseDenoiser | ScoreFunction,
    process: Process,
    batch: Tensor,
    cond: Any = None,
    *,
    raw: BaseDenoiser | None = None,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Examine a denoiser, or a plain score(x, t), on a batch of its data; the result is () if nothing is found.

    It looks for these faults:

    - the output is not finite, not repeatable (dropout left on), or depends on the rest of the batch;
    - one of eps, x0, v, velocity and score is declared as another, the sign is wrong, or a factor 1/sigma is missing;
    - c_noise is off by a factor of 1000, or reversed;
    - the data are in [0, 255] or [0, 1], or are too large for the process's prior;
    - a condition or the noise level is ignored;
    - the averaged weights lag behind the raw ones;
    - the loss is above that of a Gaussian;
    - samples of the probability flow lie far beyond the data. This is looked at only if nothing else is found.

    It takes at most 12 network calls at each of 8 noise levels, and some fifty more. The first few run in the mode that
    the model is in, the others in eval mode.

    Args:
        denoiser: the model: a `BaseDenoiser`, or a function score(x, t).
        process: the training process. If a `Denoiser` has a process of its own, noisy states are made by that one.
        batch: clean samples (B, ...), B >= 8, in the model's scale, not noisy.
        cond: condition with one entry per sample, or None.
        raw: the model with its raw weights, if `denoiser` holds a moving average of them; None: not compared.
        seed: of the noise.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    if not isinstance(process, Process):
        raise TypeError(f"`process` must be a Process, got {type(process).__name__}; for example VPSDE()")

    model = denoiser if isinstance(denoiser, BaseDenoiser) else Denoiser.from_score(denoiser, process)
    x0 = check.state("batch", batch)
    if len(x0) < 8 or not variance(x0) > 0:
        raise ValueError(f"`batch` must hold at least 8 samples that differ, got shape {tuple(x0.shape)}")

    cond = conditions.prepared(cond, len(x0), x0.device)
    own = model.process if isinstance(model, Denoiser) else process
    drawn = draw(x0, cond, own, seed)

    with torch.no_grad():
        broken = [*not_finite(model, drawn, own)]
        if broken:
            return tuple(broken)

        shaky = [*nondeterminism(model, drawn, own)]

        with evaluating(model):
            best, misread = _misread(model, drawn, own)
            found = [
                *shaky,
                *(misread or missing_inverse_sigma(model, drawn, own)),
                *ignored_inputs(model, drawn, own, best),
                *stale_average(model, raw, drawn, own),
            ]

        found = found or [*far_samples(model, drawn, seed)]

    return tuple(found if any(f.what == RANGE for f in found) else [*scale_of_data(x0, process), *found])


def _misread(model: BaseDenoiser, batch: Batch, process: Process) -> tuple[float, list[Finding]]:
    """The loss under the best interpretation, and how that interpretation differs from the declared one."""
    declared = as_declared(model)
    tables = dict.fromkeys((declared.table, *TABLES))  # the declared one first, each once
    clocks = CLOCKS if isinstance(model, Denoiser) else CLOCKS[:1]
    ratios: dict[Interpretation, float] = {}

    for data, clock in product(data_ranges(batch.x0), clocks):
        choices = [Interpretation(table, sign, clock, data) for table, sign in product(tables, (1, -1))]
        with contextlib.suppress(IndexError, ValueError, RuntimeError):  # a network may refuse another clock
            ratios |= loss_ratios(model, batch.scaled(data), process, clock, choices)

    best = min(ratios, key=lambda r: ratios[r] / r.doubt(declared))
    best = best if ratios[best] < MAX_LOSS_RATIO else declared

    return ratios[best], list(_explain(declared, best, ratios, batch.x0))


def _explain(
    declared: Interpretation,
    best: Interpretation,
    ratios: dict[Interpretation, float],
    x0: Tensor,
) -> Iterator[Finding]:
    """A finding for each choice in which the best interpretation differs from the declared one."""
    loss = f"the loss is {ratios[declared]:.3g} times a Gaussian's as declared, {ratios[best]:.3g} times"
    name, other = (type(reading.table).__name__ for reading in (declared, best))
    sign = "-" if best.sign < 0 else ""

    if (declared.table, best.table, best.sign) == (Score(), Eps(), -1):
        yield Finding(MISSING, f"{loss} when the output is read as sigma * score", "divide the output by sigma")
    elif declared.table == best.table and best.sign < 0:
        yield Finding("wrong sign", f"{loss} with the opposite sign", "negate the output")
    elif declared.table != best.table:
        remedy = f"pass table={other}()" if best.table in TABLES[:4] else "give its eps: (x + alpha F)/(alpha + sigma)"
        remedy = f"{remedy}{', and negate the output' if sign else ''}, or train it on {name}"
        yield Finding(f"{sign}{other} read as {name}", f"{loss} when the output is read as {sign}{other}", remedy)

    if best.clock.reversed:
        yield Finding(
            "time reversed", f"{loss} with c_noise run backwards", "pass time= so that c_noise runs as in training"
        )

    if best.clock.scale != 1:
        factor = f"{best.clock.scale:g}"
        yield Finding(
            "wrong time scale",
            f"{loss} with c_noise times {factor}",
            f"pass time=lambda lam: {factor} * process.time(lam), as in training",
        )

    if best.range != declared.range:
        evidence = (
            f"values in [{x0.min().item():g}, {x0.max().item():g}]; {loss} with (x -"
            f" {best.range.centre:g})/{best.range.half:g}"
        )
        yield Finding(
            RANGE, evidence, f"map the data by (x - {best.range.centre:g})/{best.range.half:g}, and samples back"
        )

    if best == declared and ratios[best] > MAX_LOSS_RATIO:
        evidence = f"its denoising loss is {ratios[best]:.3g} times that of a Gaussian with the batch's variance"
        yield Finding(
            "worse than a Gaussian", evidence, "train longer; check that batch and process are those of the training"
        )

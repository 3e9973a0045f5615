"""What is wrong with a score model: findings with evidence and remedy, none for a healthy one.

The true score fits a batch at least as well as any other reading of a network's output does (`readings`), so a network
that fits well, and far better, when it is read as something else than declared (another parameterisation, sign, clock,
or scale of the data) is that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser, Denoiser, Eps, Score
from ..processes.base import Process, ScoreFunction
from ..processes.coefficients import like
from ..samplers.sampling import evaluating
from .interpretations import (
    BETTER,
    CLOCKS,
    LEVELS,
    TABLES,
    Batch,
    ClockHypothesis,
    Interpretation,
    as_declared,
    data_ranges,
    draw,
    loss_ratios,
    variance,
    with_clock,
)
from .tails import COUNT, SHARE, tails

MAX_LOSS_RATIO = 1.25  # a loss that the fitted Gaussian shames
MAX_PRIOR_SNR = 0.25  # signal over noise that a prior N(0, sigma^2) cannot stand for
NO_CHANGE = 1e-3  # relative change of the output that counts as none
FAINT = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, device="cpu")  # lam beyond the last level
MISSING = "missing 1/sigma"
RANGE = "wrong data range"


@dataclass(frozen=True)
class Finding:
    """One fault: what, the evidence in numbers, and what to do."""

    what: str
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.evidence}; {self.remedy}"


def doctor(
    denoiser: BaseDenoiser | ScoreFunction,
    process: Process,
    batch: Tensor,
    cond: Any = None,
    *,
    raw: BaseDenoiser | None = None,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Examine a denoiser, or a plain score(x, t), on a batch of its data; () when nothing is found.

    process  the one it was trained on;  batch  clean samples (B, ...), B >= 8, in the model's scale, not noisy;
    cond  one entry a sample
    raw      the network before averaging, where `denoiser` holds the moving average of its weights;  seed  of the noise

    Found: output that is not finite, not repeatable (dropout left on) or dependent on batch mates; eps, x0, v,
    velocity or score taken for another, a wrong sign, a missing 1/sigma; c_noise off by 1000 or reversed; data in [0,
    255] or [0, 1]; a prior that does not cover the data; a condition or noise level that is ignored; a stale average;
    a loss above a Gaussian's; where nothing else is found, samples of its flow far beyond the data. At most 12 calls
    at each of 8 levels and some fifty more, in eval mode after the first few. Raises TypeError or ValueError naming
    the argument."""

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
        broken = [*_not_finite(model, drawn, own)]
        if broken:
            return tuple(broken)

        shaky = [*_nondeterminism(model, drawn, own)]

        with evaluating(model):
            best, misread = _misread(model, drawn, own)
            found = [
                *shaky,
                *(misread or _missing_inverse_sigma(model, drawn, own)),
                *_ignored_inputs(model, drawn, own, best),
                *_stale_average(model, raw, drawn, own),
            ]

        found = found or [*_tails(model, drawn, seed)]

    return tuple(found if any(f.what == RANGE for f in found) else [*_scale(x0, process), *found])


def _scale(x0: Tensor, process: Process) -> Iterator[Finding]:
    """A prior that does not cover the data."""
    rms = x0.double().square().mean().sqrt().item()
    left = process.lam(process.t_noise).exp().item() * rms
    if left > MAX_PRIOR_SNR:
        evidence = (
            f"values in [{x0.min().item():g}, {x0.max().item():g}], rms {rms:.3g}: at the noisy end"
            f" signal/noise is still {left:.2g}"
        )
        yield Finding(
            "data too large for the process", evidence, "scale the data to unit size, or take a process with more noise"
        )


def _not_finite(model: BaseDenoiser, batch: Batch, process: Process) -> Iterator[Finding]:
    """NaN or Inf anywhere from end to end."""
    for t in torch.linspace(process.t_data, process.t_noise, 9, dtype=torch.float64, device="cpu"):
        alpha = process.alpha(t)
        sigma = process.sigma(t)
        out = model(
            batch.x0 * like(alpha, batch.x0) + batch.eps[0] * like(sigma, batch.x0), alpha, sigma, batch.cond
        ).out
        bad = ~out.isfinite().reshape(len(out), -1).all(1)
        if bool(bad.any()):
            evidence = f"{int(bad.sum())} of {len(out)} samples are NaN or Inf at t = {t.item():.4g}"
            yield Finding(
                "output not finite",
                evidence,
                "look for a division by sigma or alpha, an overflow in half precision, or diverged weights",
            )
            return


def _nondeterminism(model: BaseDenoiser, batch: Batch, process: Process) -> Iterator[Finding]:
    """Another answer for the same question, or for a sample in other company."""
    x, alpha, sigma, _ = list(batch.at(process))[len(LEVELS) // 2]
    first, again = (model(x, alpha, sigma, batch.cond).out for _ in range(2))
    if (change := _relative(first, again)) > 1e-5:
        remedy = "call .eval(): dropout is on" if model.training else "draw nothing inside the network in eval mode"
        yield Finding("output not repeatable", f"two calls on one input differ by {change:.2g} of its size", remedy)
        return

    half = len(x) // 2
    alone = model(x[:half], alpha, sigma, conditions.rows(batch.cond, slice(half))).out
    if (change := _relative(first[:half], alone)) > 1e-2:
        remedy = (
            "call .eval(): batch normalisation is on"
            if model.training
            else "normalise over features, not over the batch"
        )
        yield Finding(
            "samples depend on their batch",
            f"without the other half of the batch the output changes by {change:.2g} of its size",
            remedy,
        )


def _relative(a: Tensor, b: Tensor) -> float:
    size = a.double().square().mean().sqrt().item()
    return (a.double() - b.double()).square().mean().sqrt().item() / size if size else 0.0


def _misread(model: BaseDenoiser, batch: Batch, process: Process) -> tuple[float, list[Finding]]:
    """The loss as best understood, and in what that differs from what is declared."""
    declared = as_declared(model)
    ratios: dict[Interpretation, float] = {}

    for data, clock in product(data_ranges(batch.x0), CLOCKS if isinstance(model, Denoiser) else CLOCKS[:1]):
        choices = [
            Interpretation(table, sign, clock, data)
            for table in {declared.table: 0, **dict.fromkeys(TABLES, 0)}
            for sign in (1, -1)
        ]
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
    """A finding for each choice in which the best reading differs from the declared one."""
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


def _missing_inverse_sigma(model: BaseDenoiser, batch: Batch, process: Process) -> Iterator[Finding]:
    """A score without its 1/sigma where the loss hardly feels it: beta = E[eps_hat eps]/E[eps_hat^2], 1 for a
    denoiser, is 1/sigma.

    Errors of a network make beta less than one, a constant factor does not run with sigma: only this fault does."""

    if not isinstance(model, Denoiser) or model.table != Score():
        return

    near = replace(batch, lams=batch.lams[-1] + FAINT, eps=batch.eps[: len(FAINT)])
    products: list[float] = []

    for x, alpha, sigma, eps in near.at(process):
        eps_hat = model(x, alpha, sigma, batch.cond).eps.double().reshape(len(x), -1)
        cross = (eps_hat * eps.reshape(len(x), -1)).sum(1)
        square = eps_hat.square().sum(1)
        beta = cross.sum() / square.sum()
        error = (cross - beta * square).std() * len(x) ** 0.5 / square.sum()
        if beta - 1 < 6 * error or abs(beta * sigma - 1) > 0.25 + 4 * error * sigma:
            return

        products.append((beta * sigma).item())

    evidence = (
        f"the best multiple of the output is {', '.join(f'{p:.2f}' for p in products)} times 1/sigma at"
        " three low noise levels"
    )
    yield Finding(MISSING, evidence, "divide the output by sigma")


def _ignored_inputs(
    model: BaseDenoiser,
    batch: Batch,
    process: Process,
    ratio: float,
) -> Iterator[Finding]:
    """A condition that changes nothing; a noise level that changes nothing although it should."""
    x, alpha, sigma, _ = list(batch.at(process))[len(LEVELS) // 2]
    out = model(x, alpha, sigma, batch.cond).out

    if batch.cond is not None:
        others = conditions.rows(batch.cond, torch.arange(len(x), device="cpu").roll(1))
        pick = conditions.differ(batch.cond, others).to(x.device)
        if (
            bool(pick.any())
            and (change := _relative(out[pick], model(x[pick], alpha, sigma, conditions.rows(others, pick)).out))
            < NO_CHANGE
        ):
            evidence = f"other conditions change the output by {change:.2g} of its size"
            yield Finding(
                "condition ignored",
                evidence,
                "hand cond on inside the network; check that its embedding has a gradient and is not dropped always",
            )

    if isinstance(model, Denoiser) and ratio > 1.05:
        change = _relative(out, with_clock(model, ClockHypothesis(reversed=True))(x, alpha, sigma, batch.cond).out)
        if change < NO_CHANGE:
            evidence = (
                f"c_noise from the other end changes the output by {change:.2g} of its size, and the"
                f" loss is {ratio:.3g} times a Gaussian's"
            )
            yield Finding(
                "noise level ignored",
                evidence,
                "sinusoidal embeddings want c_noise in 0..1000: pass time=lambda lam: 1000 * process.time(lam)",
            )


def _tails(model: BaseDenoiser, batch: Batch, seed: int) -> Iterator[Finding]:
    """Samples of the flow where no data are."""
    found = tails(model, batch.x0, batch.cond, seed)
    if found.share < SHARE:
        return

    reach = (
        "some are not finite"
        if found.farthest is None
        else f"the farthest at {found.farthest:.3g} standard deviations of an element"
    )
    evidence = (
        f"{found.share:.1%} of {COUNT} samples of its flow lie twice as far out as any data"
        f" ({found.known:.3g}), {reach}"
    )
    yield Finding(
        "samples beyond the data",
        evidence,
        "train longer, or with predicts = 'v' or 'karras': eps errs most where noise is high",
    )


def _stale_average(
    model: BaseDenoiser,
    raw: BaseDenoiser | None,
    batch: Batch,
    process: Process,
) -> Iterator[Finding]:
    """An average far behind the weights it averages."""
    if raw is None:
        return

    with evaluating(raw):
        mean, last = (
            loss_ratios(m, batch, process, ClockHypothesis(), [as_declared(m)])[as_declared(m)] for m in (model, raw)
        )

    if last < BETTER * mean:
        evidence = f"its loss is {mean:.3g} times a Gaussian's, that of the weights it averages {last:.3g} times"
        yield Finding("stale average", evidence, "update the average after every step, lower its decay, or train on")

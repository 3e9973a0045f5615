"""The checks of the doctor, one per function. Each yields findings with evidence and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser, Denoiser, Score
from ..processes.base import Process
from ..processes.coefficients import like
from ..samplers.sampling import evaluating
from .interpretations import BETTER, LEVELS, Batch, ClockHypothesis, as_declared, loss_ratios, with_clock
from .tails import COUNT, SHARE, tails

EXTRA_LEVELS = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, device="cpu")  # added to lam of the last level
MISSING = "missing 1/sigma"

MAX_PRIOR_SNR = 0.25  # signal/noise at the noisy end, above which the prior N(0, sigma^2) does not cover the data
NO_CHANGE = 1e-3  # a smaller relative change of the output counts as no change


@dataclass(frozen=True)
class Finding:
    """One fault: what it is, the evidence in numbers, and the remedy."""

    what: str
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.evidence}; {self.remedy}"


def scale_of_data(x0: Tensor, process: Process) -> Iterator[Finding]:
    """Find data that are too large for the prior: at the noisy end of the process the signal is not small.

    Args:
        x0: clean samples, (B, ...).
        process: the training process.
    """
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


def not_finite(model: BaseDenoiser, batch: Batch, process: Process) -> Iterator[Finding]:
    """Find NaN or Inf in the output at 9 times from the clean to the noisy end.

    Args:
        model: the model, in the mode it is in.
        batch: samples and their noise.
        process: makes the noisy states, over its whole range.
    """
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


def nondeterminism(model: BaseDenoiser, batch: Batch, process: Process) -> Iterator[Finding]:
    """Find output that differs between two calls on the same input, or that depends on the other samples of the batch.

    Args:
        model: the model, in the mode it is in.
        batch: samples and their noise.
        process: gives alpha and sigma of the noisy states.
    """
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


def missing_inverse_sigma(model: BaseDenoiser, batch: Batch, process: Process) -> Iterator[Finding]:
    """Find a score network that lacks its factor 1/sigma at low noise levels, where the loss hardly shows it.

    The test uses the best multiple of the output, beta = E[eps_hat eps]/E[eps_hat^2]. For a right denoiser it is 1; for
    this fault it is 1/sigma. Errors of a network make beta less than 1. A wrong constant factor gives a beta that does
    not change with sigma.

    Args:
        model: the model; only a `Denoiser` that predicts the score is examined.
        batch: samples and their noise.
        process: gives alpha and sigma of the noisy states.
    """

    if not isinstance(model, Denoiser) or model.table != Score():
        return

    near = replace(batch, lams=batch.lams[-1] + EXTRA_LEVELS, eps=batch.eps[: len(EXTRA_LEVELS)])
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


def ignored_inputs(
    model: BaseDenoiser,
    batch: Batch,
    process: Process,
    ratio: float,
) -> Iterator[Finding]:
    """Find a model that ignores its condition, or that ignores the noise level and has a high loss.

    Args:
        model: the model.
        batch: samples, their noise and conditions.
        process: gives alpha and sigma of the noisy states.
        ratio: the model's loss over that of a Gaussian; the noise level is examined only if it is above 1.05.
    """
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


def far_samples(model: BaseDenoiser, batch: Batch, seed: int) -> Iterator[Finding]:
    """Find samples of the probability flow that lie far outside the data.

    Args:
        model: the model.
        batch: samples of its data, and their conditions.
        seed: of the samples drawn.
    """
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


def stale_average(
    model: BaseDenoiser,
    raw: BaseDenoiser | None,
    batch: Batch,
    process: Process,
) -> Iterator[Finding]:
    """Find averaged weights that lag far behind the raw weights: the raw ones have a much lower loss.

    Args:
        model: the model with averaged weights.
        raw: the same model with its raw weights; None: nothing is examined.
        batch: samples and their noise.
        process: gives alpha and sigma of the noisy states.
    """
    if raw is None:
        return

    with evaluating(raw):
        mean, last = (
            loss_ratios(m, batch, process, ClockHypothesis(), [as_declared(m)])[as_declared(m)] for m in (model, raw)
        )

    if last < BETTER * mean:
        evidence = f"its loss is {mean:.3g} times a Gaussian's, that of the weights it averages {last:.3g} times"
        yield Finding("stale average", evidence, "update the average after every step, lower its decay, or train on")

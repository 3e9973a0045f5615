"""The numbers of a method made better on some pairs, as judged by others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .pairs import Features, Pairs, distances
from .student import Student

STEPS = {"levels": 60, "table": 150, "scale": 200}
RATE = 0.02
LOOK_EVERY = 10
FLOOR = 1e-4  # distance, in units of the answers' standard deviation, below which nothing is gained


@dataclass(frozen=True)
class Criterion:
    """What is made small, of the distances d of samples to their answers in units of the data:

        share log sqrt(mean d^2) + (1 - share) mean log d.

    The first term is the root mean square error, which few samples rule that end at another datum. In the second such a
    sample counts by its logarithm.

    Args:
        unit: of distances.
        features: in which distances are taken; None: those of the samples.
        share: of the first term.
    """

    unit: float
    features: Features | None = None
    share: float = 0.5

    def __call__(self, made: Tensor, answers: Tensor) -> Tensor:
        squares = (distances(made, answers, self.features) / self.unit).square() + FLOOR**2
        return 0.5 * (self.share * squares.mean().log() + (1 - self.share) * squares.log().mean())


def descend(
    student: Student,
    stage: str,
    training: Pairs,
    validation: Pairs,
    criterion: Criterion,
    until: float = math.inf,
    soft: float = 0.0,
    batch: int = 256,
    looked: Callable[[], Any] = lambda: None,
) -> list[dict[str, Any]]:
    """One stage by Adam on all training pairs; the numbers that did best on the validation pairs stay.

    Args:
        student: whose numbers are learned.
        stage: of `STAGES`.
        training: pairs that are learned from.
        validation: pairs that choose among the steps.
        criterion: what is made small.
        until: of `time.monotonic`, at which it ends.
        soft: how far a start may move, in standard deviations of its noise; the answer stays.
        batch: pairs solved at once.
        looked: called at every look at the validation pairs.

    Returns:
        What was measured on the way: stage, step, training, validation, seconds.
    """
    begun = time.monotonic()
    groups = [{"params": numbers, "lr": RATE * factor} for numbers, factor in student.parameters(stage)]
    moved = torch.zeros_like(training.latents, requires_grad=soft > 0)
    if soft > 0:
        groups.append({"params": [moved], "lr": RATE})

    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    history: list[dict[str, Any]] = []
    best: tuple[float, list[Tensor]] = (math.inf, [])
    total = STEPS[stage]

    for step in range(total + 1):
        now = time.monotonic()
        ended = step == total or now >= until
        if step % LOOK_EVERY == 0 or ended:
            value = validated(student, validation, criterion, batch)
            if value < best[0]:
                best = value, [number.detach().clone() for number in student.numbers()]
            looked()
            history.append({"stage": stage, "step": step, "validation": value, "seconds": now - begun})
        if ended:
            break

        share = max(step / total, (now - begun) / (until - begun))
        for group in optimizer.param_groups:
            group.setdefault("full", group["lr"])
            group["lr"] = group["full"] * 0.5 * (1 + math.cos(math.pi * share))

        optimizer.zero_grad()
        loss = 0.0
        for part, shift in zip(training.parts(batch), moved.split(batch), strict=True):
            starts = Pairs(part.latents + shift, part.answers, part.cond) if soft > 0 else part
            some = criterion(student.answer(starts), part.answers) * (len(part) / len(training))
            some.backward()
            loss += some.item()

        history[-1].setdefault("training", loss)
        optimizer.step()
        if soft > 0:
            with torch.no_grad():
                size = moved.flatten(1).square().mean(1).sqrt().clamp(min=soft) / soft
                moved /= size.reshape(-1, *[1] * (moved.dim() - 1))

    with torch.no_grad():
        for number, kept in zip(student.numbers(), best[1], strict=True):
            number.copy_(kept)

    return history


def validated(
    student: Student,
    pairs: Pairs,
    criterion: Criterion,
    batch: int,
) -> float:
    """The criterion on pairs, infinite where a sample is not finite."""
    with torch.no_grad():
        made = torch.cat([student.answer(part) for part in pairs.parts(batch)])
    value = float(criterion(made, pairs.answers))
    return value if math.isfinite(value) else math.inf

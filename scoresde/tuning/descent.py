"""Optimisation of the numbers of a method on training pairs, with selection on validation pairs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .pairs import Features, Pairs, distances

STEPS = {"levels": 3, "table": 8, "scale": 8, "noise": 4}  # steps of each stage
ITERATIONS = 10  # L-BFGS iterations of a step, between two evaluations on the validation pairs
MEMORY = 30  # history size of L-BFGS
FLOOR = 1e-4  # distance in units of the answers' standard deviation; smaller ones do not lower the criterion


Loss = Callable[[Tensor, Tensor], Tensor]  # (samples, answers) -> criterion, 0-d


class Learner(Protocol):
    """Interface of a method whose numbers are learned."""

    def parameters(self, stage: str) -> list[Tensor]:
        """The numbers that a stage learns."""
        ...

    def numbers(self) -> list[Tensor]:
        """All numbers that can be learned."""
        ...

    def answer(self, pairs: Pairs) -> Tensor:
        """The samples that the method makes from the latents, differentiable in the numbers."""
        ...


@dataclass(frozen=True)
class Criterion:
    """The function that is minimised. With d the distance of a sample to its answer, in units of `unit`, it is

        share log sqrt(mean d^2) + (1 - share) mean log d.

    The first term is the logarithm of the root mean square error. It is dominated by the few samples that converge to
    the wrong data point. In the second term such a sample counts by its logarithm.

    Args:
        unit: unit of distances, such as the standard deviation of the answers.
        features: distances are taken between the features of samples; None: between the samples themselves.
        share: weight of the first term.
    """

    unit: float
    features: Features | None = None
    share: float = 0.5

    def __call__(self, made: Tensor, answers: Tensor) -> Tensor:
        squares = (distances(made, answers, self.features) / self.unit).square() + FLOOR**2
        return 0.5 * (self.share * squares.mean().log() + (1 - self.share) * squares.log().mean())


def descend(
    student: Learner,
    stage: str,
    training: Pairs,
    validation: Pairs,
    criterion: Loss,
    until: float = math.inf,
    soft: float = 0.0,
    batch: int = 256,
    on_look: Callable[[], Any] = lambda: None,
) -> list[dict[str, Any]]:
    """Learn one stage by L-BFGS on all training pairs, and keep the numbers that were best on the validation pairs.

    The criterion is a smooth function of ten to two hundred numbers, so quasi-Newton steps are suitable.

    Args:
        student: the method whose numbers are learned; they are changed in place.
        stage: name of the stage, a key of `STEPS`.
        training: pairs that are learned from.
        validation: pairs by which the best step is selected.
        criterion: the function that is minimised.
        until: time of `time.monotonic` at which learning ends.
        soft: how far the start of a pair may move, in standard deviations of its noise; its answer is not changed.
        batch: pairs solved at once.
        on_look: called at every evaluation on the validation pairs.

    Returns:
        One entry per evaluation: stage, step, validation, seconds; also training, if an L-BFGS step follows. It is the
        criterion on the training pairs before that step.
    """
    begun = time.monotonic()
    moved = torch.zeros(training.latents.shape, dtype=torch.float64, device="cpu", requires_grad=soft > 0)
    numbers = [*student.parameters(stage), *([moved] if soft > 0 else [])]
    optimizer = torch.optim.LBFGS(
        numbers,
        max_iter=ITERATIONS,
        history_size=MEMORY,
        line_search_fn="strong_wolfe",
    )
    history: list[dict[str, Any]] = []
    best = math.inf, _copied(student)

    def loss() -> Tensor:
        optimizer.zero_grad()
        if not _finite(numbers):
            raise ArithmeticError("the numbers of a stage became NaN or infinite")

        total = torch.zeros((), dtype=torch.float64, device="cpu")
        shifts = within(moved, soft).split(batch) if soft > 0 else [None] * len(training)

        for part, shift in zip(training.parts(batch), shifts, strict=False):
            starts = part
            if shift is not None:
                starts = Pairs(part.latents + shift.to(part.latents), part.answers, part.cond)

            some = criterion(student.answer(starts), part.answers) * (len(part) / len(training))
            some.backward(retain_graph=soft > 0)
            total += some.detach().cpu()

        return total

    for step in range(STEPS[stage] + 1):
        value = validated(student, validation, criterion, batch)
        if value < best[0]:
            best = value, _copied(student)

        on_look()
        history.append({"stage": stage, "step": step, "validation": value, "seconds": time.monotonic() - begun})
        if step == STEPS[stage] or time.monotonic() >= until or value == math.inf:
            break

        try:
            history[-1]["training"] = float(optimizer.step(loss))
        except ArithmeticError:
            break

    with torch.no_grad():
        for number, kept in zip(student.numbers(), best[1], strict=True):
            number.copy_(kept)

    return history


def within(moved: Tensor, radius: float) -> Tensor:
    """Limit the shifts of starts to a ball. A shift with a root mean square above 1 is scaled down to 1; then all are
    multiplied by the radius.

    Args:
        moved: shifts in units of the radius, (B, ...).
        radius: radius of the ball, as a root mean square over elements.
    """
    size = moved.flatten(1).square().mean(1).clamp(min=1.0).sqrt()
    return radius * moved / size.reshape(-1, *[1] * (moved.dim() - 1))


def validated(
    student: Learner,
    pairs: Pairs,
    criterion: Loss,
    batch: int,
) -> float:
    """The criterion on pairs. It is infinite if a number of the student or a sample is not finite.

    Args:
        student: the method to be judged.
        pairs: latents and their answers.
        criterion: function of samples and answers.
        batch: pairs solved at once.
    """
    if not _finite(student.numbers()):
        return math.inf

    with torch.no_grad():
        made = torch.cat([student.answer(part) for part in pairs.parts(batch)])
    value = float(criterion(made, pairs.answers))
    return value if math.isfinite(value) else math.inf


def _finite(numbers: list[Tensor]) -> bool:
    return all(bool(number.isfinite().all()) for number in numbers)


def _copied(student: Learner) -> list[Tensor]:
    return [number.detach().clone() for number in student.numbers()]

"""The tuner of stochastic methods: it learns the noise levels and the noise of each step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, SolveError, check
from solvers.noise import PRIOR

from ..data.batches import mixed
from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..evaluation.two_sample import FEWEST
from ..samplers import catalogue
from ..samplers.method import Method
from ..samplers.ranges import method_levels
from ..samplers.recommend import recommended
from ..samplers.sampling import sample, state_place
from .artefact import fingerprint
from .candidates import noisy
from .descent import descend, validated
from .learning import as_it_samples, check_tuner
from .noise_student import NOISE, Law, NoiseStudent
from .pairs import Features, Pairs, in_turn
from .student import bounded
from .tuned import TunedNoise

ETAS = (0.1, 0.3, 0.6, 1.0, 1.5)  # possible start values of eta, the same for every step; at 0 its gradient is 0
ORDERS = (1, 2)  # possible orders of the method
SHOWN = 5  # untuned methods that are measured beside the tuned one
_RTOL = 1e-3  # tolerance of the flow that makes the target samples: its error is far below the sampling error
_OWN = range(4, 5)  # draw index of the training noise, not used elsewhere
_UNTUNED = 5  # variants of the seed: samples of untuned methods, test samples, target samples, validation samples
_TESTED = 6
_RIGHT = 7
_CHOSEN = 8


@dataclass(frozen=True, eq=False)
class _Parts:
    """Training and validation pairs, with noise for each step; test samples of the target; the condition of all."""

    training: Pairs
    validation: Pairs
    right: Tensor
    cond: Any


def tune_noise(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    calls: int,
    *,
    target: Tensor | None = None,
    seconds: float | None = None,
    cond: Any = None,
    seed: int = 0,
    count: int = 256,
    tested: int = 1024,
    features: Features | None = None,
    batch: int = 256,
    on_look: Callable[[], Any] = lambda: None,
) -> TunedNoise:
    """Learn the levels and the noise of a stochastic sampler for a budget of network calls.

    The sampler is a stochastic Adams method of order 1 (`ddim` at eta 0, `ddpm` at eta 1) or 2. If calls are few, the
    distribution of its samples depends strongly on eta and on the noise levels. The tuner minimises the energy distance
    between its samples and target samples. Single samples are not compared, because a stochastic sampler has no right
    answer for a given latent.

    Args:
        denoiser: the model; its weights are not changed.
        shape: shape of one sample.
        calls: network calls per sample, 2 or more.
        target: target samples in random order, (N, ...), such as data that the model was not trained on; N at least 2
            count + 25. None: samples of the converged probability flow.
        seconds: time after which learning ends with the best result so far; None: no limit.
        cond: condition of the samples: numbers, which hold for all, and tensors, whose entries are taken in turn.
        seed: of all noise; training, validation and test samples are different ones.
        count: number of training samples, and of validation samples, by which the best step is selected.
        tested: number of test samples, which are used for the reported distances only.
        features: all distances are taken between features of samples: (B, ...) -> (B, ...), differentiable. None:
            between the samples themselves.
        batch: samples made at once.
        on_look: called at every evaluation on the validation samples.

    Returns:
        The method, which is an untuned one if no learned one was better on the validation samples; its energy distance,
        those of the best untuned stochastic methods and of the deterministic `recommended`; the history of learning.

    Raises:
        TypeError, ValueError: naming the argument.

    Reference: Song, Meng & Ermon 2020, arXiv:2010.02502 (eta); Szekely & Rizzo 2013 (energy distance).
    """

    check_tuner(denoiser, shape, calls, seconds, seed, features, batch, on_look)
    check.integer("count", count, least=FEWEST)
    check.integer("tested", tested, least=FEWEST)

    begun = time.monotonic()
    until = math.inf if seconds is None else begun + seconds

    with as_it_samples(denoiser):
        parts = _parts(denoiser, shape, calls, target, cond, mixed(seed, calls), count, tested, batch)
        law = Law.of(parts.training.answers, features)
        name, student = _start(denoiser, calls, parts.training, law, batch)
        history = descend(student, NOISE, parts.training, parts.validation, law, until, batch=batch, on_look=on_look)

        def made(method: Method, count: int, use: int) -> Tensor:
            rows = conditions.rows(parts.cond, slice(0, count))
            return sample(denoiser, (count, *shape), method, mixed(seed, use), cond=rows, batch=batch)

        def value(method: Method, pairs: Pairs, use: int) -> float:
            try:
                return float(law(made(method, len(pairs), use), pairs.answers))
            except (SolveError, ValueError):  # a failed solve, no learned variances, or levels outside the range
                return math.inf

        lines = noisy(calls)
        ranked = sorted(lines, key=lambda each: value(lines[each], parts.training, _UNTUNED))
        values = {name: value(lines[name], parts.validation, _CHOSEN) for name in ranked[:SHOWN]}
        rivals = {name: lines[name] for name, found in values.items() if found < math.inf}
        better = min(values, key=lambda each: values[each])
        learned = values[better] >= min(entry["validation"] for entry in history)
        method = student.method() if learned else rivals[better]

        compared = {"tuned": method, **rivals, "recommended": recommended(denoiser, calls)}
        judged = {
            label: law.estimate(made(each, len(parts.right), _TESTED), parts.right) for label, each in compared.items()
        }

    about = {
        "calls": calls,
        "started_from": name if learned else better,
        "stages": [NOISE] if learned else [],
        "etas": check.values(student.etas.detach().abs()) if learned else [],
        "factors": check.values(bounded(student.factors.detach()).exp()) if learned else [],
        "target": "converged flow" if target is None else "given samples",
        "shape": list(shape),
        "dtype": str(parts.right.dtype),
        "seed": seed,
        "count": count,
        "tested": len(parts.right),
        "model": fingerprint(denoiser),
        "seconds": time.monotonic() - begun,
    }

    return TunedNoise(method, judged.pop("tuned"), judged, history, about)


def _parts(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    calls: int,
    target: Tensor | None,
    cond: Any,
    seed: int,
    count: int,
    tested: int,
    batch: int,
) -> _Parts:
    """The target samples, divided in three, and the noise of the training and validation samples."""
    place, dtype = state_place(denoiser, None, None)
    whole = check.shape("shape", (2 * count, calls, *shape))
    total = 2 * count + tested
    each = in_turn(cond, total, place)

    if target is None:
        right = sample(
            denoiser, (total, *shape), catalogue.probability_flow(_RTOL), mixed(seed, _RIGHT), cond=each, batch=batch
        )
    else:
        right = _checked(target, shape, 2 * count + FEWEST)[:total].to(place, dtype)

    noise = SeededNoise(seed).normal(PRIOR, _OWN, whole, dtype, place)[0]
    both = Pairs(noise, right[: 2 * count], conditions.rows(each, slice(0, 2 * count)))
    return _Parts(both.rows(0, count), both.rows(count, 2 * count), right[2 * count :], each)


def _checked(target: Any, shape: Sequence[int], least: int) -> Tensor:
    """Check the given target samples. Raises TypeError or ValueError naming `target`."""
    if not isinstance(target, Tensor):
        raise TypeError(f"`target` must be a tensor of samples, got {type(target).__name__}")
    if target.shape[1:] != torch.Size(shape) or len(target) < least:
        raise ValueError(
            f"`target` must hold {least} samples or more of shape {tuple(shape)}, got shape {tuple(target.shape)}"
        )
    if bool((target == target[0]).all()):
        raise ValueError("`target` must hold samples that differ, got one sample again and again")
    if not bool(target.isfinite().all()):
        raise ValueError("`target` must be finite, got NaN or infinite numbers")
    return target.detach()


def _start(
    denoiser: BaseDenoiser,
    calls: int,
    training: Pairs,
    law: Law,
    batch: int,
) -> tuple[str, NoiseStudent]:
    """The start of learning: the order, the grid and the constant eta that do best on the training samples."""
    students = {
        f"order {order}, eta {eta:g}@{kind}": NoiseStudent(
            denoiser, method_levels(denoiser, catalogue.ddpm(calls, grid)), eta, order
        )
        for kind, grid in catalogue.GRIDS.items()
        for order in ORDERS
        for eta in ETAS
    }
    name = min(students, key=lambda each: validated(students[each], training, law, batch))
    return name, students[name]

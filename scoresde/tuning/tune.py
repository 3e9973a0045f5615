"""The tuner of deterministic samplers, for a given model and number of network calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from solvers import check

from ..data.batches import mixed
from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.moments import Moments
from .artefact import fingerprint
from .candidates import untuned
from .descent import STEPS, descend
from .learning import as_it_samples, check_tuner
from .noise_student import NOISE
from .pairs import Features, converged, drawn
from .setting import Setting
from .student import STAGES, Student
from .tuned import Tuned

STARTS = 3  # untuned methods on which the first stage is tried


def tune(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    calls: int,
    *,
    seconds: float | None = None,
    cond: Any = None,
    seed: int = 0,
    stages: Collection[str] = STAGES,
    pairs: int = 64,
    held_out: int = 32,
    tested: int = 128,
    features: Features | None = None,
    soft: float = 0.0,
    frames: bool = True,
    denoise: bool = True,
    batch: int = 256,
    on_look: Callable[[], Any] = lambda: None,
) -> Tuned:
    """Learn a deterministic sampler of a model for a budget of network calls.

    The right answer for each latent is the sample of the probability flow, solved by adaptive steps. The tuner starts
    from the best untuned methods. Their noise levels are learned first. For the best of them the coefficients of the
    most general linear method are learned next, then the noise levels that the model receives. The result of a stage is
    kept only if it is better on latents that were not used for learning.

    Args:
        denoiser: the model; its weights are not changed. If it is a guided denoiser, the sampler is tuned for that.
        shape: shape of one sample.
        calls: network calls per sample, 2 or more.
        seconds: time after which learning ends with the best result so far; None: no limit.
        cond: condition of the samples: numbers, which hold for all, and tensors, whose entries are taken in turn.
        seed: of all latents; training, validation and test latents are different ones.
        stages: the stages that are learned, some of `STAGES`; none: the result is the best untuned method that is a
            table, unchanged or with its last denoise replaced by a step.
        pairs: number of training latents.
        held_out: number of validation latents, by which the best step of a stage is selected.
        tested: number of test latents, which are used for the reported errors only.
        features: distances are taken between features of samples: (B, ...) -> (B, ...), differentiable. None: between
            the samples themselves.
        soft: how far the start of a training pair may move, in standard deviations of its noise; 0: not at all.
        frames: False leaves out methods with a frame, which the schedulers of diffusers cannot run.
        denoise: True: the answer is denoised at the end, as in `sample`. False: it is the state at the last level, as
            in `transport`.
        batch: latents solved at once.
        on_look: called at every evaluation on the validation latents. Without a time limit, and if no stage ends early,
            there are `looks(stages)` calls.

    Returns:
        The method, its errors, the errors of the best untuned methods, and the history of learning.

    Raises:
        TypeError, ValueError: naming the argument.

    Reference: Tong et al. 2024, arXiv:2405.15506 (LD3); Shaul et al. 2024, arXiv:2403.01329 (BNS).
    """

    check_tuner(denoiser, shape, calls, seconds, seed, features, batch, on_look)
    check.number("soft", soft, least=0.0)
    counts = {
        name: check.integer(name, n, least=2)
        for name, n in (("pairs", pairs), ("held_out", held_out), ("tested", tested))
    }
    for stage in stages:
        check.choice("stages", stage, STAGES)

    begun = time.monotonic()
    until = math.inf if seconds is None else begun + seconds

    with as_it_samples(denoiser):
        every = drawn(denoiser, shape, sum(counts.values()), cond, mixed(seed, calls), denoise, batch)
        training = every.rows(0, pairs)
        validation = every.rows(pairs, pairs + held_out)
        setting = Setting(denoiser, training, validation, every.rows(pairs + held_out, len(every)), features, batch)
        moments = Moments.of(training.answers) if denoiser.moments is None else denoiser.moments
        methods = untuned(denoiser, calls, moments, frames, denoise)
        wanted = [stage for stage in STAGES if stage in stages]
        starts = setting.starts(methods, STARTS if wanted else 1)
        trials: list[tuple[float, str, Student, list[dict[str, Any]]]] = []

        for left, (name, start) in zip(range(len(starts), 0, -1), starts.items(), strict=True):
            student = Student(denoiser, start, training.latents, moments.scale)
            history = _learned(student, wanted[:1], setting, _share(until, left + len(wanted) - 1), soft, on_look)
            trials.append((min((entry["validation"] for entry in history), default=0.0), name, student, history))

        _, name, student, history = min(trials, key=lambda trial: trial[0])
        history += _learned(student, wanted[1:], setting, until, soft, on_look)
        method = student.method()
        error, baselines, found = setting.report(method, methods)
        doubt = converged(denoiser, setting.test.latents, setting.test.cond, denoise, coarse=True)

    about = {
        "calls": calls,
        "started_from": name,
        "stages": wanted,
        "denoise": denoise,
        "shape": list(shape),
        "dtype": str(every.latents.dtype),
        "seed": seed,
        **counts,
        "soft": soft,
        **found,
        "reference_error": setting.errors(doubt, setting.test).rms,
        "model": fingerprint(denoiser),
        "seconds": time.monotonic() - begun,
    }

    return Tuned(method, error, baselines, history, about)


def looks(stages: Collection[str]) -> int:
    """The number of evaluations on the validation latents in these stages. The first stage is tried from `STARTS`
    untuned methods."""
    if NOISE in stages:
        return STEPS[NOISE] + 1
    ordered = [stage for stage in STAGES if stage in stages]
    return sum(STEPS[stage] + 1 for stage in ordered[:1] * STARTS + ordered[1:])


def _share(until: float, parts: int) -> float:
    """The time at which the first of `parts` equal parts of the time left ends."""
    now = time.monotonic()
    return now + max(0.0, until - now) / max(1, parts)


def _learned(
    student: Student,
    stages: list[str],
    setting: Setting,
    until: float,
    soft: float,
    on_look: Callable[[], Any],
) -> list[dict[str, Any]]:
    """Learn the stages one after the other, each with its share of the time left; returns the history."""
    history: list[dict[str, Any]] = []

    for left, stage in zip(range(len(stages), 0, -1), stages, strict=True):
        history += descend(
            student,
            stage,
            setting.training,
            setting.validation,
            setting.criterion,
            _share(until, left),
            soft,
            setting.batch,
            on_look,
        )

    return history

"""Train a model from a configuration into a run folder, or take a run up where its last checkpoint left it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch

from ..data.samples import Samples
from ..denoisers.denoiser import Denoiser
from ..denoisers.noisy_classifier import Trainable
from ..runtime import distributed
from ..runtime.signals import Stopped, graceful_stop
from ..storage import checkpoints, ownership
from ..storage.files import CheckpointError, versions
from ..storage.weights import architecture_mismatch
from ..training.fit import check_batch, fit
from ..training.objective import Progress
from ..training.state import TrainState, begin
from ..training.validation import held_out_loss
from . import own_code, posthoc_ema
from .config import Config
from .description import MOMENTS, data_identity, description, moments
from .gallery import Gallery
from .journal import Journal
from .load import CHANGEABLE_ON_RESUME, Trained, identity, run_config
from .run_folder import check_description, read_about, save_run

_TAIL = 100


def train(
    config: Config,
    data: Samples,
    folder: Path,
    command: str,
    device: Any = "cpu",
    report: Callable[[Progress], None] | None = None,
    *,
    held_out: Samples | None = None,
    resume: bool = False,
    held: bool = False,
) -> Trained:
    """Train on `data` into `folder`: checkpoints on the way, the model at the end.

    Without `resume`, or where there is no checkpoint, what an earlier run left in `folder` is removed.

    Args:
        config: what to train and how.
        data: the training samples.
        folder: of the run; made if missing.
        command: the command line, kept in run.json.
        device: cpu or cuda.
        report: called with each step's `Progress`.
        held_out: scores the checkpoints, by the loss of the averaged weights.
        resume: take up the latest checkpoint, and arrive at the same bits as without the break.
        held: whether the caller holds `folder` by `ownership.writing`.

    Raises:
        Stopped: after SIGINT or SIGTERM, with a checkpoint saved.
        BusyError: where another process writes there.
        ValueError: where files there are no run's.
        CheckpointError: where the run in `folder` is another one.
    """

    with nullcontext() if held or distributed.rank() else ownership.writing(folder, command):
        return _train(
            config,
            data,
            folder,
            command,
            device,
            report,
            held_out,
            resume,
        )


def _train(
    config: Config,
    data: Samples,
    folder: Path,
    command: str,
    device: Any,
    report: Any,
    held_out: Any,
    resume: bool,
) -> Trained:
    _check_not_imported(folder)
    check_batch(data, config.training)
    denoiser = config.model(data.shape, data.classes)
    state = begin(denoiser.network, config.training, device)
    averaged = denoiser.around(state.average.module)
    story = RunDescription(config, data, command)

    if resume:
        story.resume(folder, state)
    elif distributed.rank() == 0:
        ownership.clear(folder)

    writer = (
        RunWriter(
            folder,
            config,
            data,
            held_out,
            averaged,
            state.step,
        )
        if distributed.rank() == 0
        else None
    )
    if writer is not None and story.moments is not None:
        story.moments.save(folder / MOMENTS)

    with graceful_stop() as request:
        for progress in fit(denoiser, data, config.training, state, config.objective):
            story.add(progress)

            if report is not None:
                report(progress)

            code = int(distributed.gather(torch.tensor([request.code], device="cpu")).max())

            if writer is not None:
                writer.after(progress, story, state, code != 0)

            if code:
                where = f"step {progress.step} of {config.training.steps}"
                raise Stopped(f"stopped at {where}; saved in {folder / 'checkpoints'}, taken up by --resume", code)

        about = story.about()

        if writer is not None:
            save_run(folder, denoiser.network, averaged.network, about)

        distributed.barrier()

    averaged.moments = story.moments

    # A classifier, where one was asked for, comes back in the same place.
    return Trained(cast(Denoiser, averaged.eval()), config, data.shape, about)


class RunDescription:
    """What is told of a run: its description, its last losses, its seconds over all sessions."""

    def __init__(self, config: Config, data: Samples, command: str):
        self.config = config
        self.command = command
        self.moments = moments(data)
        self.source = own_code.source(config.network.kind, config.network.options)
        self.data = description(data, self.moments)
        self.done = 0
        self.before = 0.0
        self.start = time.perf_counter()
        self.tail: list[float] = []

    def add(self, progress: Progress) -> None:
        self.done = progress.step
        if not progress.skipped:
            self.tail = [*self.tail[1 - _TAIL :], progress.loss]

    def about(self) -> dict[str, Any]:
        """JSON: the `about` of a run."""
        seconds = round(self.before + time.perf_counter() - self.start, 1)
        training = {
            "steps_done": self.done,
            "seconds": seconds,
            "loss": sum(self.tail) / len(self.tail) if self.tail else None,
        }

        told = {"command": self.command, "config": self.config.as_dict(), "data": self.data, "training": training}
        return told | self.source

    def resume(self, folder: Path, state: TrainState) -> None:
        """Continue from the latest checkpoint of the same configuration and data."""
        found = checkpoints.latest(folder / "checkpoints")
        if found is None:
            if finished := [name for name in ("run.json", "model.safetensors") if (folder / name).exists()]:
                raise CheckpointError(
                    f"{folder} holds {finished[0]} but no checkpoints to resume from; train into another --out,"
                    " or --overwrite it"
                )
            return

        check_description(found.path, found.about)
        network = self.config.network
        own_code.warn_if_changed(network.kind, network.options, found.about, found.path)
        before = run_config(found.about, found.path).as_dict()

        for name, now, then in (
            ("", self.config.as_dict(), before),
            ("data.", data_identity(self.data), data_identity(found.about["data"])),
        ):
            for key, (a, b) in _differences(now, then):
                if not f"{name}{key}".startswith(CHANGEABLE_ON_RESUME):
                    raise CheckpointError(
                        f"{found.path} was trained with {name}{key} = {b!r}, now {a!r}; give it back its value,"
                        " or train into another --out"
                    )

        try:
            state.load(found.tensors)
        except (RuntimeError, KeyError) as error:
            raise architecture_mismatch(found.path, error) from error

        then = run_config(found.about, found.path).training
        if then.steps != self.config.training.steps:
            state.since = state.step, then.decay(state.step, state.since)

        self.done = state.step
        self.tail = found.about["tail"]
        self.before = found.about["training"]["seconds"]


def _differences(a: Any, b: Any, name: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """(dotted key, (value in a, value in b)) where two nested mappings differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            yield from _differences(a.get(key), b.get(key), f"{name}.{key}".lstrip("."))
    elif a != b:
        yield name, (a, b)


class RunWriter:
    """Everything the first process writes while a run goes on."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        data: Samples,
        held_out: Samples | None,
        averaged: Trainable,
        start: int,
    ):
        self.folder = folder
        self.config = config
        self.held_out = held_out
        self.averaged = averaged
        posthoc_ema.drop_after(folder, start)
        self.journal = Journal(folder, config.record, config.process, start)
        self.gallery = Gallery(folder, data, held_out, config.training.seed) if config.record.sample else None

    def after(
        self,
        progress: Progress,
        story: RunDescription,
        state: TrainState,
        stopping: bool,
    ) -> None:
        """What is due after a step."""
        step = progress.step
        every = self.config.record
        training = self.config.training
        self.journal.note(progress)

        if self.gallery is not None and step % every.sample == 0:
            self.journal.write(step, self.gallery.draw(cast(Denoiser, self.averaged), step))

        if training.posthoc and (step % training.posthoc == 0 or step == training.steps):
            posthoc_ema.store_average(self.folder, step, state.tracks, identity(story.about(), self.folder))

        if step % every.save == 0 or step == training.steps or stopping:
            score = (
                None
                if self.held_out is None
                else held_out_loss(self.averaged, self.held_out, self.config.objective, training)
            )
            about = {
                "step": step,
                "score": score,
                "seed": training.seed,
                "tail": story.tail,
                "versions": versions(),
                **story.about(),
            }
            checkpoints.save(self.folder / "checkpoints", state.tensors(), about)


def _check_not_imported(folder: Path) -> None:
    """Raise CheckpointError where training would overwrite weights that came from elsewhere."""
    if not (folder / "run.json").is_file():
        return

    about = read_about(folder)
    if "imported" in about or about["data"]["count"] == 0:
        raise CheckpointError(
            f"{folder} holds imported weights, {about['data']['name']}, which training would overwrite; train"
            " into another --out"
        )

"""Train a model from a configuration, save it with everything needed to repeat it, take it up again, load it back.

    model.safetensors, run.json    the finished model, by `checkpoint`
    moments.safetensors            mean and standard deviations of the data, which the recommended sampler uses
    averages/                      stored for widths chosen afterwards, by `averaging`
    checkpoints/                   the last two and the best, by `snapshots`: from any of them a run is taken up to the same bits
    log.jsonl, samples/            by `record`
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import averaging, launch, ownership, snapshots
from .checkpoint import CheckpointError, Run, another, described, load_run, read_about, restore, save_run, versions
from .config import Config, ConfigError, parse
from .dataset import Samples, original
from .denoiser import Denoiser
from .moments import SAMPLES, Moments
from .record import Gallery, Journal, held_out_loss
from .state import State, begin
from .stopping import Stopped, listening
from .training import Progress, check_batch, fit

FREE = ("record.", "training.steps")  # what may change when a run is taken up
MOMENTS = "moments.safetensors"
NO_DATA = {"count": 0, "centre": 0.0, "half_range": 1.0, "classes": None, "fingerprint": "", "moments": None}  # of a run that knows none
_TAIL = 100


@dataclass(frozen=True)
class Trained:
    """A model and where it came from. `denoiser` has the averaged weights; `shape` is one sample's."""

    denoiser: Denoiser
    config: Config
    shape: tuple[int, ...]
    about: dict[str, Any]

    @property
    def knows_data(self) -> bool:
        """Whether it says what it was trained on: imported weights may not."""
        return self.about["data"]["count"] > 0

    def original(self, x: Tensor) -> Tensor:
        """Samples in the data's own scale."""
        return original(x, self.about["data"]["centre"], self.about["data"]["half_range"])


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

    held_out  scores the checkpoints, by the loss of the averaged weights;  resume  take up the latest checkpoint, if there is one, and
    arrive at the same bits as without the break; otherwise what an earlier run left in `folder` is removed; held  the caller holds `folder`
    by `ownership.writing`. Raises Stopped after SIGINT or SIGTERM, with a checkpoint saved; BusyError where another process writes there,
    ValueError where files there are no run's, CheckpointError where the run in `folder` is another one; and as `fit`."""
    with nullcontext() if held or launch.rank() else ownership.writing(folder, command):
        return _train(config, data, folder, command, device, report, held_out, resume)


def _train(config: Config, data: Samples, folder: Path, command: str, device: Any, report: Any, held_out: Any, resume: bool) -> Trained:
    _check_not_imported(folder)
    check_batch(data, config.training)
    denoiser = config.denoiser(data.shape, data.classes)
    state = begin(denoiser.network, config.training, device)
    averaged = Denoiser(state.average.module, denoiser.process, denoiser.table, time=denoiser.time)
    story = _Story(config, data, command)
    if resume:
        story.take_up(folder, state)
    elif launch.rank() == 0:
        ownership.clear(folder)
    writer = _Writer(folder, config, data, held_out, averaged, state.step) if launch.rank() == 0 else None
    if writer is not None and story.moments is not None:
        story.moments.save(folder / MOMENTS)
    with listening() as request:
        for progress in fit(denoiser, data, config.training, state, config.objective):
            story.add(progress)
            if report is not None:
                report(progress)
            code = int(launch.gather(torch.tensor([request.code], device="cpu")).max())
            if writer is not None:
                writer.after(progress, story, state, code != 0)
            if code:
                where = f"step {progress.step} of {config.training.steps}"
                raise Stopped(f"stopped at {where}; saved in {folder / 'checkpoints'}, taken up by --resume", code)
        about = story.about()
        if writer is not None:
            save_run(folder, denoiser.network, averaged.network, about)
        launch.wait()
    averaged.moments = story.moments
    return Trained(averaged.eval(), config, data.shape, about)


class _Story:
    """What is told of a run: its description, its last losses, its seconds over all sessions."""

    def __init__(self, config: Config, data: Samples, command: str):
        self.config, self.command = config, command
        self.moments = moments(data)
        self.data = description(data, self.moments)
        self.done, self.before, self.start = 0, 0.0, time.perf_counter()
        self.tail: list[float] = []

    def add(self, progress: Progress) -> None:
        self.done = progress.step
        if not progress.skipped:
            self.tail = [*self.tail[1 - _TAIL :], progress.loss]

    def about(self) -> dict[str, Any]:
        """JSON: the `about` of a run."""
        seconds = round(self.before + time.perf_counter() - self.start, 1)
        training = {"steps_done": self.done, "seconds": seconds, "loss": sum(self.tail) / len(self.tail) if self.tail else None}
        return {"command": self.command, "config": self.config.as_dict(), "data": self.data, "training": training}

    def take_up(self, folder: Path, state: State) -> None:
        """Continue from the latest checkpoint of the same configuration and data."""
        found = snapshots.latest(folder / "checkpoints")
        if found is None:
            if finished := [name for name in ("run.json", "model.safetensors") if (folder / name).exists()]:
                raise CheckpointError(f"{folder} holds {finished[0]} but no checkpoints to resume from; train into another --out, or --overwrite it")
            return
        described(found.path, found.about)
        before = _config(found.about, found.path).as_dict()
        for name, now, then in (("", self.config.as_dict(), before), ("data.", _identity(self.data), _identity(found.about["data"]))):
            for key, (a, b) in _differences(now, then):
                if not f"{name}{key}".startswith(FREE):
                    raise CheckpointError(f"{found.path} was trained with {name}{key} = {b!r}, now {a!r}; give it back its value, or train into another --out")
        try:
            state.load(found.tensors)
        except (RuntimeError, KeyError) as error:
            raise another(found.path, error) from error
        then = _config(found.about, found.path).training
        if then.steps != self.config.training.steps:
            state.since = state.step, then.decay(state.step, state.since)
        self.done, self.tail, self.before = state.step, found.about["tail"], found.about["training"]["seconds"]


def _config(about: Mapping[str, Any], path: Path) -> Config:
    """What a run was made from; keys that are younger than the run have their defaults, which change nothing."""
    try:
        return parse(about["config"])
    except ConfigError as error:
        raise CheckpointError(f"{path} holds no configuration of this version: {error}") from error


def identity(about: Mapping[str, Any], path: Path) -> str:
    """A digest of what makes a run the run it is: its configuration, but for keys that may change when it is taken up, and its data."""
    table = _config(about, path).as_dict()
    fixed = {f"{section}.{key}": value for section, keys in table.items() for key, value in keys.items()}
    kept = {key: value for key, value in sorted(fixed.items()) if not key.startswith(FREE)}
    return hashlib.sha256(json.dumps([kept, _identity(about["data"])]).encode()).hexdigest()[:16]


def _identity(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: data.get(key) for key in ("count", "shape", "fingerprint")}


def _differences(a: Any, b: Any, name: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """(dotted key, (value in a, value in b)) where two nested mappings differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            yield from _differences(a.get(key), b.get(key), f"{name}.{key}".lstrip("."))
    elif a != b:
        yield name, (a, b)


class _Writer:
    """Everything the first process writes while a run goes on."""

    def __init__(self, folder: Path, config: Config, data: Samples, held_out: Samples | None, averaged: Denoiser, start: int):
        self.folder, self.config, self.held_out, self.averaged = folder, config, held_out, averaged
        averaging.forget(folder, start)
        self.journal = Journal(folder, config.record, config.process, start)
        self.gallery = Gallery(folder, data, held_out, config.training.seed) if config.record.sample else None

    def after(self, progress: Progress, story: _Story, state: State, stopping: bool) -> None:
        """What is due after a step."""
        step, every, training = progress.step, self.config.record, self.config.training
        self.journal.note(progress)
        if self.gallery is not None and step % every.sample == 0:
            self.journal.write(step, self.gallery.draw(self.averaged, step))
        if training.posthoc and (step % training.posthoc == 0 or step == training.steps):
            averaging.store(self.folder, step, state.tracks, identity(story.about(), self.folder))
        if step % every.save == 0 or step == training.steps or stopping:
            score = None if self.held_out is None else held_out_loss(self.averaged, self.held_out, self.config.objective, training)
            about = {"step": step, "score": score, "seed": training.seed, "tail": story.tail, "versions": versions(), **story.about()}
            snapshots.save(self.folder / "checkpoints", state.tensors(), about)


def _check_not_imported(folder: Path) -> None:
    """Raise CheckpointError where training would overwrite weights that came from elsewhere."""
    if not (folder / "run.json").is_file():
        return
    about = read_about(folder)
    if "imported" in about or about["data"]["count"] == 0:
        raise CheckpointError(f"{folder} holds imported weights, {about['data']['name']}, which training would overwrite; train into another --out")


def description(data: Samples, moments: Moments | None) -> dict[str, Any]:
    """What run.json says of the data."""
    return {
        "name": data.name,
        "count": len(data),
        "shape": list(data.shape),
        "centre": data.centre,
        "half_range": data.half_range,
        "classes": data.classes,
        "class_names": data.class_names,
        "columns": data.columns,
        "fingerprint": fingerprint(data),
        "moments": None if moments is None else moments.digest,
    }


def fingerprint(data: Samples) -> str:
    """Of up to 1000 samples, evenly spread: enough to tell one data set from another."""
    index = torch.linspace(0, len(data) - 1, min(1000, len(data)), dtype=torch.float64, device="cpu").long()
    return hashlib.sha256(data.at(index).contiguous().numpy().tobytes()).hexdigest()[:16]


def moments(data: Samples) -> Moments | None:
    """Of up to 4096 samples, evenly spread; None where they do not differ."""
    x = data.at(torch.linspace(0, len(data) - 1, min(SAMPLES, len(data)), dtype=torch.float64, device="cpu").long())
    return Moments.of(x) if len(x) > 1 and bool((x != x[:1]).any()) else None


def _moments(folder: Path, about: Mapping[str, Any]) -> Moments | None:
    """What a run knows of its data: None for one that is older than this file, with a warning where the file is not the run's."""
    digest = about["data"].get("moments")
    if digest is None:
        return None
    try:
        found = Moments.load(folder / MOMENTS)
        if found.digest == digest:
            return found
        said = f"{folder / MOMENTS} is of another run"
    except (OSError, ValueError) as error:
        said = str(error)
    warnings.warn(f"{said}; the recommended sampler does without", stacklevel=3)
    return None


def load(folder: Path | str, device: Any = "cpu", best: bool = False, width: float | None = None, *, part: str = "ema") -> Trained:
    """The model of a run folder, with its averaged weights: the finished one, else the latest checkpoint; or the best checkpoint.

    width  of an average made afterwards instead (`averaging.posthoc`), up to the last step stored
    part   "network" gives the weights that were averaged

    A damaged file is passed over with a warning that names it. Raises CheckpointError."""
    folder = Path(folder)
    run, path = _found(folder, best)
    config, shape, classes = _config(run.about, path), tuple(run.about["data"]["shape"]), run.about["data"].get("classes")
    weights = run.part(part) | ({} if width is None else averaging.posthoc(folder, width, identity(run.about, path)))
    _fitting(config, shape, classes, weights, path)
    denoiser = config.denoiser(shape, classes)
    restore(denoiser.network, weights, path)
    denoiser.moments = _moments(folder, run.about)
    return Trained(denoiser.to(device).eval(), config, shape, run.about)


def _fitting(config: Config, shape: tuple[int, ...], classes: int | None, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise CheckpointError where the weights are not of the network described, before memory is taken for it."""
    try:
        wanted = {name: w.shape for name, w in config.denoiser(shape, classes, "meta").network.state_dict().items()}
    except (RuntimeError, TypeError, ValueError) as error:
        raise another(path, error) from error
    found = {name: w.shape for name, w in weights.items()}
    wrong = {
        "Missing key": [name for name in wanted if name not in found],
        "Unexpected key": [name for name in found if name not in wanted],
        "Wrong shape": [f"{n} {tuple(found[n])}, not {tuple(wanted[n])}" for n in found if n in wanted and found[n] != wanted[n]],
    }
    said = "; ".join(f"{what}: {which[0]} and {len(which) - 1} more" for what, which in wrong.items() if which)
    if said:
        raise another(path, said)


def _found(folder: Path, best: bool) -> tuple[Run, Path]:
    kept = folder / "checkpoints"
    if best:
        found = snapshots.best(kept)
        if found is None:
            raise CheckpointError(f"{kept} holds no checkpoint with a score")
        if (folder / "run.json").is_file() and identity(read_about(folder), folder) != identity(found.about, found.path):
            raise CheckpointError(f"{found.path} is of another run than {folder / 'run.json'}")
        return _run(found)
    try:
        return load_run(folder), folder / "model.safetensors"
    except CheckpointError as error:
        found = snapshots.latest(kept)
        if found is None:
            raise
        if (folder / "run.json").exists():
            warnings.warn(f"{error}; using {found.path}", stacklevel=3)
        return _run(found)


def _run(found: snapshots.Snapshot) -> tuple[Run, Path]:
    described(found.path, found.about)
    return Run(found.about, found.tensors), found.path

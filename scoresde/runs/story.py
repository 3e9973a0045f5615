"""The description of a run in training, which its files store and from which it is resumed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..data.samples import Samples
from ..storage import checkpoints
from ..storage.files import CheckpointError
from ..storage.weights import architecture_mismatch
from ..training.objective import Progress
from ..training.state import TrainState
from . import own_code
from .config import Config
from .description import data_identity, description, moments
from .run_folder import check_description
from .stored import CHANGEABLE_ON_RESUME, run_config

_TAIL = 100  # number of last losses that are kept
_STOOD_ON = {
    "data.latent": "weights of latent.autoencoder",
    "data.cascade": "weights of cascade.low",
}  # names for messages, by key of the data description


class RunDescription:
    """The description of a run: configuration, data, command, last losses, and the seconds of all its sessions."""

    def __init__(self, config: Config, data: Samples, command: str):
        self.config = config
        self.command = command
        self.moments = moments(data)
        self.data = description(data, self.moments)
        self.source = own_code.source(config.network.kind, config.network.options)
        self.done = 0
        self.before = 0.0
        self.start = time.perf_counter()
        self.tail: list[float] = []

    def add(self, progress: Progress) -> None:
        self.done = progress.step
        if not progress.skipped:
            self.tail = [*self.tail[1 - _TAIL :], progress.loss]

    def about(self) -> dict[str, Any]:
        """The description as JSON values, for run.json and checkpoints."""
        seconds = round(self.before + time.perf_counter() - self.start, 1)
        training = {
            "steps_done": self.done,
            "seconds": seconds,
            "loss": sum(self.tail) / len(self.tail) if self.tail else None,
        }

        told = {"command": self.command, "config": self.config.as_dict(), "data": self.data, "training": training}
        return told | self.source

    def resume(self, folder: Path, state: TrainState) -> None:
        """Resume the run from its latest checkpoint.

        Args:
            folder: of the run; if it is empty, nothing is loaded and the run starts from the beginning.
            state: weights, optimiser and step number; they are loaded in place.

        Raises:
            CheckpointError: if no checkpoint can be read, if there is a finished model but no checkpoint, or if the
                checkpoint has another configuration, other data or more steps than training.steps.
        """
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
                told = _STOOD_ON.get(f"{name}{key}", f"{name}{key}")
                if not told.startswith(CHANGEABLE_ON_RESUME):
                    raise CheckpointError(
                        f"{found.path} was trained with {told} = {b!r}, now {a!r}; give it back its value,"
                        " or train into another --out"
                    )

        try:
            state.load(found.tensors)
        except (RuntimeError, KeyError) as error:
            raise architecture_mismatch(found.path, error) from error

        wanted = self.config.training.steps
        if state.step > wanted:
            raise CheckpointError(
                f"{found.path} was trained for {state.step} steps, more than training.steps = {wanted}; give"
                f" training.steps at least {state.step}, or train into another --out"
            )

        then = run_config(found.about, found.path).training
        if then.steps != wanted:
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

"""Progress bars on the terminal, and a counter of network calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import runs
from ..runs.config import Config
from ..runtime.torch_state import untouched

with untouched():
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

TENTHS = 10


@dataclass
class Calls:
    """Counts of network calls: rows is the number of samples that passed through the network, batches of its calls."""

    rows: int = 0
    batches: int = 0


@contextmanager
def counting(network: torch.nn.Module) -> Generator[Calls, None, None]:
    """Inside, count every call of `network`."""
    calls = Calls()

    def count(module: Any, inputs: Any) -> None:
        calls.rows += len(inputs[0])
        calls.batches += 1

    handle = network.register_forward_pre_hook(count)

    try:
        yield calls
    finally:
        handle.remove()


def bars(console: Console) -> Progress:
    """A progress bar with a note, such as the loss, and the time left. It is hidden if there is no terminal."""
    counts = (TextColumn("{task.completed}/{task.total}"), TextColumn("{task.fields[note]}", markup=False))
    clock = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    name = TextColumn("{task.description}", markup=False)
    return Progress(
        SpinnerColumn(),
        name,
        BarColumn(),
        *counts,
        *clock,
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def progress(console: Console, what: str, total: int) -> Generator[Callable[[int, str], None], None, None]:
    """Yield tell(done, note), which updates a progress bar. Without a terminal a line is printed at every tenth of the
    work.

    Args:
        console: console for the output.
        what: the work, in words.
        total: number of parts.
    """
    start = time.perf_counter()
    tenth = 0

    with bars(console) as bar:
        task = bar.add_task(what, total=total, note="")

        def tell(done: int, note: str) -> None:
            nonlocal tenth
            bar.update(task, completed=done, note=note)
            if not console.is_terminal and TENTHS * done // total > tenth:
                tenth = TENTHS * done // total
                console.print(f"{what}: {done}/{total}, {note}, {time.perf_counter() - start:.0f} s")

        yield tell


def train_with_bar(
    config: Config,
    data: Any,
    folder: Path,
    command: str,
    device: Any,
    console: Console,
    **options: Any,
) -> runs.Trained:
    """`runs.train` with a progress bar.

    Args:
        config: configuration of the run.
        data: training samples.
        folder: the run folder.
        command: the command line, for the record of the run.
        device: device to train on.
        console: console for the output.
        options: further arguments of `runs.train`.
    """
    smooth = 0.0

    with progress(console, "training", config.training.steps) as tell:

        def show(now: Any) -> None:
            nonlocal smooth
            if not now.skipped:  # the loss of a skipped step may be NaN
                smooth = now.loss if smooth == 0.0 else 0.98 * smooth + 0.02 * now.loss
            tell(now.step, f"loss {smooth:.4f}")

        trained = runs.train(
            config,
            data,
            folder,
            command,
            device,
            show,
            **options,
        )

    about = trained.about["training"]
    unit = "nats a sample" if config.is_classifier else "per element" if config.denoises else "nats per element"
    loss = "not known" if about["loss"] is None else f"{about['loss']:.4f} {unit}"
    console.print(f"trained {about['steps_done']} steps in {about['seconds']:.0f} s, loss {loss}")

    return trained

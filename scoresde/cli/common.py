"""Shared parts of the commands: options, checks of arguments, the console."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Folder = Annotated[
    Path, typer.Argument(help="a folder written by train, demo or import, or that of a saved diffusers pipeline")
]
Data = Annotated[
    str | None,
    typer.Option(
        help="for a model that does not say what it was trained on: digits, photos, a file or a folder like that"
    ),
]
Out = Annotated[Path, typer.Option(help="folder to write")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="write into an existing folder")]
Device = Annotated[str, typer.Option(help="cpu or cuda")]


def _allow_code(context: typer.Context, yes: bool) -> bool:
    """Allow code of the user until the command ends, if `yes`."""
    if yes:
        from ..runs import allow_code

        context.with_resource(allow_code())
    return yes


AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code", callback=_allow_code, help="import and run a network of your own, network.kind = MODULE:CLASS"
    ),
]


class UsageError(ValueError):
    """An option or argument that cannot be used."""


def reachable(out: Path) -> Path:
    """Check, before anything is computed, that a path can be written; returns it. Raises UsageError naming `--out`."""
    if len(out.name.encode(errors="surrogateescape")) > 200:
        raise UsageError(f"`--out` must be a name of at most 200 bytes, got {str(out)[:100]!r}")

    ground = next(p for p in (out, *out.absolute().parents) if os.path.lexists(p))
    below_a_file = ground != out and not ground.is_dir()
    if below_a_file or not os.access(ground, os.W_OK):
        raise UsageError(
            f"`--out` must be a path that can be written, got {out}: {ground} is"
            f" {'a file' if below_a_file else 'not writable'}"
        )

    return out


@contextmanager
def output_folder(out: Path, overwrite: bool, resume: bool = False) -> Generator[Path, None, None]:
    """Yield a folder to write into, locked against other commands until the context ends.

    The folder must be new or empty. With `overwrite` or `resume` it may also hold what scoresde wrote.

    Args:
        out: the folder.
        overwrite: True: files that scoresde wrote there may be replaced.
        resume: True: the run in the folder is continued; there must be one.

    Raises:
        UsageError: naming `--out`.
        BusyError: if another command is writing into the folder.
    """
    from ..storage import ownership

    _check_folder(out, overwrite, resume)
    with ownership.writing(out, command()):
        _check_folder(out, overwrite, resume)  # again: another command may have written to it meanwhile
        yield out


def _check_folder(out: Path, overwrite: bool, resume: bool) -> None:
    from ..storage import ownership

    reachable(out)

    if out.exists() and not out.is_dir():
        raise UsageError(f"`--out` must be a folder, got {out}, which is a file")

    held = sorted(path.name for path in out.iterdir() if path.name != ownership.MARKER) if out.exists() else []
    if resume and not held:
        raise UsageError(
            f"`--out` must hold a run to resume, got {out}, which"
            f" {'is empty' if out.exists() else 'does not exist'}; leave out --resume"
        )
    if held and not (overwrite or resume):
        raise UsageError(
            f"`--out` must be a new folder, got {out}, which exists; use another name, --overwrite, or --resume"
            " for a run that was stopped"
        )
    if held and not ownership.owned(out):
        raise UsageError(
            f"`--out` must be new or hold what scoresde wrote, got {out}: nothing says that {held[0]} was"
            " written by it; use another name"
        )


def usable(name: str) -> str:
    """Check that torch can use a device here; returns its name. Raises UsageError naming `--device`."""
    import torch

    found = re.fullmatch(r"cpu|cuda(?::([0-9]{1,4}))?", name)
    if found is None:
        raise UsageError(f"`--device` must be cpu or cuda, or cuda:NUMBER, got {name!r}")
    if name == "cpu":
        return name
    if not torch.cuda.is_available():
        raise UsageError(f"`--device` must be cpu here, got {name}: torch sees no CUDA device")
    if found[1] and int(found[1]) >= torch.cuda.device_count():
        raise UsageError(
            f"`--device` must be one of {torch.cuda.device_count()} CUDA devices, counted from 0, got {name}"
        )

    return name


def positive(name: str, value: int) -> None:
    """Check that a value is an integer of at least 1.

    Args:
        name: name of the option, for the error message.
        value: the value to check.

    Raises:
        TypeError, ValueError: naming the option.
    """
    from solvers import check

    check.integer(name, value)


def console(quiet: bool = False) -> Any:
    """A console on standard output, as wide as the terminal, or 120 columns wide if the output is no terminal. Brackets
    and colons are printed literally, not as markup."""
    from rich.console import Console

    return Console(quiet=quiet, highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 120)


@contextmanager
def bar(what: str, total: int, shown: bool = True) -> Generator[Callable[[int], None], None, None]:
    """Yield advance(count), which moves a progress bar with the time left. Without a terminal nothing is shown.

    Args:
        what: description before the bar.
        total: number of parts.
        shown: False: show no bar.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )

    with Progress(
        *columns, console=console(), disable=not (shown and sys.stdout.isatty()), transient=True
    ) as shown_bar:
        task = shown_bar.add_task(what, total=total)
        yield lambda count: shown_bar.update(task, advance=count)


def processes(device: str) -> Any:
    """Join the processes of a launch, print how many there are, and warn if another number was requested. Returns the
    device of this process."""

    from ..runtime import distributed

    place = distributed.init(device)
    wanted = distributed.asked()
    if distributed.rank() == 0 and (wanted is not None or distributed.joined()):
        console().print(f"processes: {distributed.world()}")

    if wanted is not None and wanted != distributed.world():
        warn(
            f"{wanted} processes were requested, but {distributed.world()} runs; give accelerate --multi_gpu, on the"
            " CPU too, or torchrun --nproc_per_node"
        )

    return place


def warn(message: str) -> None:
    """Issue a warning of the command."""
    import warnings

    warnings.warn(message, stacklevel=3)


def command() -> str:
    """The command line as text, for the record of a run."""
    return "scoresde " + " ".join(shlex.quote(a) for a in sys.argv[1:])

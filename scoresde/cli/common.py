"""What the commands share: options, checks at the edge, the console."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Folder = Annotated[Path, typer.Argument(help="a folder written by train, demo or import, or that of a saved diffusers pipeline")]
Data = Annotated[str | None, typer.Option(help="for a model that does not say what it was trained on: digits, photos, a file or a folder like that")]
Out = Annotated[Path, typer.Option(help="folder to write")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="write into an existing folder")]
Device = Annotated[str, typer.Option(help="cpu or cuda")]


class UsageError(ValueError):
    """A flag or argument that cannot be used."""


def reachable(out: Path) -> Path:
    """A path that can be written, as far as can be told before anything is computed."""
    ground = next(p for p in (out, *out.absolute().parents) if p.exists())
    below_a_file = ground != out and not ground.is_dir()
    if below_a_file or not os.access(ground, os.W_OK):
        raise UsageError(f"`--out` must be a path that can be written, got {out}: {ground} is {'a file' if below_a_file else 'not writable'}")
    return out


def new_folder(out: Path, overwrite: bool) -> Path:
    """A folder to write to: new, empty, or allowed to be overwritten."""
    reachable(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not overwrite):
        raise UsageError(f"`--out` must be a new folder, got {out}, which exists; use another name, --overwrite, or --resume for a run that was stopped")
    out.mkdir(parents=True, exist_ok=True)
    return out


def usable(name: str) -> str:
    """A device that torch can use here."""
    import torch

    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"`--device` must be cpu or cuda, got {name!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError("`--device` must be cpu here, got cuda: torch sees no CUDA device")
    return name


def positive(name: str, value: int) -> None:
    """An integer of at least 1, or an error naming it."""
    from solvers import check

    check.integer(name, value)


def console(quiet: bool = False) -> Any:
    """Where people read: as wide as the terminal, or 120 columns in a file."""
    from rich.console import Console

    return Console(quiet=quiet, highlight=False, width=None if sys.stdout.isatty() else 120)


def command() -> str:
    """What was typed, for the record of a run."""
    return "scoresde " + " ".join(shlex.quote(a) for a in sys.argv[1:])

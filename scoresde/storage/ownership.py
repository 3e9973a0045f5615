"""Whose files a folder holds, and who is writing into it now.

A command that writes into a folder leaves a marker there, `.scoresde`: only files beside a marker are ever removed,
and only under the names that runs give to their files. While it writes, the command holds an exclusive lock of the
marker, which the operating system releases when the process ends, however it ends: a lock is never stale, and the
number of a dead process that was given to another one is never mistaken for it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import checkpoints
from .files import sweep

MARKER = ".scoresde"
FILES = ("run.json", "model.safetensors", "moments.safetensors", "log.jsonl")
FOLDERS = {
    "checkpoints": "step-*.safetensors",
    "averages": "step-*.safetensors",
    "samples": "step-*.png",
    "tensorboard": "events.out.tfevents.*",
}
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class BusyError(ValueError):
    """A folder or file that another process is writing; the message tells its process, host and since when."""


def owned(folder: Path) -> bool:
    """Whether a command of ours has written into the folder: its marker is there, or the files of a run from before
    there were markers."""
    return "scoresde" in _told(folder / MARKER) or _older(folder)


def _older(folder: Path) -> bool:
    """Whether a folder without a marker holds a description or a checkpoint of ours."""
    about = _told(folder / "run.json")
    if isinstance(about.get("format"), int) and "command" in about:
        return True
    return any(checkpoints.ours(path) for path in checkpoints.steps(folder / "checkpoints").values())


def _told(path: Path) -> dict[str, Any]:
    """A small JSON table, or {} where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def written(folder: Path) -> Iterator[Path]:
    """The files in a folder that have the names of a run's own files."""
    for name in FILES:
        if (folder / name).is_file():
            yield folder / name
    for name, pattern in FOLDERS.items():
        if not (folder / name).is_symlink():
            yield from sorted((folder / name).glob(pattern))


def clear(folder: Path) -> None:
    """Remove what an earlier run of ours left, first what names the rest. Other files stay where they are.

    Raises:
        ValueError: where nothing says that the files were written by a run of ours.
    """

    _check_ours(folder)

    for path in list(written(folder)):
        path.unlink(missing_ok=True)

    for name in FOLDERS:
        with suppress(OSError):  # other files are in it, or there is no such folder
            (folder / name).rmdir()


def _check_ours(folder: Path) -> None:
    found = next(written(folder), None)
    if found is not None and not owned(folder):
        raise ValueError(
            f"`folder` must be new or hold a run of scoresde, got {folder}: nothing says that {found} was"
            " written by one"
        )


@contextmanager
def writing(folder: Path, command: str) -> Generator[None, None, None]:
    """Mark a folder as ours, creating it, and hold it for writing. What a killed process had only begun to write is
    removed.

    Left without any file of its own, a folder made here is removed again.

    Args:
        folder: to write into.
        command: what writes, as others who find the folder held are told.

    Raises:
        BusyError: where another process is writing there.
        ValueError: where it has files of the names of a run's, and nothing says that a run of ours wrote them.
    """

    _check_ours(folder)
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)

    with _held(folder / MARKER, folder, command):
        for place in (folder, *(folder / name for name in FOLDERS)):
            sweep(place)
        try:
            yield
        finally:
            if [path.name for path in folder.iterdir()] == [MARKER]:
                (folder / MARKER).unlink()
                if new:
                    folder.rmdir()


@contextmanager
def writing_file(path: Path, command: str) -> Generator[None, None, None]:
    """Hold the name of one file for writing, by a lock beside it that is gone afterwards.

    Args:
        path: of the file, which need not exist.
        command: what writes, as others who find the name held are told.

    Raises:
        BusyError: where another process is writing it.
    """

    lock = path.with_name(f".scoresde-lock-{path.name}"[:255])
    path.parent.mkdir(parents=True, exist_ok=True)

    with _held(lock, path, command):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _held(lock: Path, what: Path, command: str) -> Generator[None, None, None]:
    """An exclusive lock of a file, which tells who holds it."""
    handle = _locked(lock, what)

    try:
        who = {
            "scoresde": 1,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "command": command,
        }
        os.ftruncate(handle, 0)
        os.pwrite(handle, (json.dumps(who) + "\n").encode(), 0)
        yield
    finally:
        os.close(handle)


def _locked(lock: Path, what: Path) -> int:
    """The handle of a locked file. It is opened again where the file was removed between opening and locking it."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise BusyError(
                f"{what} is being written by {_holder(lock)}; wait for its end, or choose another --out"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(handle)
                raise
            warnings.warn(
                f"{what} lies on a file system without locks: make sure that nothing else writes there", stacklevel=6
            )

        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(lock)):
                return handle

        os.close(handle)


def _holder(lock: Path) -> str:
    who = _told(lock)
    if not who:
        return "another process"
    return f"process {who.get('pid')} on {who.get('host')} since {who.get('since')} ({who.get('command')})"

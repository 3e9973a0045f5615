"""Which folders belong to a run, and which process is writing into one now.

A command that writes into a folder leaves a marker file there, `.scoresde`. Files are removed only from a folder that
belongs to a run (`owned`), and only files with the names that runs give to their files.

While it writes, the command holds an exclusive lock on the marker. The operating system releases the lock when the
process ends, even by a kill. So a dead process never leaves a lock behind, and no process number
has to be trusted.
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
    """Raised if another process is writing a folder or file. The message gives its process number, host and start."""


def owned(folder: Path) -> bool:
    """Whether scoresde has written into the folder: it holds a marker, or a run from before markers were introduced."""
    return "scoresde" in _told(folder / MARKER) or _older(folder)


def _older(folder: Path) -> bool:
    """Whether a folder without a marker holds a run.json or a checkpoint of scoresde."""
    about = _told(folder / "run.json")
    if isinstance(about.get("format"), int) and "command" in about:
        return True
    return any(checkpoints.ours(path) for path in checkpoints.steps(folder / "checkpoints").values())


def _told(path: Path) -> dict[str, Any]:
    """The JSON table in a small file, or {} if it cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def written(folder: Path) -> Iterator[Path]:
    """The files in a folder whose names are those of run files."""
    for name in FILES:
        if (folder / name).is_file():
            yield folder / name
    for name, pattern in FOLDERS.items():
        if not (folder / name).is_symlink():
            yield from sorted((folder / name).glob(pattern))


def clear(folder: Path) -> None:
    """Remove the files of an earlier run, run.json first. Other files stay.

    Raises:
        ValueError: if nothing shows that scoresde wrote the files.
    """

    _check_ours(folder)

    for path in list(written(folder)):
        path.unlink(missing_ok=True)

    for name in FOLDERS:
        with suppress(OSError):  # the folder holds other files, or does not exist
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
    """Mark a folder as a run folder, and lock it while the context lasts. It is made if missing.

    Temporary files of a killed process are removed. If the folder holds only the marker at the end, the marker is
    removed, and so is the folder if it was made here.

    Args:
        folder: to write into.
        command: the command that writes; other processes that find the folder locked show it.

    Raises:
        BusyError: if another process is writing there.
        ValueError: if the folder holds files with the names of run files, and nothing shows that scoresde wrote them.
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
    """Lock one file name while the context lasts. The lock is a file beside it, which is removed at the end.

    Args:
        path: of the file, which need not exist.
        command: the command that writes; other processes that find the name locked show it.

    Raises:
        BusyError: if another process is writing the file.
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
    """Hold an exclusive lock on a file, and write into it which process holds the lock."""
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
    """Open and lock a file, and return its handle. If the file was removed in between, this is repeated."""
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

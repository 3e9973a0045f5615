"""Atomic writing of files.

The content is first written to a temporary file in the same directory, and flushed to disk by fsync. That file is then
renamed to the final name, and the directory is flushed too. A kill at any moment leaves the old file or the new one.

A run folder holds `model.safetensors` (the network's weights and their moving average) and `run.json` (everything
else, with the SHA-256 of the weights, because safetensors does not notice a flipped bit). No pickle is ever loaded.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

FORMAT = 1
_TEMPORARY = ".scoresde-tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CheckpointError(RuntimeError):
    """Raised if a run or a checkpoint cannot be used. The message names the file and what is wrong with it."""


def write_whole(path: Path | str, content: bytes) -> None:
    """Write a file atomically and durably. If writing fails, the old file stays and the temporary file is removed.

    Args:
        path: of the file; missing folders on its path are made.
        content: the whole content.

    Raises:
        OSError: if the file cannot be written. If the disk is full, the message says so.
    """
    path = Path(path)

    try:
        _write_whole(path, content)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        said = f"disk full: {len(content):,} bytes could not be written; the file before is intact; make room and go on"
        raise OSError(error.errno, said, str(path)) from error


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)

    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise

    folder = os.open(path.parent, os.O_RDONLY)

    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(folder: Path) -> None:
    """Remove the temporary files that a killed process left."""
    for stale in folder.glob(_TEMPORARY + "*"):
        stale.unlink(missing_ok=True)


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as indented JSON, atomically.

    Args:
        path: of the file.
        value: what `json.dumps` takes.

    Raises:
        ValueError: if the value holds NaN or Inf.
        OSError: as `write_whole`.
    """
    write_whole(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


@cache
def versions() -> dict[str, str]:
    """Versions of Python and the main packages, for run.json and benchmark rows."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in ("scoresde", "torch", "numpy", "diffusers")},
    }


def _version(name: str) -> str:
    """Version of a package. "not installed" also for one that is imported from a source tree without installation."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"

"""The command line in a process of its own: what it prints, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PLAIN = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def scoresde(
    *arguments: object, env: dict[str, str] | None = None, flags: tuple[str, ...] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """`python FLAGS -m scoresde ARGUMENTS`."""
    command = [sys.executable, *flags, "-m", "scoresde", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(
        command,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        env={**os.environ, **PLAIN, **(env or {})},
        **streams,
    )


def started(*arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """The same, running; SIGINT reaches it as it would from a terminal."""
    command = [sys.executable, "-m", "scoresde", *map(str, arguments)]
    heard: Callable[[], Any] = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    everything = {**os.environ, **PLAIN, **(env or {})}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=everything, preexec_fn=heard
    )


def one_line(error: str) -> bool:
    """Whether an error was told as every error is: in one line that begins with the program's name."""
    return error.startswith("scoresde: ") and error.count("\n") == 1

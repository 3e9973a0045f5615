"""The start of a command, while torch is imported.

Importing torch takes seconds. During this time, Ctrl-C and warnings of other libraries must not end in a traceback.
If `scoresde` is imported as a library, this module does nothing.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, NoReturn

LEAST = 600 * 2**20  # bytes: with less memory, importing torch ends the process without an error that could be caught
OTHERS = r"(?!scoresde\b|solvers\b)"  # matches modules of other libraries


def commanded() -> bool:
    """Whether this process was started as `scoresde ...` or `python -m scoresde ...`."""
    if multiprocessing.parent_process() is not None:
        return False
    if sys.argv[0] == "-m":
        return ("-m", "scoresde") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return Path(sys.argv[0]).stem == "scoresde"


def leave(*_: Any) -> NoReturn:
    """End the process at once with the exit code of Ctrl-C. Nothing has been written yet that could be incomplete."""
    os.write(2, b"scoresde: interrupted\n")
    os._exit(130)


def unstarted(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Report an error during the imports; used as `sys.excepthook`.

    If the process has a memory limit, or the error is a MemoryError, one line is printed and the exit code is 2. All
    other errors, and Ctrl-C, are reported as Python does. The limit decides, because libraries that run out of memory
    while they are imported raise many different errors.

    Args:
        kind: type of the error.
        error: the error.
        trace: its traceback.
    """

    if issubclass(kind, KeyboardInterrupt) or not (_limit() < math.inf or issubclass(kind, MemoryError)):
        sys.__excepthook__(kind, error, trace)
        return

    _no_room()


def _limit() -> float:
    """Limit on the memory of the process in bytes; infinity if there is none."""
    try:
        import resource
    except ImportError:  # the system has no such limits
        return math.inf
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def _no_room() -> NoReturn:
    os.write(
        2,
        b"scoresde: out of memory: not even torch could be imported; no option makes it smaller, raise the limit"
        b" on memory\n",
    )
    os._exit(2)


def start() -> None:
    """Prepare the imports of a command. Until `started`, Ctrl-C ends the process at once.

    Warnings of other libraries are ignored, also under `python -W error`. If the memory limit is too low for torch, the
    process ends with one line and exit code 2."""

    if not commanded():
        return

    if _limit() < LEAST:
        _no_room()

    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # scoresde reports errors itself, in one line
    warnings.filterwarnings("ignore", module=OTHERS)
    sys.excepthook = unstarted

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, leave)


def started() -> None:
    """End what `start` began: Ctrl-C raises KeyboardInterrupt again, and the command line reports errors."""
    if sys.excepthook is unstarted:
        sys.excepthook = sys.__excepthook__
    if signal.getsignal(signal.SIGINT) is leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


start()

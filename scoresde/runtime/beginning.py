"""The first moments of a command.

Importing torch takes seconds. Ctrl-C and warnings of other libraries must not end in a traceback meanwhile.
Nothing happens here where `scoresde` is imported as a library.
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

LEAST = (
    600 * 2**20
)  # bytes: with less, torch ends the process while it is imported, without an error that could be told
OTHERS = r"(?!scoresde\b|solvers\b)"  # modules of other libraries


def commanded() -> bool:
    """Whether this process was started as `scoresde ...` or `python -m scoresde ...`."""
    if multiprocessing.parent_process() is not None:
        return False
    if sys.argv[0] == "-m":
        return ("-m", "scoresde") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return Path(sys.argv[0]).stem == "scoresde"


def leave(*_: Any) -> NoReturn:
    """End at once with the exit code of Ctrl-C: nothing has been written yet that could be left half done."""
    os.write(2, b"scoresde: interrupted\n")
    os._exit(130)


def unstarted(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """What is told where an import fails: under a limit on memory in one line with exit code 2, else as Python does.

    Libraries tell want of memory by many errors while they are imported, so that the limit is asked for and not the
    error.

    Args:
        kind: of the error, as `sys.excepthook` is given it.
        error: what was raised.
        trace: its traceback.
    """

    if issubclass(kind, KeyboardInterrupt) or not (_limit() < math.inf or issubclass(kind, MemoryError)):
        sys.__excepthook__(kind, error, trace)
        return

    _no_room()


def _limit() -> float:
    """Bytes that the process may address."""
    try:
        import resource
    except ImportError:  # there are no such limits on this system
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
    """Until `started`, Ctrl-C ends the process at once. Warnings of other libraries are ignored, also under `python -W
    error`."""

    if not commanded():
        return

    if _limit() < LEAST:
        _no_room()

    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # errors are told in a line of ours
    warnings.filterwarnings("ignore", module=OTHERS)
    sys.excepthook = unstarted

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, leave)


def started() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt again, and errors are told by the command line."""
    if sys.excepthook is unstarted:
        sys.excepthook = sys.__excepthook__
    if signal.getsignal(signal.SIGINT) is leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


start()

"""The first moments of a command: importing torch takes seconds, in which Ctrl-C and warnings of other libraries must not end in a traceback.

Nothing happens here where `scoresde` is imported as a library.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, NoReturn

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


def start() -> None:
    """Until `started`, Ctrl-C ends the process at once. Warnings of other libraries are ignored, also under `python -W error`."""
    if not commanded():
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # errors are told in a line of ours
    warnings.filterwarnings("ignore", module=OTHERS)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)


def started() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


start()

"""Signals during training: the first requests a stop after the current step, the second ends the process at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class Stopped(RuntimeError):
    """Raised if a signal stopped training, after a checkpoint was saved.

    `code` is the exit code: 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Stopped], tuple[str, int], dict[str, Any]]:
        return type(self), (str(self), self.code), self.__dict__  # pickling keeps `code`


@dataclass
class StopRequest:
    """`code` is the exit code for the first signal, or 0 if no signal has come."""

    code: int = 0


@contextmanager
def graceful_stop() -> Generator[StopRequest, None, None]:
    """Inside this context, the first SIGINT or SIGTERM only sets `code` of the request. A second signal raises
    KeyboardInterrupt or SystemExit(143).

    In any other thread than the main one the context does nothing."""

    request = StopRequest()

    def _on_signal(number: int, _: Any) -> None:
        if request.code:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        request.code = 128 + number

    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    before = {number: signal.signal(number, _on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

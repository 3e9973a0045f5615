"""Signals while training: the first asks for an end after the step, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class Stopped(RuntimeError):
    """Training was told to stop, and saved; `code` is the exit code: 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Stopped], tuple[str, int], dict[str, Any]]:
        return type(self), (str(self), self.code), self.__dict__  # so that it crosses to another process whole


@dataclass
class StopRequest:
    """The exit code of the signal that came, or 0."""

    code: int = 0


@contextmanager
def graceful_stop() -> Generator[StopRequest, None, None]:
    """Inside, the first SIGINT or SIGTERM only makes a request; a second raises KeyboardInterrupt or SystemExit(143).
    The main thread only."""

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

"""Standard output whose failure does not stop the work: results are saved even if nothing can be printed."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any


class Output(io.TextIOBase):
    """A text stream that writes to another one. After a failed write the rest is dropped; `failed` holds the error.

    Characters that the stream cannot encode are written as escapes."""

    def __init__(self, inner: Any):
        self.inner: Any = inner
        self.failed: OSError | ValueError | None = None

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return getattr(self.inner, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "backslashreplace"

    def isatty(self) -> bool:
        return self.inner is not None and self.inner.isatty()

    def fileno(self) -> int:
        if self.inner is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self.inner.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.inner is None:
            self.failed = OSError(errno.EBADF, os.strerror(errno.EBADF))
            return len(text)

        plain = text.encode(self.encoding, "backslashreplace").decode(self.encoding)

        if self.failed is None:
            try:
                self.inner.write(plain)
            except (OSError, ValueError) as error:
                self.failed = error

        return len(text)

    def flush(self) -> None:
        if self.inner is None or self.failed is not None:
            return
        try:
            self.inner.flush()
        except (OSError, ValueError) as error:
            self.failed = error

    def close(self) -> None:
        """Do nothing, since the inner stream belongs to the process."""


def opened() -> None:
    """Open the null device for each closed standard descriptor, so that no file of ours gets its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def silenced(stream: Any) -> None:
    """Redirect a stream that cannot be written to the null device, since the interpreter flushes it again at exit."""
    try:
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def say_error(message: str) -> None:
    """Print one line to standard error, if there is one."""
    if sys.stderr is None:
        return
    try:
        print("scoresde: " + " ".join(message.split()), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silenced(sys.stderr)

"""The message and the exit code of an error."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from solvers import MaxStepsError, NonFiniteError, SolveError, StepSizeUnderflow

from ..runtime.distributed import PartnerError, WorkerError, lost, patience
from ..runtime.signals import Stopped
from ..storage.files import CheckpointError
from ..training.objective import NonFiniteLossError, TrainingMemoryError

_USAGE = (ValueError, TypeError, OSError, Warning, CheckpointError, TrainingMemoryError, PartnerError, WorkerError)
_NUMERICAL = (SolveError, NonFiniteLossError)
_NAMES = {kind.__name__ for kind in (*_NUMERICAL, MaxStepsError, NonFiniteError, StepSizeUnderflow)}
_NO_ROOM = (
    "allocate memory",
    "out of memory",
    "bad_alloc",
    "failed to map segment",
    "can't start new thread",
    "Cannot allocate",
)


class TooLargeError(RuntimeError):
    """Something does not fit into memory; the message names it and, if possible, an option that makes it smaller."""


def out_of_memory(error: BaseException) -> bool:
    """True if an error, or its cause, reports that memory could not be allocated, by Python, torch, the loader of
    shared libraries or the operating system."""

    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if error.__cause__ is not None and out_of_memory(error.__cause__):
        return True

    return isinstance(error, (RuntimeError, ImportError, OSError)) and any(said in str(error) for said in _NO_ROOM)


@contextmanager
def fitting(what: str, remedy: str) -> Generator[None, None, None]:
    """Inside, an out-of-memory error is replaced by one that names the work and a remedy.

    Args:
        what: the work that needs the memory, in words.
        remedy: how to need less memory, in words.

    Raises:
        TooLargeError: in place of the allocator's error.
    """

    try:
        yield
    except TrainingMemoryError:
        raise
    except (MemoryError, RuntimeError, ImportError, OSError) as error:
        if isinstance(error, TooLargeError) or not out_of_memory(error):
            raise
        raise TooLargeError(f"out of memory: {what} needs more than there is; {remedy}") from error


def loading(run: Path) -> AbstractContextManager[None]:
    """`fitting` for reading a model, where no option reduces the memory."""
    return fitting(
        f"the model of {run}", "no option makes a model smaller: raise the limit on memory, or use a machine with more"
    )


def told(error: Exception) -> tuple[int, str] | None:
    """(exit code, message) of an error of the user, the data or the machine; None if it is a fault of the program."""
    message = str(error) or type(error).__name__

    if isinstance(error, Stopped):
        return error.code, message
    if lost(error):
        return (
            2,
            f"another process of the launch ended, or did not answer within {patience()} s (SCORESDE_TIMEOUT);"
            " what was saved is kept",
        )
    if isinstance(error, _NUMERICAL) or (isinstance(error, WorkerError) and error.kind in _NAMES):
        return 3, message
    if isinstance(error, TooLargeError):
        return 2, message
    if out_of_memory(error) and not isinstance(error, TrainingMemoryError):
        return 2, f"out of memory: {message}; take fewer samples at once, or a machine with more"

    return (2, message) if isinstance(error, _USAGE) else None

"""What is told of an error, and the exit code it has."""

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
    """Something does not fit into memory; the message names it, and the option that makes it smaller."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what led to it, says that memory was refused: by Python, torch, the loader of shared
    libraries or the system."""

    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if error.__cause__ is not None and out_of_memory(error.__cause__):
        return True

    return isinstance(error, (RuntimeError, ImportError, OSError)) and any(said in str(error) for said in _NO_ROOM)


@contextmanager
def fitting(what: str, remedy: str) -> Generator[None, None, None]:
    """Inside, memory that is refused is told as that of what is done here.

    Args:
        what: needs the memory, in words.
        remedy: what makes it smaller, in words.

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
    """Inside, a model is read: no option makes it smaller."""
    return fitting(
        f"the model of {run}", "no option makes a model smaller: raise the limit on memory, or use a machine with more"
    )


def told(error: Exception) -> tuple[int, str] | None:
    """(exit code, message) of an error that is not a fault of the program; None of any other."""
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

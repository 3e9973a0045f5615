"""Runs a command, from its arguments to its exit code."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from ..runtime.beginning import OTHERS
from ..runtime.torch_state import untouched
from . import compare, diagnosis, judging, restoring, sampling, training, tuning
from .failures import told
from .streams import Output, opened, say_error, silenced

with untouched():
    import rich.console as _console  # pyright: ignore[reportUnusedImport]  # noqa: F401

_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=_HELP)
for name, function in {
    "demo": training.demo,
    "train": training.train,
    "sample": sampling.sample,
    "restore": restoring.restore,
    "likelihood": judging.likelihood,
    "doctor": diagnosis.doctor,
    "import": diagnosis.import_,
    "info": judging.info,
    "compare": compare.compare,
    "tune": tuning.tune,
}.items():
    app.command(name, context_settings=_HELP)(function)


def _version(asked: bool) -> None:
    if asked:
        from ..storage.files import versions

        print(f"scoresde {versions()['scoresde']}, torch {versions()['torch']}, python {versions()['python']}")
        raise typer.Exit


@app.callback()
def about(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="the versions of what runs"
    ),
) -> None:
    """Score-based generative modelling as numerics: train a score network, sample it by any solver."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns its exit code. An error of the user, the data or the machine is printed as one line.
    A fault of the program is raised."""

    opened()
    output = Output(sys.stdout)
    before = sys.stdout
    sys.stdout = output

    try:
        with _quiet(), _terminable():
            code = _code(arguments)
        output.flush()
    finally:
        sys.stdout = before

    if output.failed is not None:
        silenced(before)
        reason = getattr(output.failed, "strerror", None) or output.failed
        say_error(f"the standard output could not be written: {reason}; files named there are saved")
        return code or 2

    return code


def _code(arguments: Sequence[str]) -> int:
    try:
        return int(app(list(arguments) or ["--help"], standalone_mode=False) or 0)
    except typer.Exit as done:
        return _told(130, "interrupted") if done.exit_code == 130 else done.exit_code
    except typer.TyperException as error:
        return _told(2, error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        return _told(130, "interrupted")
    except _Terminated:
        return _told(143, "terminated")
    except Exception as error:
        answer = told(error)
        if answer is None:
            raise
        return _told(*answer)


def _told(code: int, message: str) -> int:
    say_error(message)
    return code


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Inside, warnings of other libraries and matplotlib's messages are hidden, and our warnings take one line."""
    logger = logging.getLogger("matplotlib")
    shown = warnings.formatwarning
    level = logger.level

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=OTHERS)
        warnings.formatwarning = _line
        logger.setLevel(logging.ERROR)

        try:
            yield
        finally:
            logger.setLevel(level)
            warnings.formatwarning = shown


def _line(message: Warning | str, *_: Any, **__: Any) -> str:
    return "scoresde: warning: " + " ".join(str(message).split()) + "\n"


class _Terminated(BaseException):
    """Raised by SIGTERM, so that locks and files are released on the way out."""


@contextmanager
def _terminable() -> Generator[None, None, None]:
    """Inside, SIGTERM raises an exception, as Ctrl-C does. A handler that is already set is kept."""

    def terminate(*_: Any) -> NoReturn:
        raise _Terminated

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    signal.signal(signal.SIGTERM, terminate)

    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

"""The command line: scoresde demo | train | sample | likelihood | doctor | import | info | compare.

Exit codes: 0; 2 usage (one line, no traceback); 3 numerical failure; 130 interrupted by Ctrl-C; 143 by SIGTERM.
"""

from __future__ import annotations

import sys

import typer

from . import compare, examining, sampling, training

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
for name, function in {
    "demo": training.demo,
    "train": training.train,
    "sample": sampling.sample,
    "likelihood": sampling.likelihood,
    "doctor": examining.doctor,
    "import": examining.import_,
    "info": sampling.info,
    "compare": compare.compare,
}.items():
    app.command(name)(function)


@app.callback()
def about() -> None:
    """Score-based generative modelling as numerics: train a score network, sample it by any solver."""


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except typer.TyperException as error:
        _stop(2, error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        _stop(130, "interrupted")
    except (ValueError, TypeError, OSError) as error:
        _stop(2, str(error))
    except RuntimeError as error:
        _stop(*_runtime(error))


def _runtime(error: RuntimeError) -> tuple[int, str]:
    from solvers import SolveError

    from ..checkpoint import CheckpointError
    from ..stopping import Stopped
    from ..training import NonFiniteLossError, TrainingMemoryError

    if isinstance(error, Stopped):
        return error.code, str(error)
    if isinstance(error, (CheckpointError, TrainingMemoryError)):
        return 2, str(error)
    if isinstance(error, (SolveError, NonFiniteLossError)):
        return 3, str(error)
    raise error


def _stop(code: int, message: str) -> None:
    print("scoresde: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)

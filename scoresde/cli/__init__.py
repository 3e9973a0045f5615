"""The command line: scoresde demo | train | sample | restore | likelihood | doctor | import | info | compare | tune.

Exit codes: 0 success; 2 the request cannot be carried out (one line of message, no traceback); 3 numerical failure, or
a finding of doctor; 130 stopped by Ctrl-C; 143 stopped by SIGTERM. docs/behaviour.md describes the details.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. An error of the user or the data becomes one line of message and an exit code."""
    from ..runtime import beginning
    from .running import run

    beginning.started()
    sys.exit(run(sys.argv[1:]))

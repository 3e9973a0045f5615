"""The command line: scoresde demo | train | sample | likelihood | doctor | import | info | compare | tune.

Exit codes: 0; 2 what cannot be done as asked (one line, no traceback); 3 numerical failure; 130 interrupted by Ctrl-C;
143 by SIGTERM. docs/behaviour.md tells the rest.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    from ..runtime import beginning
    from .running import run

    beginning.started()
    sys.exit(run(sys.argv[1:]))

"""The command line in this process."""

from __future__ import annotations

import pytest

from scoresde import cli


def called(*arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["scoresde", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            cli.main()
    return int(done.value.code or 0)

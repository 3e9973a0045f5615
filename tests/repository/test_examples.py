"""Every example runs as printed, in seconds, and says something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs(script: Path, tmp_path: Path) -> None:
    """In a folder of its own, which it leaves as it was, but for the picture of the digits."""
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not re.search(r"\bnan\b|\binf\b", done.stdout)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == ({"digits.png"} if script.stem == "digits" else set())


def test_there_are_eight_and_the_page_names_them() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert len(SCRIPTS) == 8
    assert {f"`{path.name}`" for path in SCRIPTS} == set(re.findall(r"`\w+\.py`", page))
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 60 for path in SCRIPTS)

"""Every example runs as printed, in seconds, and says something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.in_process import called

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


@pytest.mark.parametrize(
    ("first", "second"),
    [("autoencoder", "latent_digits"), ("small_photos", "large_photos")],
)
def test_configurations_that_stand_on_each_other(first: str, second: str, tmp_path: Path) -> None:
    """Each as printed, for two steps, its run beside the other's; then samples of the last."""
    below = tmp_path / first
    for name, out in ((first, below), (second, tmp_path / second)):
        text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
        tiny = re.sub(r"(?<=^steps = )\d+", "2", text, flags=re.MULTILINE)
        (tmp_path / f"{name}.toml").write_text(re.sub(r'"runs/\w+"', f'"{below}"', tiny), encoding="utf-8")
        assert called("train", str(tmp_path / f"{name}.toml"), "--out", str(out)) == 0

    assert called("sample", str(tmp_path / second), "--n", "2", "--steps", "2") == 0
    assert (tmp_path / second / "samples.png").is_file()

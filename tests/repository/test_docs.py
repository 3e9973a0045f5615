"""Pages of docs whose Python runs, and pages generated from the code."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks import catalogue_table, guidance_page, posterior_page, solver_table, stages_page, video_page

DOCS = Path(__file__).parents[2] / "docs"


def test_write_your_own_solver_runs(tmp_path):
    """The blocks of the page, one after the other, as a user would paste them."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "write-your-own-solver.md").read_text(encoding="utf-8"), re.M | re.S
    )
    assert len(blocks) == 2
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert blocks[0].count("\n") <= 24


def test_the_page_on_diffusers_runs(tmp_path):
    """Folders both ways and a method in a scheduler's place, pasted block by block."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "diffusers.md").read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 4
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ddpm.linear(1000) Eps()\n"


def test_solver_table_is_up_to_date():
    """docs/solvers.md is what the classes say."""
    assert solver_table.PAGE.read_text(encoding="utf-8") == solver_table.text(), "run python -m benchmarks.solver_table"


def test_catalogue_table_is_up_to_date():
    """docs/catalogue.md is what the lines of the catalogue say."""
    assert catalogue_table.PAGE.read_text(encoding="utf-8") == catalogue_table.text(), (
        "run python -m benchmarks.catalogue_table"
    )


def test_audits_are_up_to_date():
    """docs/guidance.md, docs/inverse.md and docs/video.md are what is stored."""
    for page in (guidance_page, posterior_page, stages_page, video_page):
        assert page.PAGE.read_text(encoding="utf-8") == page.text(), f"run python -m {page.__name__}"

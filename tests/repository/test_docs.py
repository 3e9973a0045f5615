"""Pages of docs whose Python runs, and pages generated from the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import catalogue_table, guidance_page, posterior_page, solver_table, stages_page, video_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def blocks(page: Path) -> list[str]:
    """The Python of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def pasted(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """What comes of its blocks, one after the other, as a user pastes them into an empty folder."""
    program = [sys.executable, "-c", "\n".join(blocks(page))]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


PAGES = sorted(page for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")] if page.parent != DOCS / "generated")
WITH_PYTHON = [page for page in PAGES if blocks(page)]
OF_A_RUN = {"latent.md": "runs/latent", "video.md": "runs/video"}  # the run that a page has trained by a command
PARTS = {"CONTRIBUTING.md"}  # shows how code is written, not a program


def test_pages_with_python_are_found():
    assert len(WITH_PYTHON) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in WITH_PYTHON if p.name not in {*OF_A_RUN, *PARTS}], ids=lambda p: p.stem)
def test_the_python_of_a_page_runs(page, tmp_path):
    done = pasted(page, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "run"), OF_A_RUN.items())
def test_the_python_of_a_page_that_needs_a_run_is_valid_up_to_it(name, run, tmp_path):
    """All its imports are there, and the first thing that is missing is the run."""
    done = pasted(DOCS / name, tmp_path)
    assert done.stderr.strip().splitlines()[-1].startswith(f"scoresde.storage.files.CheckpointError: {run}/run.json is")


def test_a_solver_is_one_page():
    """The solver of docs/write-your-own-solver.md."""
    assert blocks(DOCS / "write-your-own-solver.md")[0].count("\n") <= 24


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

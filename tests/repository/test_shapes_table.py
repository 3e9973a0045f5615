"""docs/shapes.md: what works for which shape, tried again."""

from pathlib import Path

import pytest

from benchmarks import shapes_table
from scoresde.data import KINDS


@pytest.mark.slow
def test_the_page_is_what_the_commands_do() -> None:
    assert shapes_table.PAGE.read_text(encoding="utf-8") == shapes_table.text(shapes_table.tried()), (
        "run python -m benchmarks.shapes_table"
    )


def test_a_refusal_is_told_by_its_number(tmp_path: Path) -> None:
    """A cell that did not work says where its message stands."""
    refused = shapes_table.said("sample", str(tmp_path / "nowhere"))
    assert "run.json" in refused
    cells = {"network": "auto", **dict.fromkeys(shapes_table.COLUMNS, shapes_table.WORKS), "doctor": refused}
    page = shapes_table.text({"series": cells})
    assert "| works | refused (1) | works |" in page
    assert f"1. {refused}" in page


def test_every_kind_has_a_row() -> None:
    assert set(KINDS) <= set(shapes_table.SHAPES)

"""docs/losses.md says what is stored, best first."""

from benchmarks import loss_table


def test_the_page_is_up_to_date() -> None:
    assert loss_table.PAGE.read_text(encoding="utf-8") == loss_table.text(), "run python -m benchmarks.loss_table"


def test_the_nearest_comes_first() -> None:
    rows = [
        {"objective": name, "frechet": f, "bits/dim": 1.0, "+-": 0.1, "steps": 10, "cpu minutes": 6.0}
        for name, f in (("far", 9.0), ("near", 2.0))
    ]
    assert [line.split("|")[1].strip() for line in loss_table.table(rows).splitlines()[2:]] == ["near", "far"]

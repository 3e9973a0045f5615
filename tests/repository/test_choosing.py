"""docs/choosing.md: what the stored comparison says, and how it ranks."""

import pytest

from benchmarks import choosing, work_precision


def test_the_page_is_up_to_date() -> None:
    assert choosing.PAGE.read_text(encoding="utf-8") == choosing.text(), "run python -m benchmarks.choosing"


def test_methods_are_ranked_by_their_distance_from_the_best_of_each_problem() -> None:
    """Ratios to the best of each column, their geometric mean; a method that misses a problem is left out."""
    every = {"a": (1.0, 8.0), "b": (4.0, 2.0), "c": (9.0, None)}
    rows = [
        {"cost": 5.0, "adaptive": False, "metric": "rms", "method": name, "problem": problem, "error": error}
        for name, errors in every.items()
        for problem, error in zip("pq", errors, strict=True)
        if error is not None
    ]
    assert choosing.ranking(rows, 5.0, ["p", "q"]) == [
        (pytest.approx(2.0), "a", [1.0, 8.0]),
        (pytest.approx(2.0), "b", [4.0, 2.0]),
    ]


def test_every_method_of_the_comparison_exists() -> None:
    """Names in the script are names of entries, and each is asked to do something."""
    from scoresde.compare.competitors import entry

    for name in (*work_precision.methods(), *work_precision.STOCHASTIC):
        made = entry(name)
        assert made.bind(1e-3 if made.adaptive else 50) is not None
        assert made.stochastic == (name in work_precision.STOCHASTIC)

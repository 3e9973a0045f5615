"""The benchmark on known problems: its fields, its comparison, and that our methods reach what SciPy's do."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import ode_problems


def test_equal_curves_have_ratio_one_and_twice_the_calls_two() -> None:
    curve = [(1e-3, 100.0), (1e-6, 200.0), (1e-9, 400.0)]
    assert ode_problems.ratio(curve, curve) == pytest.approx(1.0)
    assert ode_problems.ratio([(e, 2 * c) for e, c in curve], curve) == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["Kepler", "Arenstorf"])
def test_closed_orbits_come_back(name: str) -> None:
    """Both libraries, to their tolerance: an orbit that closes ends where it began."""
    field, start, end = ode_problems.PROBLEMS[name]
    for found, calls in (
        ode_problems.ours(field, start, end, ode_problems.PAIRS[0][1], 1e-10),
        ode_problems.scipys(field, start, end, "DOP853", 1e-10),
    ):
        assert np.abs(found - start).max() < 1e-4
        assert calls > 500


def test_a_row_a_problem_and_method() -> None:
    rows = ode_problems.measure([1e-4, 1e-6], ["van der Pol"])
    assert [row["method"] for row in rows] == ["DOP853", "RK45"]
    assert all(0.3 < row["ratio"] < 3 for row in rows)

"""docs/tuning.md, of what `benchmarks.tuning` stored."""

from __future__ import annotations

PARTS = ("exact", "first", "trained", "transfer")


def write() -> None:
    """Nothing yet."""

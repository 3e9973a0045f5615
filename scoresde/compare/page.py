"""The page report.html of a comparison: interactive charts and sortable tables in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..reports.page import embedded, save_page
from .figures import COLOURS, Panel
from .rows import Row


def write(
    path: Path,
    every: Sequence[Panel],
    rows: Sequence[Row],
    skipped: Sequence[str],
    command: str,
    split: Path | None = None,
) -> None:
    """Write the page of a comparison.

    Args:
        path: path of the page.
        every: the panels.
        rows: all rows of the comparison, failed ones included.
        skipped: methods whose library is not installed.
        command: the command line that the user typed.
        split: path of a picture of the parts of the error, or None.
    """

    measured = [row for row in rows if "failed" not in row]
    last: Mapping[str, Any] = measured[-1] if measured else {}
    versions = {k: v for row in measured for k, v in row["versions"].items()}
    facts = [
        ("rows", f"{len(measured)} measured, {len(rows) - len(measured)} failed"),
        (
            "machine",
            f"{last.get('machine')}, {last.get('cores')} cores, {last.get('threads')} threads,"
            f" {last.get('device')}, {last.get('dtype')}",
        ),
        ("versions", ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))),
        ("commit", f"{last.get('commit') or 'installed package'}, {last.get('date')}"),
        ("references", "; ".join(f"{p.problem}: own error {p.floor:.1e}" for p in every if p.metric == "rms")),
    ]
    failures = [f"{m}: its library is not installed" for m in skipped]
    failures += [f"{r['method']} on {r['problem']} at {r['cost']:g}: {r['failed']}" for r in rows if "failed" in r]
    problems = list(dict.fromkeys(p.problem for p in every))
    methods = list(dict.fromkeys(c.method for p in every for c in p.curves))
    save_page(
        path,
        "compare.html.j2",
        title="Work against precision",
        subtitle=f"{', '.join(problems)}; {len(methods)} methods",
        panels=every,
        colours=COLOURS,
        split=None if split is None else embedded(split),
        failures=failures,
        facts=facts,
        command=command,
        data={"panels": [_plain(p) for p in every], "colours": COLOURS},
    )


def _plain(panel: Panel) -> dict[str, Any]:
    curves = [{"method": c.method, "family": c.family, "points": [p._asdict() for p in c.points]} for c in panel.curves]
    return {"problem": panel.problem, "metric": panel.metric, "floor": panel.floor, "curves": curves}

"""The rows of a comparison as curves averaged over seeds, their Pareto front, and a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..runtime.torch_state import untouched
from .rows import Measured, Row

K = TypeVar("K", bound=Hashable)
COLOURS = {
    "scoresde": "#1769aa",
    "diffusers": "#e08a00",
    "k-diffusion": "#1b9e77",
    "azula": "#c0509a",
    "torchdiffeq": "#c8401e",
    "torchode": "#7a68c9",
    "torchsde": "#8c6d31",
    "scipy": "#777777",
}
EXACT = "W2, exact"
MEANING = {
    "rms": "distance from the converged flow, root mean square",
    EXACT: "distance of the method's own law from the data's, its start included",
}


class Point(NamedTuple):
    """One method at one cost: geometric means over its seeds, and a 95 % interval of the error from low to high."""

    calls: float
    seconds: float
    error: float
    low: float
    high: float
    cost: float
    seeds: int


class Curve(NamedTuple):
    """A method's points, cheapest first."""

    method: str
    family: str
    points: list[Point]


class Panel(NamedTuple):
    """The curves that can be compared with each other: those of one problem and one metric."""

    problem: str
    metric: str
    floor: float
    curves: list[Curve]

    @property
    def meaning(self) -> str:
        """The metric in words."""
        return MEANING.get(self.metric, f"distance of the samples' law from exact samples, {self.metric}")


def panels(rows: Iterable[Row]) -> list[Panel]:
    """Group rows by problem and metric, in their given order. Failed rows are left out.

    A row with an exact distribution is in two panels: by its samples, and by the exact W2.
    """

    measured = [row for row in rows if "failed" not in row]
    again = [_by_exact_law(row, row["w2"]) for row in measured if "w2" in row]
    groups = _grouped(measured + again, lambda row: (row["problem"], row["metric"]))
    out: list[Panel] = []

    for (name, metric), group in groups.items():
        highest = max(0.0, *(row["floor"] for row in group))
        out.append(Panel(name, metric, highest, _curves(group)))

    return out


def _curves(rows: Sequence[Measured]) -> list[Curve]:
    """A curve for each method, in the order of the rows."""
    groups = _grouped(rows, lambda row: (row["method"], row["family"]))
    return [Curve(method, family, _points(group)) for (method, family), group in groups.items()]


def _points(rows: Sequence[Measured]) -> list[Point]:
    """A point for each cost, cheapest first."""
    groups = _grouped(rows, lambda row: row["cost"])
    return sorted(_point(cost, group) for cost, group in groups.items())


def _grouped(rows: Iterable[Measured], key: Callable[[Measured], K]) -> dict[K, list[Measured]]:
    """Group rows by a key, in their given order."""
    groups: dict[K, list[Measured]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _by_exact_law(row: Measured, w2: float) -> Measured:
    """The row with the distance of its exact distribution in place of the distance of its samples."""
    return {**row, "error": w2, "low": w2, "high": w2, "metric": EXACT, "floor": 0.0}


def _point(cost: float, rows: Sequence[Measured]) -> Point:
    def mean(values: list[float]) -> float:
        """The geometric mean."""
        return math.exp(sum(math.log(max(value, 1e-300)) for value in values) / len(values))

    error = mean([row["error"] for row in rows])
    k = len(rows)
    if k > 1:
        from scipy.stats import t

        logs = [math.log(max(r["error"], 1e-300)) for r in rows]
        spread = math.sqrt(sum((v - sum(logs) / k) ** 2 for v in logs) / (k - 1) / k) * float(t.ppf(0.975, k - 1))
        low = error * math.exp(-spread)
        high = error * math.exp(spread)
    else:
        low = rows[0].get("low", error)
        high = rows[0].get("high", error)

    return Point(
        mean([row["calls"] for row in rows]),
        mean([row["seconds"] for row in rows]),
        error,
        low,
        high,
        cost,
        k,
    )


def pareto(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front of points (work, error): those that no other point beats in both, sorted by work."""
    front: list[tuple[float, float]] = []
    for work, error in sorted(points):
        if not front or error < front[-1][1]:
            front.append((work, error))
    return front


def table(panel: Panel) -> Any:
    """A `rich` table of errors with one line per method and one column per budget. The best of a column is bold.

    Adaptive methods have one more column, of errors with the calls spent.
    """

    with untouched():
        from rich.table import Table
        from rich.text import Text

    budgets = sorted({p.cost for c in panel.curves for p in c.points if p.cost >= 1})
    best = {b: min(p.error for c in panel.curves for p in c.points if p.cost == b) for b in budgets}
    shown = Table(title=f"{Path(panel.problem).name}: {panel.metric}, floor {panel.floor:.1e}", title_justify="left")
    shown.add_column("method")

    for b in budgets:
        shown.add_column(f"{b:.0f} calls", justify="right")

    adaptive = any(p.cost < 1 for c in panel.curves for p in c.points)
    if adaptive:
        shown.add_column("adaptive: error (calls)", justify="right")

    for curve in sorted(panel.curves, key=lambda c: c.points[-1].error):
        at = {p.cost: p for p in curve.points}
        cells = [
            Text(f"{at[b].error:.2e}" if b in at else "", style="bold" if b in at and at[b].error <= best[b] else "")
            for b in budgets
        ]
        extra = "  ".join(f"{p.error:.1e} ({p.calls:.0f})" for p in curve.points if p.cost < 1)
        shown.add_row(curve.method, *cells, *([extra] if adaptive else []))

    return shown


PARTS = {"discretisation": "#1769aa", "score": "#e08a00", "prior": "#1b9e77", "monte_carlo": "#999999"}

"""Pictures of a comparison: error curves, and bars of the parts of the error."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..storage.files import write_whole
from .figures import COLOURS, PARTS, Curve, Panel, pareto


def picture(every: Sequence[Panel], path: Path) -> None:
    """Write a PNG with one row per panel: error against model calls and against seconds.

    Curves are labelled at their ends, and the Pareto front is drawn behind them.

    Args:
        every: the panels, one per row.
        path: path of the PNG.
    """

    import matplotlib
    from matplotlib.figure import Figure

    height = [max(3.4, 0.165 * len(panel.curves) + 0.9) for panel in every]

    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(13.5, sum(height)), dpi=110, layout="constrained")
        axes: Any = figure.subplots(len(every), 2, squeeze=False, gridspec_kw={"height_ratios": height})

        for row, panel in zip(axes, every, strict=True):
            for axis, work in zip(row, ("calls", "seconds"), strict=True):
                _draw(axis, panel, work)

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def _draw(axis: Any, panel: Panel, work: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    points = [(getattr(p, work), p.error) for c in panel.curves for p in c.points]
    front = pareto(points)
    axis.set(xscale="log", yscale="log", title=Path(panel.problem).name, ylabel=f"error ({panel.metric})")
    axis.set_xlabel("model calls per sample" if work == "calls" else "seconds, whole batch")
    low = min(w for w, _ in points)
    high = max(w for w, _ in points)
    if low == high:  # one budget: a logarithmic axis has no width of its own
        axis.set_xlim(low / 2, high * 2)

    axis.plot(
        *zip(*front, strict=True),
        color="#888888",
        alpha=0.28,
        linewidth=7,
        solid_capstyle="round",
        zorder=1,
    )

    if panel.floor > 0 and panel.floor > 0.05 * min(e for _, e in points):
        axis.axhline(panel.floor, color="#999999", linestyle=":", linewidth=1)
        left = min(w for w, _ in points), panel.floor
        axis.annotate(
            "floor of two exact sets",
            left,
            xytext=(2, 2),
            textcoords="offset points",
            color="#777777",
            fontsize=8,
        )

    ends: list[tuple[float, float, Curve]] = []

    for curve in panel.curves:
        x = [getattr(p, work) for p in curve.points]
        y = [p.error for p in curve.points]
        colour = COLOURS[curve.family]
        marker = "os^Dv*P"[[c for c in panel.curves if c.family == curve.family].index(curve) % 7]
        axis.plot(
            x,
            y,
            "-",
            marker=marker,
            color=colour,
            markersize=3.2,
            linewidth=1.3,
            alpha=0.9,
            zorder=3,
        )
        low = [max(p.low, p.error / 100) for p in curve.points]
        high = [p.high for p in curve.points]
        if any(a < b for a, b in zip(low, high, strict=True)):
            axis.fill_between(
                x,
                low,
                high,
                color=colour,
                alpha=0.1,
                linewidth=0,
                zorder=2,
            )

        ends.append((x[-1], y[-1], curve))

    for side, values in ((axis.xaxis, [w for w, _ in points]), (axis.yaxis, [e for _, e in points])):
        wide = max(values) > 300 * min(values)
        side.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        side.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        side.set_minor_formatter(NullFormatter())

    axis.grid(which="major", color="#dddddd", linewidth=0.6)
    axis.set_ylim(min(e for _, e in points) / 1.6, max(e for _, e in points) * 1.6)
    axis.spines[["top", "right"]].set_visible(False)
    _label(axis, ends)


def _label(axis: Any, ends: list[tuple[float, float, Curve]]) -> None:
    """Write the names to the right of the axes, at the heights of their curves' ends, moved apart if they overlap."""
    low, high = (math.log10(v) for v in axis.get_ylim())
    at = {i: (math.log10(y) - low) / (high - low) for i, (_, y, _) in enumerate(ends)}
    order = sorted(at, key=lambda i: at[i])
    gap = 0.97 / max(len(ends), 14)

    for _ in range(200):
        for a, b in pairwise(order):
            short = gap - (at[b] - at[a])
            if short > 0:
                at[a], at[b] = at[a] - short / 2, at[b] + short / 2
        at = {i: min(max(v, 0.01), 0.99) for i, v in at.items()}

    for i, (x, y, curve) in enumerate(ends):
        colour = COLOURS[curve.family]
        axis.annotate(
            curve.method,
            xy=(x, y),
            xytext=(1.04, at[i]),
            xycoords="data",
            textcoords="axes fraction",
            color=colour,
            fontsize=8,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "alpha": 0.35,
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 2,
            },
            annotation_clip=False,
        )


def bars(parts: dict[str, dict[str, float]], title: str, path: Path) -> None:
    """Write a PNG with one stacked bar per method: the parts of its error.

    Args:
        parts: for each method the parts of its error, with the names and in the order of `PARTS`.
        title: text above the bars.
        path: path of the PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 0.42 * len(parts) + 1.5), dpi=110, layout="constrained")
    axis: Any = figure.subplots()
    left = dict.fromkeys(parts, 0.0)

    for name, colour in PARTS.items():
        axis.barh(
            list(parts),
            [p[name] for p in parts.values()],
            left=list(left.values()),
            color=colour,
            label=name.replace("_", "-"),
            height=0.68,
        )
        left = {method: left[method] + p[name] for method, p in parts.items()}

    for i, total in enumerate(left.values()):
        axis.annotate(
            f"{total:.2g}",
            (total, i),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )

    axis.invert_yaxis()
    axis.set(title=title, xlabel="root-mean-square distance per dimension, parts added")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16 - 0.5 / (len(parts) + 1)))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())

"""Pictures for each kind of samples: lines, clouds of points, slices of volumes, grids of images."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solvers import check

from . import images

PIXELS = ("images", "volumes")  # drawn in the model's scale [-1, 1]; all other kinds in the units of the data
_SERIES = 16  # largest number of samples in one picture; so are _SETS and _VOLUMES
_SETS = 16
_VOLUMES = 8
_SLICES = 8
_COLUMNS = 4  # largest number of columns of a table that are drawn
_COLOURS = ("#4a7fd4", "#d4734a", "#4aa86b", "#8f5fc4", "#b8962e", "#5f6b7a")
_BEYOND = 0.25  # if values lie outside [-1, 1] by more than this, volumes are rescaled


def save_picture(
    x: Tensor,
    kind: str,
    path: Path,
    groups: int = 1,
    names: Sequence[str] | None = None,
) -> None:
    """Write a PNG of samples, marked as written by scoresde.

    points   (N, d): a histogram if d is 1, a scatter plot if d is 2, else plots of all pairs of the first four columns
    images   (N, C, H, W) in [-1, 1]: all of them
    series   (N, C, L): the first 16, one line per channel
    sets     (N, P, d): the first 16; the first three coordinates in 3-D if d is 3 or more, else in the plane
    volumes  (N, C, D, H, W): the first 8, each as a row of up to 8 slices; black and white are -1 and 1, or the 0.5 %
             and 99.5 % quantiles if values lie far outside

    Args:
        x: samples, (N, ...).
        kind: kind of the samples, one of those above.
        path: the file.
        groups: number of equal parts of x to distinguish: each begins a row, or has its own colour.
        names: names of the columns of points.

    Raises:
        ValueError: naming `kind`.
    """

    check.choice("kind", kind, _PICTURES)
    parts = list(x.detach().cpu().chunk(groups))
    images.save_image(_PICTURES[kind](parts, names), path)


def _in_a_row(parts: Sequence[Tensor]) -> int:
    """Panels per row: one row per group; if there is only one group, about as many columns as rows."""
    return len(parts[0]) if len(parts) > 1 else max(1, round(len(parts[0]) ** 0.5))


def _first(parts: Sequence[Tensor], most: int) -> list[Tensor]:
    """The first samples of each group, about `most` in total."""
    each = max(1, most // len(parts))
    return [part[:each] for part in parts]


def _images(parts: Sequence[Tensor], _: Sequence[str] | None) -> Any:
    return images.tiled(torch.cat(list(parts)), _in_a_row(parts))


def _slices(parts: Sequence[Tensor], _: Sequence[str] | None) -> Any:
    """Evenly spaced slices of volumes (N, C, D, H, W), one volume per row."""
    x = torch.cat(_first(parts, _VOLUMES))
    low, high = (float(v) for v in torch.quantile(x.flatten()[: 1 << 24], torch.tensor([0.005, 0.995], device="cpu")))
    if low < -1 - _BEYOND or high > 1 + _BEYOND:
        x = 2 * (x - low) / max(high - low, 1e-12) - 1

    count = min(_SLICES, x.shape[2])
    at = torch.linspace(0, x.shape[2] - 1, count, dtype=torch.float64, device="cpu").round().long()
    flat = x[:, :, at].transpose(1, 2).flatten(0, 1)

    return images.tiled(flat, count, side=64)


def _series(parts: Sequence[Tensor], _: Sequence[str] | None) -> Any:
    """One panel per series; all panels share their axes."""
    shown = _first(parts, _SERIES)

    def draw(axes: Any, series: Tensor) -> None:
        for k, channel in enumerate(series):
            axes.plot(channel.numpy(), color=_COLOURS[k % len(_COLOURS)], linewidth=0.9)
        axes.grid(alpha=0.25)

    return _panels(torch.cat(shown), _in_a_row(shown), (1.7, 1.3), draw, {"sharex": True, "sharey": True})


def _panels(
    x: Tensor,
    columns: int,
    size: tuple[float, float],
    draw: Callable[[Any, Tensor], None],
    options: dict[str, Any],
) -> Any:
    """A picture with one panel of `size` inches per sample."""
    from matplotlib.figure import Figure

    rows = math.ceil(len(x) / columns)
    figure = Figure(figsize=(size[0] * columns + 0.5, size[1] * rows + 0.4), dpi=110, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)

    for i, panel in enumerate(axes.flat):
        panel.tick_params(labelsize=7)
        if i < len(x):
            draw(panel, x[i])
        else:
            panel.remove()

    return _rendered(figure)


def _clouds(parts: Sequence[Tensor], _: Sequence[str] | None) -> Any:
    """One panel per set of points, with one, two or three coordinates; all panels have the same limits."""
    kept = _first(parts, _SETS)
    x = torch.cat(kept)
    low = x.flatten(0, 1).amin(0)
    high = x.flatten(0, 1).amax(0)
    middle = (low + high) / 2
    half = 0.55 * float((high - low).max()) or 1.0
    shown = min(3, x.shape[2])
    limits = [(float(c) - half, float(c) + half) for c in middle[:shown]]

    def draw(axes: Any, points: Tensor) -> None:
        if shown == 1:
            axes.plot(points[:, 0].numpy(), torch.zeros(len(points), device="cpu").numpy(), "|", color=_COLOURS[0])
            axes.set_yticks([])
        else:
            axes.scatter(*points[:, :shown].T.numpy(), s=6, color=_COLOURS[0])

        for set_limits, ends in zip((axes.set_xlim, axes.set_ylim), limits, strict=False):
            set_limits(ends)

        if shown == 3:
            axes.set_zlim(limits[2])
            axes.tick_params(pad=-2)
        if shown > 1:
            axes.set_aspect("equal")

    size = (2.2, 2.2) if shown == 3 else (1.7, 1.3 if shown == 1 else 1.7)

    return _panels(x, _in_a_row(kept), size, draw, {"subplot_kw": {"projection": "3d"}} if shown == 3 else {})


def _pairs(parts: Sequence[Tensor], names: Sequence[str] | None) -> Any:
    """Points: a histogram of one column, a scatter plot of two, else all pairs of up to four, with histograms."""
    from matplotlib.figure import Figure

    parts = [part.flatten(1) for part in parts]
    count = min(_COLUMNS, parts[0].shape[1])
    told = [f"x{i}" for i in range(count)] if names is None else list(names)[:count]
    size = 1 if count <= 2 else count
    figure = Figure(figsize=(2.1 * size + 1.9, 2.1 * size + 1.5), dpi=110, layout="constrained")
    axes = figure.subplots(size, size, squeeze=False, sharex="col")

    if size == 1:
        _pair(axes[0, 0], parts, 0, count - 1, told)
        return _rendered(figure)

    for row, column in product(range(size), range(size)):
        panel = axes[row, column]
        if column > row:
            panel.set_visible(False)
            continue

        _pair(panel, parts, column, row, told)
        panel.label_outer()
        if column == row:  # a histogram: its vertical axis counts, unlike the rest of the row
            panel.set_yticks([])
            panel.set_ylabel("")

    return _rendered(figure)


def _pair(axes: Any, parts: Sequence[Tensor], across: int, up: int, names: Sequence[str]) -> None:
    """One panel: a scatter plot of column `up` over column `across`, or a histogram if both are the same."""
    for k, part in enumerate(parts):
        colour = _COLOURS[k % len(_COLOURS)]
        label = f"{k + 1}"
        if across == up:
            axes.hist(part[:, across].numpy(), bins=40, color=colour, alpha=0.7 / len(parts) ** 0.5, label=label)
        else:
            axes.scatter(part[:, across].numpy(), part[:, up].numpy(), s=6, color=colour, alpha=0.6, label=label)

    axes.tick_params(labelsize=7)
    axes.set_xlabel(names[across], fontsize=8)
    axes.set_ylabel("count" if across == up else names[up], fontsize=8)
    axes.grid(alpha=0.25)
    if len(parts) > 1:
        axes.legend(fontsize=7)


def _rendered(figure: Any) -> Any:
    """A matplotlib figure as a PIL image."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)

    return Image.open(buffer).convert("RGB")


_PICTURES: dict[str, Callable[[Sequence[Tensor], Sequence[str] | None], Any]] = {
    "points": _pairs,
    "images": _images,
    "series": _series,
    "sets": _clouds,
    "volumes": _slices,
}

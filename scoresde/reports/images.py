"""Pictures: image grids, animations, trajectories and loss curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..storage.files import write_whole


def pixels(x: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] as uint8, (N, H, W, 3). Values outside are clipped. If there are more than 3
    channels, the first three are shown."""
    x = x.detach().cpu()[:, :3]
    x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 3 - x.shape[1]))
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


def tiled(
    x: Tensor,
    columns: int,
    side: int = 32,
    gap: int = 1,
) -> Any:
    """A PIL image that shows images in a grid.

    Args:
        x: images, (N, C, H, W) in [-1, 1].
        columns: images per row.
        side: approximate pixels of the longer side of each image; images are enlarged by a whole factor, never shrunk.
        gap: pixels between images; a gap of 1 is darker than wider ones.
    """
    from PIL import Image

    tiles = pixels(x)
    count, height, width, _ = tiles.shape
    scale = max(1, round(side / max(height, width)))
    big = tiles.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    rows = -(-count // columns)
    h = height * scale + gap
    w = width * scale + gap
    sheet = torch.full((rows * h + gap, columns * w + gap, 3), 60 if gap == 1 else 110, dtype=torch.uint8, device="cpu")

    for i in range(count):
        top = (i // columns) * h + gap
        left = (i % columns) * w + gap
        sheet[top : top + h - gap, left : left + w - gap] = big[i]

    return Image.fromarray(sheet.numpy())


def save_image(image: Any, path: Path | str) -> None:
    """Write a PNG, marked as written by scoresde. The file appears only when it is complete.

    Args:
        image: a PIL image.
        path: the file.
    """
    from PIL.PngImagePlugin import PngInfo

    origin = PngInfo()
    origin.add_text("Software", "scoresde")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=origin)
    write_whole(path, buffer.getvalue())


def save_gif(frames: Sequence[Any], path: Path | str, seconds: float = 4.0) -> None:
    """Write an animated GIF that pauses on its last frame. A comment in the file says that scoresde wrote it.

    Args:
        frames: PIL images, one or more.
        path: the file.
        seconds: duration without the pause; each frame is shown for at least 20 ms.
    """
    each = max(20, int(1000 * seconds / len(frames)))
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=list(frames[1:]),
        duration=[each] * (len(frames) - 1) + [1500],
        loop=0,
        comment=b"scoresde",
    )
    write_whole(path, buffer.getvalue())


def save_clips(x: Tensor, columns: int, path: Path | str) -> None:
    """Write clips or volumes (N, C, frames, H, W), arranged in a grid, as an animated GIF.

    Args:
        x: clips in [-1, 1].
        columns: clips per row.
        path: the file.
    """
    save_gif([tiled(frame, columns, side=64) for frame in x.unbind(2)], path, seconds=0.15 * x.shape[2])


def save_trajectories(rows: Sequence[tuple[str, Sequence[Tensor]]], levels: Sequence[float], path: Path | str) -> None:
    """Write a picture of trajectories from noise to data. Each block has a row per sample and a column per noise level.

    Args:
        rows: for each block its name, and its states (n, C, H, W) in [-1, 1], one per level; n is the same everywhere.
        levels: lam of each column.
        path: the PNG file.
    """
    import matplotlib
    from matplotlib.figure import Figure

    n = len(rows[0][1][0])
    columns = len(levels)
    figure = Figure(figsize=(1.02 * columns + 0.8, (1.0 * n + 0.55) * len(rows)), dpi=110)

    with matplotlib.rc_context({"font.size": 10}):
        blocks: Any = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for block, (name, states) in zip(blocks, rows, strict=True):
            block.suptitle(name, x=0.02, ha="left", fontsize=12)
            room = {
                "wspace": 0.06,
                "hspace": 0.06,
                "left": 0.02,
                "right": 0.98,
                "top": 0.86,
                "bottom": 0.03,
            }
            axes = block.subplots(n, columns, squeeze=False, gridspec_kw=room)
            for j, (level, state) in enumerate(zip(levels, states, strict=True)):
                for i, tile in enumerate(pixels(state)):
                    axes[i][j].imshow(tile.numpy(), interpolation="nearest")
                    axes[i][j].set_axis_off()
                axes[0][j].set_title(f"$\\lambda$ = {level:+.1f}", fontsize=9)

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def save_losses(steps: Sequence[int], losses: Sequence[float], path: Path | str) -> None:
    """Write a plot of the training loss, as logged and as a moving average over a twentieth of the logged values.

    Args:
        steps: steps at which the loss was logged.
        losses: loss per element, one for each of these steps.
        path: the PNG file.
    """
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.6), dpi=110, layout="constrained")

    with matplotlib.rc_context({"font.size": 10}):
        axes: Any = figure.subplots()
        width = max(1, len(losses) // 20)
        smooth = [
            sum(losses[max(0, i - width) : i + 1]) / len(losses[max(0, i - width) : i + 1]) for i in range(len(losses))
        ]
        axes.plot(steps, losses, color="#4a7fd4", alpha=0.35, linewidth=1)
        axes.plot(steps, smooth, color="#4a7fd4", linewidth=1.8)
        axes.set_yscale("log")
        axes.set_xlabel("training step")
        axes.set_ylabel("loss per element")
        axes.grid(alpha=0.3, which="both")

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())

"""Commands that train: demo, train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Device, Out, Overwrite, command, console, new_folder, positive, usable


def demo(
    out: Out = Path("runs/demo"),
    steps: Annotated[int, typer.Option(help="training steps")] = 700,
    n: Annotated[int, typer.Option(help="samples per method")] = 256,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    data: Annotated[str, typer.Option(help="digits, a .npz file or a folder of images")] = "digits",
    overwrite: Overwrite = False,
) -> None:
    """Train on digits, sample by seven solvers, judge, draw and report.

    Example: scoresde demo --out runs/demo --steps 700"""
    from .. import demo as demo_module
    from ..config import Config, DataConfig
    from ..training import Training

    config = Config(data=DataConfig(path=data), training=Training(steps=steps, seed=seed))
    positive("n", n)
    demo_module.run(config, new_folder(out, overwrite), command(), n, usable(device), console())


def train(config: Annotated[Path, typer.Argument(help="a TOML file")], out: Out, device: Device = "cpu", overwrite: Overwrite = False) -> None:
    """Train the model a TOML file describes.

    Example: scoresde train docs/digits.toml --out runs/digits"""
    from .. import config as config_module
    from .. import demo as demo_module

    chosen = config_module.read(config)
    data = chosen.dataset().split(chosen.data.held_out)[0]
    folder = new_folder(out, overwrite)
    demo_module.train_with_bar(chosen, data, folder, command(), usable(device), console())
    console().print(f"saved {folder}; next: scoresde sample {folder}")

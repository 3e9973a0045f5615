"""Commands that train: demo, train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Device, Out, Overwrite, command, console, new_folder, positive, usable


def demo(
    out: Out = Path("runs/demo"),
    steps: Annotated[int, typer.Option(help="training steps")] = 2500,
    n: Annotated[int, typer.Option(help="samples per method")] = 256,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    data: Annotated[str, typer.Option(help="digits, a .npz file or a folder of images")] = "digits",
    overwrite: Overwrite = False,
) -> None:
    """Train on digits, sample by eight methods, judge, draw and report.

    Example: scoresde demo --out runs/demo --steps 2500"""
    from .. import demo as demo_module

    config = demo_module.recipe(data, steps, seed)
    positive("n", n)
    demo_module.run(config, new_folder(out, overwrite), command(), n, usable(device), console())


def train(
    config: Annotated[Path, typer.Argument(help="a TOML file")],
    out: Out,
    resume: Annotated[bool, typer.Option("--resume", help="take up the run in --out where its last checkpoint left it")] = False,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Train the model a TOML file describes, alone or under `accelerate launch -m scoresde train ...`.

    Ctrl-C once: finish the step, save, stop; twice: stop now. Go on with --resume: the result is the same to the bit.

    Example: scoresde train docs/digits.toml --out runs/digits"""
    from .. import config as config_module
    from .. import demo as demo_module
    from .. import launch

    chosen = config_module.read(config)
    here = launch.join(usable(device))
    if launch.rank() == 0:
        new_folder(out, overwrite or resume)
    data, held_out = chosen.dataset().split(chosen.data.held_out)
    say = console(quiet=launch.rank() > 0)
    demo_module.train_with_bar(chosen, data, out, command(), here, say, held_out=held_out, resume=resume)
    launch.leave()
    say.print(f"saved {out}; next: scoresde sample {out}")

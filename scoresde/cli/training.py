"""The commands demo and train."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import (
    AllowCode,
    Device,
    Out,
    Overwrite,
    UsageError,
    command,
    console,
    output_folder,
    processes,
    usable,
)
from .failures import fitting


def demo(
    out: Out = Path("runs/demo"),
    steps: Annotated[int, typer.Option(help="training steps")] = 2500,
    n: Annotated[int, typer.Option(help="samples per method")] = 256,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    data: Annotated[str, typer.Option(help="digits, a .npz file or a folder of images")] = "digits",
    overwrite: Overwrite = False,
) -> None:
    """Train on digits, draw samples by eight methods, evaluate them, and write a report with pictures.

    Example: scoresde demo --out runs/demo --steps 2500
    \f
    Args:
        out: folder to write.
        steps: of training.
        n: samples of each method, 2 or more.
        device: cpu, cuda or cuda:NUMBER.
        seed: of training and sampling.
        data: digits, a .npz file or a folder of images.
        overwrite: whether `out` may exist already.
    """

    from solvers import check

    from . import demo as demo_module

    config = demo_module.recipe(data, steps, seed)
    check.integer("n", n, least=2)
    place = usable(device)

    with output_folder(out, overwrite):
        demo_module.run(
            config,
            out,
            command(),
            n,
            place,
            console(),
        )


def train(
    config: Annotated[Path, typer.Argument(help="a TOML file")],
    out: Out,
    resume: Annotated[
        bool, typer.Option("--resume", help="take up the run in --out where its last checkpoint left it")
    ] = False,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    allow_code: AllowCode = False,
) -> None:
    """Train the model a TOML file describes, alone or under `accelerate launch -m scoresde train ...`.

    Ctrl-C once: finish the step, save and stop. Ctrl-C twice: stop now. A run continued with --resume gives the same
    result, bit for bit.

    Example: scoresde train docs/digits.toml --out runs/digits
    \f
    Args:
        config: TOML file that describes the run.
        out: folder to write.
        resume: whether the run in `out` continues from its last checkpoint; not together with `overwrite`.
        device: cpu, cuda or cuda:NUMBER.
        overwrite: whether `out` may exist already.
        allow_code: whether a network of the user's own may be imported and run.
    """

    from .. import runs
    from ..runs import toml
    from ..runtime import distributed
    from . import demo as demo_module

    if resume and overwrite:
        raise UsageError("`--resume` must be left out with --overwrite, which begins anew")

    chosen = toml.read(config)
    here = processes(usable(device))
    say = console(quiet=distributed.rank() > 0)

    with nullcontext() if distributed.rank() else output_folder(out, overwrite, resume):
        distributed.barrier()  # the other processes continue after the folder has passed its checks

        with fitting(f"the data of {config}", "name a .npy file, which is mapped, or a smaller one, as data.path"):
            data, held_out = runs.dataset(chosen, here).split(chosen.data.held_out)

        with fitting(
            f"the run in {out}", "take a smaller training.batch, a larger training.accumulate or smaller network.widths"
        ):
            demo_module.train_with_bar(
                chosen,
                data,
                out,
                command(),
                here,
                say,
                held_out=held_out,
                resume=resume,
                held=True,
            )

    distributed.shutdown()
    say.print(f"saved {out}; next: {_next(chosen, out)}")


def _next(config: Any, out: Path) -> str:
    """The next command for a finished run, as text."""
    from ..runs.config import AUTOENCODER

    if config.network.kind == AUTOENCODER:
        return f'a model of its latents, with latent.autoencoder = "{out}"'
    return f"scoresde sample {f'MODEL --label 0 --guidance 1 --classifier {out}' if config.is_classifier else out}"

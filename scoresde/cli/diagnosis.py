"""Commands that take models as they come: doctor, info, import."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from .common import (
    AllowCode,
    Data,
    Device,
    Folder,
    Out,
    Overwrite,
    UsageError,
    command,
    console,
    output_folder,
    positive,
    usable,
)
from .failures import fitting, loading


def doctor(
    run: Folder,
    n: Annotated[int, typer.Option(help="held-out samples to examine it on")] = 128,
    seed: Annotated[int, typer.Option(help="of the noise")] = 0,
    data: Data = None,
    device: Device = "cpu",
    allow_code: AllowCode = False,
) -> None:
    """Look for what is wrong with a trained run or a saved pipeline: exit code 0 where nothing is found, 3 otherwise.

    Example: scoresde doctor runs/demo"""

    from .. import runs
    from ..evaluation.doctor import doctor as examine
    from ..interop import models

    positive("n", n)
    place = usable(device)

    with loading(run):
        model = models.load(run, place)
        raw = None if model.run is None else runs.load(run, place, part="network").denoiser

    some = model.held_out(data).in_memory(n)
    labels = None if model.classes is None or some.labels is None else some.labels.to(place)

    with fitting(f"an examination of {len(some)} samples", "take a smaller --n"):
        findings = examine(
            model.denoiser,
            model.denoiser.process,
            some.x.to(place),
            labels,
            raw=raw,
            seed=seed,
        )

    for finding in findings:
        console().print(f"{finding.what}\n  evidence: {finding.evidence}\n  remedy: {finding.remedy}")

    if findings:
        raise typer.Exit(3)

    console().print(
        f"nothing found wrong with {run}, on {len(some)} {'held-out' if data is None else 'given'} samples of"
        f" {some.name}"
    )


def info(run: Folder, allow_code: AllowCode = False) -> None:
    """Say what a run or a saved pipeline is; verify a run's files, and say how to repeat it.

    Example: scoresde info runs/demo"""

    from rich.table import Table

    from ..interop import models

    table = Table(show_header=False)

    with loading(run):
        told = models.load(run).summary()

    for key, value in told.items():
        table.add_row(key, value)

    console().print(table)


def import_(
    source: Annotated[Path, typer.Argument(help="a .safetensors or torch file, or the folder of a diffusers pipeline")],
    out: Out,
    config: Annotated[
        Path | None,
        typer.Option(
            help="a TOML file with the [network] and [process] of the weights, and [data] where known; predicts"
            " eps unless said"
        ),
    ] = None,
    shape: Annotated[str, typer.Option(help="of one sample, with --config: 1,28,28, or 2 for points")] = "",
    overwrite: Overwrite = False,
    allow_code: AllowCode = False,
) -> None:
    """Take weights trained elsewhere, without running any code of theirs; what would have to run is refused.

    Example: scoresde import weights.pth --config network.toml --shape 1,28,28 --out runs/theirs"""

    from ..interop import importing
    from ..runs import toml

    if (config is None) != (not shape) or not re.fullmatch(r"(?:[1-9][0-9]{0,8}(?:,[1-9][0-9]{0,8})*)?", shape):
        raise UsageError(
            f"`--shape` must be positive numbers such as 1,28,28, given together with --config, got {shape!r}"
        )

    sizes = tuple(int(n) for n in shape.split(",")) if shape else ()
    chosen = None if config is None else toml.read(config, imported=True)
    data = None if chosen is None or chosen.data.path is None else chosen.dataset()

    with output_folder(out, overwrite), fitting(f"{source}", "import it on a machine with more memory"):
        console().print(
            importing.convert(
                source,
                out,
                chosen,
                sizes,
                command(),
                data,
            )
        )

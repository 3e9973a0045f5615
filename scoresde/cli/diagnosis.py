"""The commands doctor and import, which examine models and take models from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

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
    """Look for faults of a trained run or a saved pipeline. The exit code is 0 if nothing is found, 3 otherwise.

    Example: scoresde doctor runs/demo
    \f
    Args:
        run: folder of a run or of a diffusers pipeline.
        n: number of samples to examine it on, 1 or more.
        seed: seed of the noise.
        data: the training data, if the model does not know them.
        device: cpu, cuda or cuda:NUMBER.
        allow_code: whether a network of the user's own may be imported and run.
    """

    from .. import runs
    from ..denoisers import conditions
    from ..evaluation.doctor import doctor as examine
    from ..interop import models
    from ..runs.config import AUTOENCODER

    positive("n", n)
    place = usable(device)

    if runs.holds(run) == AUTOENCODER:
        _autoencoder(run, n, seed, place)
        return

    with loading(run):
        model = models.load(run, place)
        raw = None if model.run is None else runs.load(run, place, part="network").denoiser

    some = model.held_out(data).in_memory(n)
    labels = None if model.classes is None or some.labels is None else some.labels.to(place)
    cond = labels if some.cond is None else conditions.prepared(some.cond, len(some), place)

    with fitting(f"an examination of {len(some)} samples", "take a smaller --n"):
        findings = examine(
            model.denoiser,
            model.denoiser.process,
            some.x.to(place),
            cond,
            raw=raw,
            seed=seed,
        )

    _told(findings, run, some, "held-out" if data is None else "given")


def _autoencoder(
    run: Path,
    n: int,
    seed: int,
    device: str,
) -> None:
    """Examine an autoencoder on the held-out samples of its run."""
    from .. import runs
    from ..latent.examination import examine

    with loading(run):
        model, stored = runs.load_autoencoder(run, device)

    config = runs.run_config(stored.about, run)
    some = config.dataset().split(config.data.held_out)[1].in_memory(n)
    _told(examine(model, some.x.to(device), seed), run, some, "held-out")


def _told(
    findings: Any,
    run: Path,
    some: Any,
    which: str,
) -> None:
    """Print the findings; exit with code 3 if there are any."""
    for finding in findings:
        console().print(f"{finding.what}\n  evidence: {finding.evidence}\n  remedy: {finding.remedy}")

    if findings:
        raise typer.Exit(3)

    console().print(f"nothing found wrong with {run}, on {len(some)} {which} samples of {some.name}")


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
    """Import weights trained elsewhere, without running code from them. A file that would run code is refused.

    Example: scoresde import weights.pth --config network.toml --shape 1,28,28 --out runs/theirs
    \f
    Args:
        source: file of weights, or folder of a diffusers pipeline.
        out: folder to write.
        config: TOML file that describes network and process; None: for a pipeline, or to store only the tensors.
        shape: shape of one sample, numbers separated by commas; given together with `config`.
        overwrite: whether `out` may exist already.
        allow_code: whether a network of the user's own may be imported and run.
    """

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

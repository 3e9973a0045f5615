"""Commands that look at models: doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Device, console, positive, usable


def doctor(
    run: Annotated[Path, typer.Argument(help="a folder written by train or demo")],
    n: Annotated[int, typer.Option(help="held-out samples to examine it on")] = 128,
    seed: Annotated[int, typer.Option(help="of the noise")] = 0,
    device: Device = "cpu",
) -> None:
    """Look for what is wrong with a trained run: exit code 0 where nothing is found, 3 otherwise.

    Example: scoresde doctor runs/demo"""
    from .. import runs
    from ..doctor import doctor as examine

    positive("n", n)
    place = usable(device)
    averaged, raw = (runs.load(run, place, part=part) for part in ("ema", "network"))
    config = averaged.config
    data = config.dataset().split(config.data.held_out)[1].head(n)
    labels = None if config.training.label_dropout is None or data.labels is None else data.labels.to(place)
    findings = examine(averaged.denoiser, config.process, data.x.to(place), labels, raw=raw.denoiser, seed=seed)
    for finding in findings:
        console().print(f"{finding.what}\n  evidence: {finding.evidence}\n  remedy: {finding.remedy}")
    if findings:
        raise typer.Exit(3)
    console().print(f"nothing found wrong with {run}, on {len(data)} held-out samples of {data.name}")

"""The report of the demo on one page: pictures of trajectories from noise to data, the loss, a table, samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..evaluation.judge import Judge
from ..reports import images
from ..reports.page import embedded, save_page
from ..runs import Trained
from ..runtime.torch_state import untouched
from ..samplers import catalogue
from ..samplers.recommend import recommended
from ..samplers.sampling import trajectory

with untouched():
    from rich.console import Console
    from rich.table import Table

DIGITS = {
    "calls": 0,
    "seconds": 1,
    "frechet": 1,
    "frechet_low": 1,
    "frechet_high": 1,
    "confidence": 3,
    "nearest": 3,
}  # decimals shown
FLOW = "probability-flow ODE (recommended, 60 calls)"
SDE = "reverse SDE (Euler-Maruyama, 200 steps)"
MOVED = 3.0  # least mean change of grey level (0 to 255) between frames of the animation


def said(value: float | None, digits: int) -> str:
    """A number as text with fixed decimals; empty for None.

    Args:
        value: the number, or None.
        digits: decimals.
    """
    return "" if value is None else f"{value:.{digits}f}"


def draw_paths(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    seed: int,
    folder: Path,
) -> None:
    """Write trajectory.png, four samples from noise to data by the SDE and by the ODE, and flow.gif, 36 samples by the
    ODE.

    Args:
        denoiser: the trained model.
        shape: shape of one sample.
        seed: seed of the samples.
        folder: folder of the pictures.
    """
    process = denoiser.process
    columns = 11
    paths = {
        SDE: list(trajectory(denoiser, (36, *shape), catalogue.euler_maruyama(201, process), seed)),
        FLOW: list(trajectory(denoiser, (36, *shape), recommended(denoiser, 61), seed)),
    }
    levels = torch.linspace(-3.0, float(process.lam(process.t_data)), columns, device="cpu").tolist()
    rows: list[tuple[str, list[Tensor]]] = []

    for name, states in paths.items():
        rows.append((name, [_nearest(states, level)[:4] for level in levels]))

    images.save_trajectories(rows, levels, folder / "trajectory.png")
    images.save_gif(
        [images.tiled(x, columns=6, side=48) for x in moving([x for _, x in paths[FLOW]])], folder / "flow.gif"
    )


def _nearest(states: list[tuple[Tensor, Tensor]], level: float) -> Tensor:
    """The state x whose lam is nearest to a level, from pairs (lam, x)."""
    distances = [abs(float(lam) - level) for lam, _ in states]
    return states[distances.index(min(distances))][1]


def moving(states: list[Tensor]) -> list[Tensor]:
    """The states that differ visibly from the one kept before; the first and, if any state moved, the last are kept."""
    kept = [states[0]]

    for x in states[1:]:
        change = images.pixels(x).double() - images.pixels(kept[-1]).double()
        if change.abs().mean() >= MOVED:
            kept.append(x)

    if kept[-1] is not states[-1] and len(kept) > 1:
        kept[-1] = states[-1]

    return kept


def losses(folder: Path) -> tuple[list[int], list[float]]:
    """Steps and mean losses from a run's log.jsonl; lines without a loss are left out."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    whole = [line for line in lines if isinstance(line.get("loss"), float)]
    return [line["step"] for line in whole], [line["loss"] for line in whole]


def write_page(
    folder: Path,
    trained: Trained,
    judge: Judge,
    rows: list[dict[str, Any]],
    facts: dict[str, Any],
    command: str,
) -> None:
    """Write report.html, a self-contained page.

    Args:
        folder: folder of the demo, with its pictures.
        trained: the run.
        judge: the judge of the data.
        rows: the rows of the table (`demo.judged`).
        facts: numbers of the whole demo: floors, n, accuracy, seconds, device, threads, versions.
        command: the command line.
    """
    training = trained.about["training"]
    floors = facts["floors"]
    config = trained.config
    done = (
        f"{training['steps_done']} steps of {config.training.batch} in {training['seconds']:.0f} s, loss"
        f" {training['loss']:.4f} per element"
    )
    features = "the classifier" if judge.classifier else "32 principal components"
    reading = (
        f"Fréchet: distance of {facts['n']} samples from all real data, in the features of {features}, with 95 %"
        " intervals. Lower is better."
        " Methods whose intervals overlap cannot be told apart here. Real data show "
        + " and ".join(f"{v:.1f} ({k})" for k, v in floors.items())
        + ", which is as low as it gets. Nearest: mean distance per pixel to the closest training sample; far"
        " below that of real held-out data"
        " it would mean memorised samples."
    )
    page = [
        {**row, **{key: said(row.get(key), digits) for key, digits in DIGITS.items()}, **_shares(row)} for row in rows
    ]
    pictures = [("real, held out", "real"), *((row["name"], row["stem"]) for row in rows if not row["real"])]
    save_page(
        folder / "report.html",
        title="scoresde demo",
        subtitle=f"{trained.about['data']['name']}: one score network, {facts['n']} samples by each solver from"
        " the same seed",
        rows=page,
        labelled=judge.classifier is not None,
        classes=len(rows[0].get("class_shares", [])),
        reading=reading,
        trajectory=embedded(folder / "trajectory.png"),
        flow=embedded(folder / "flow.gif"),
        losses=embedded(folder / "loss.png"),
        pictures=[{"name": name, "uri": embedded(folder / f"samples_{stem}.png")} for name, stem in pictures],
        facts=[
            ("training", done),
            ("predicts", config.network.predicts),
            ("loss", repr(config.objective.loss)),
            ("process", repr(config.process)),
            ("parameters", f"{sum(p.numel() for p in trained.denoiser.network.parameters()):,}"),
            (
                "classifier",
                "none: the data has no labels"
                if judge.accuracy is None
                else f"{judge.accuracy:.1%} accuracy on held-out data",
            ),
            ("whole demo", f"{facts['seconds']:.0f} s on {facts['device']}, {facts['threads']} threads"),
            ("versions", ", ".join(f"{k} {v}" for k, v in facts["versions"].items())),
        ],
        command=command,
    )


def _shares(row: dict[str, Any]) -> dict[str, Any]:
    shares = row.get("class_shares", [])
    return {
        "shares": [max(1, round(130 * s)) for s in shares],
        "shares_text": ", ".join(f"{i}: {s:.1%}" for i, s in enumerate(shares)),
    }


def show_table(
    console: Console,
    judge: Judge,
    rows: list[dict[str, Any]],
    floors: dict[str, float],
) -> None:
    """Print the table of the report.

    Args:
        console: console to print on.
        judge: the judge of the data; if it has a classifier, the table has two more columns.
        rows: the rows of the table (`demo.judged`), in order.
        floors: Frechet distances between sets of real samples: name of the sets -> distance.
    """
    table = Table(
        caption="Fréchet: lower is better, 95 % intervals; floors: "
        + ", ".join(f"{k} {v:.2f}" for k, v in floors.items())
    )
    heads = [
        "method",
        "model calls",
        "seconds",
        "Fréchet",
        *(["confidence", "rarest class"] if judge.classifier else []),
        "nearest training",
    ]

    for head in heads:
        table.add_column(head, justify="left" if head == "method" else "right")

    for row in rows:
        cell = {key: said(row.get(key), digits) for key, digits in DIGITS.items()}
        distance = f"{cell['frechet']} ({cell['frechet_low']} to {cell['frechet_high']})"
        extra = [cell["confidence"], f"{min(row['class_shares']):.1%}"] if judge.classifier else []
        table.add_row(
            row["name"],
            cell["calls"],
            cell["seconds"],
            distance,
            *extra,
            cell["nearest"],
        )

    console.print(table)

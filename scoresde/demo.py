"""`scoresde demo`: one network trained on digits, the same noise through seven solvers, judged, drawn and reported."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from . import catalogue, report, runs
from .checkpoint import versions, write_json
from .config import Config
from .dataset import Dataset
from .denoiser import Denoiser
from .method import Method
from .metrics import Judge
from .sampling import sample, trajectory

TIGHT = 1e-3  # tolerance of the adaptive flow, far below the model's own error


def methods(config: Config) -> list[tuple[str, str, Method]]:
    """(name, file stem, method) of every row of the table."""
    process = config.process
    return [
        ("Euler-Maruyama, 1000", "euler_maruyama_1000", catalogue.euler_maruyama(1000, process)),
        ("Euler-Maruyama, 100", "euler_maruyama_100", catalogue.euler_maruyama(100, process)),
        ("SRA1, 50 steps", "sra1_50", catalogue.sra1(51)),
        (f"probability flow, Dormand-Prince {TIGHT:g}", "probability_flow", catalogue.probability_flow(TIGHT)),
        ("Heun (EDM), 19", "heun_19", catalogue.edm_heun(10)),
        ("DDIM, 20", "ddim_20", catalogue.ddim(20)),
        ("DDPM ancestral, 100", "ddpm_100", catalogue.ddpm(100)),
    ]


@dataclass
class Calls:
    """Network calls, counted at the network: samples passed through it, and batches."""

    rows: int = 0
    batches: int = 0


@contextmanager
def counting(network: torch.nn.Module) -> Generator[Calls, None, None]:
    """Count every call of `network` made inside."""
    calls = Calls()

    def count(module: Any, inputs: Any) -> None:
        calls.rows += len(inputs[0])
        calls.batches += 1

    handle = network.register_forward_pre_hook(count)
    try:
        yield calls
    finally:
        handle.remove()


def bars(console: Console) -> Progress:
    """Progress with a loss column and the time left; silent when not a terminal."""
    counts = (TextColumn("{task.completed}/{task.total}"), TextColumn("{task.fields[note]}"))
    clock = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *counts, *clock, console=console, disable=not console.is_terminal)


def train_with_bar(config: Config, data: Any, folder: Path, command: str, device: Any, console: Console, **options: Any) -> runs.Trained:
    """`runs.train` behind a progress bar; `options` are its own."""
    with bars(console) as progress:
        task = progress.add_task("training", total=config.training.steps, note="")
        smooth = 0.0

        def show(now: Any) -> None:
            nonlocal smooth
            smooth = now.loss if smooth == 0.0 else 0.98 * smooth + 0.02 * now.loss
            progress.update(task, completed=now.step, note=f"loss {smooth:.4f}")

        trained = runs.train(config, data, folder, command, device, show, **options)
    about = trained.about["training"]
    console.print(f"trained {about['steps_done']} steps in {about['seconds']:.0f} s, loss {about['loss']:.4f} per element")
    return trained


def run(config: Config, folder: Path, command: str, n: int, device: str, console: Console) -> None:
    """The whole demo, into `folder`."""
    begin = time.perf_counter()
    train, held_out = config.dataset().split(config.data.held_out)
    if len(train.shape) != 3:
        raise ValueError(f"`data` must be images for the demo, got points of shape {train.shape}; use scoresde train")
    if not (isinstance(train, Dataset) and isinstance(held_out, Dataset)):
        raise ValueError(f"`data` must fit into memory for the demo, got the mapped file {train.name}; use scoresde train")
    console.print(f"{train.name}: {len(train.x)} training and {len(held_out.x)} held-out samples of shape {tuple(train.x.shape[1:])}")
    trained = train_with_bar(config, train, folder, command, device, console, held_out=held_out)
    judge = Judge.of(train, held_out, config.training.seed)
    if judge.accuracy is not None:
        console.print(f"judge: a classifier of {judge.accuracy:.1%} held-out accuracy")
    rows = [{"name": "real, held out", "calls": None, "seconds": None, "real": True, **judge(held_out.x)}]
    with bars(console) as progress:
        chosen = methods(config)
        task = progress.add_task("sampling", total=len(chosen) + 1, note="")
        for name, stem, method in chosen:
            progress.update(task, note=name)
            x, calls, seconds = draw(trained.denoiser, (n, *trained.shape), method, config.training.seed)
            report.save_image(report.tiled(x, columns=16), folder / f"samples_{stem}.png")
            rows.append({"name": name, "stem": stem, "method": repr(method), "calls": calls, "seconds": seconds, "real": False, **judge(x)})
            progress.advance(task)
        progress.update(task, note="trajectories")
        draw_trajectories(trained.denoiser, trained.shape, config, folder)
        progress.advance(task)
    floors = {"halves of the real data": judge.floor(), f"{n} real samples": judge.floor(min(n, len(train.x)))}
    seconds = time.perf_counter() - begin
    facts: dict[str, Any] = {"accuracy": judge.accuracy, "floors": floors, "n": n, "seconds": seconds, "device": device}
    facts |= {"threads": torch.get_num_threads(), "versions": versions()}
    write_json(folder / "metrics.json", {"command": command, **facts, "training": trained.about["training"], "rows": rows})
    write_report(folder, trained, judge, rows, facts, command)
    show_table(console, judge, rows, floors)
    console.print(f"{seconds:.0f} s in all. Report: {folder / 'report.html'}")


def draw(denoiser: Denoiser, shape: tuple[int, ...], method: Method, seed: int) -> tuple[Tensor, float, float]:
    """Samples on the CPU, mean network calls per sample, seconds."""
    with counting(denoiser.network) as calls:
        start = time.perf_counter()
        x = sample(denoiser, shape, method, seed).cpu()
        return x, round(calls.rows / shape[0], 1), time.perf_counter() - start


def draw_trajectories(denoiser: Denoiser, shape: tuple[int, ...], config: Config, folder: Path) -> None:
    """trajectory.png and flow.gif."""
    seed, columns = config.training.seed, 11
    paths = {
        "reverse SDE (Euler-Maruyama, 200 steps)": list(trajectory(denoiser, (36, *shape), catalogue.euler_maruyama(201, config.process), seed)),
        "probability-flow ODE (DDIM, 100 steps)": list(trajectory(denoiser, (36, *shape), catalogue.ddim(101), seed)),
    }
    rows: list[tuple[str, list[Tensor]]] = []
    levels = torch.linspace(-4.0, float(config.process.lam(config.process.t_data)), columns).tolist()
    for name, states in paths.items():
        at = [min(range(len(states)), key=lambda k, s=states, level=level: abs(float(s[k][0]) - level)) for level in levels]
        rows.append((name, [states[k][1][:4] for k in at]))
    report.save_trajectories(rows, levels, folder / "trajectory.png")
    flow = paths["probability-flow ODE (DDIM, 100 steps)"]
    report.save_gif([report.tiled(x, columns=6, side=48) for _, x in flow[20::2]], folder / "flow.gif")


def write_report(folder: Path, trained: runs.Trained, judge: Judge, rows: list[dict[str, Any]], facts: dict[str, Any], command: str) -> None:
    """report.html, self-contained."""
    training, floors = trained.about["training"], facts["floors"]
    done = f"{training['steps_done']} steps of {trained.config.training.batch} in {training['seconds']:.0f} s, loss {training['loss']:.4f} per element"
    best = min((r for r in rows if not r["real"]), key=lambda r: r["frechet"])
    reading = (
        f"Fréchet distance to all real data, in the features of {'the classifier' if judge.classifier else '32 principal components'}; its floors are "
        + " and ".join(f"{v:.2f} ({k})" for k, v in floors.items())
        + f". Lowest here: {best['name']} with {best['frechet']:.2f}. The nearest-sample distance is the RMS per pixel to the closest training"
        + " sample; far below that of real held-out data it would mean memorisation."
    )
    page = [{**row, **{key: _text(row.get(key), digits) for key, digits in _DIGITS.items()}, **_shares(row)} for row in rows]
    report.save_page(
        folder / "report.html",
        title="scoresde demo",
        subtitle=f"{trained.about['data']['name']}: one score network, {facts['n']} samples by each solver from the same seed",
        rows=page,
        labelled=judge.classifier is not None,
        classes=len(rows[0].get("class_shares", [])),
        reading=reading,
        trajectory=report.embedded(folder / "trajectory.png"),
        flow=report.embedded(folder / "flow.gif"),
        pictures=[{"name": r["name"], "uri": report.embedded(folder / f"samples_{r['stem']}.png")} for r in rows if not r["real"]],
        facts=[
            ("training", done),
            ("process", repr(trained.config.process)),
            ("parameters", f"{sum(p.numel() for p in trained.denoiser.network.parameters()):,}"),
            ("classifier", "none: the data has no labels" if judge.accuracy is None else f"{judge.accuracy:.1%} accuracy on held-out data"),
            ("whole demo", f"{facts['seconds']:.0f} s on {facts['device']}, {facts['threads']} threads"),
            ("versions", ", ".join(f"{k} {v}" for k, v in facts["versions"].items())),
        ],
        command=command,
    )


_DIGITS = {"calls": 0, "seconds": 1, "frechet": 2, "confidence": 3, "nearest": 3}  # decimals shown, on the page and the terminal


def _text(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _shares(row: dict[str, Any]) -> dict[str, Any]:
    shares = row.get("class_shares", [])
    return {"shares": [max(1, round(130 * s)) for s in shares], "shares_text": ", ".join(f"{i}: {s:.1%}" for i, s in enumerate(shares))}


def show_table(console: Console, judge: Judge, rows: list[dict[str, Any]], floors: dict[str, float]) -> None:
    """The same table, on the terminal."""
    table = Table(caption="Fréchet floors: " + ", ".join(f"{k} {v:.2f}" for k, v in floors.items()))
    heads = ["method", "model calls", "seconds", "Fréchet", *(["confidence", "rarest class"] if judge.classifier else []), "nearest training"]
    for head in heads:
        table.add_column(head, justify="left" if head == "method" else "right")
    for row in rows:
        cell = {key: _text(row.get(key), digits) for key, digits in _DIGITS.items()}
        extra = [cell["confidence"], f"{min(row['class_shares']):.1%}"] if judge.classifier else []
        table.add_row(row["name"], cell["calls"], cell["seconds"], cell["frechet"], *extra, cell["nearest"])
    console.print(table)

"""`scoresde demo`: train one network on digits, solve from the same noise with many methods, evaluate and report."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import runs
from ..data.samples import Dataset
from ..denoisers.denoiser import Denoiser
from ..evaluation import distances
from ..evaluation.judge import Judge, frechet
from ..reports import images
from ..runs.config import Config, DataConfig, NetworkConfig
from ..runtime import distributed
from ..runtime.torch_state import untouched
from ..samplers import catalogue
from ..samplers.method import Method
from ..samplers.recommend import recommended
from ..samplers.sampling import sample
from ..storage.files import versions, write_json
from ..training.losses import PlainV
from ..training.norms import Huber
from ..training.objective import Objective
from ..training.state import Training
from .demo_page import draw_paths, losses, show_table, write_page
from .progress import counting, progress, train_with_bar

with untouched():
    from rich.console import Console

TIGHT = 1e-3  # tolerance of the adaptive flow, far below the model's own error
SHOWN = 16  # samples of each method in the pictures; TILE: pixels per side of each
TILE = 56


def recipe(data: str = "digits", steps: int = 2500, seed: int = 0) -> Config:
    """Configuration of the demo: the network predicts v and is trained with the Huber loss. Of eleven losses this one
    gave the digits of smallest Frechet distance after six processor minutes (docs/losses.md).

    Args:
        data: name of a data set, or a path.
        steps: training steps.
        seed: seed of training.
    """

    objective = Objective(PlainV(norm=Huber()))
    return Config(
        data=DataConfig(path=data),
        network=NetworkConfig(predicts="v"),
        objective=objective,
        training=Training(steps=steps, lr=4e-3, seed=seed),
    )


def methods(denoiser: Denoiser) -> list[tuple[str, str, Method]]:
    """(name, stem of file names, method) for each row of the table."""
    process = denoiser.process
    return [
        ("recommended, 10", "recommended_10", recommended(denoiser, 10)),
        ("recommended, 20", "recommended_20", recommended(denoiser, 20)),
        (f"probability flow, adaptive {TIGHT:g}", "probability_flow", catalogue.probability_flow(TIGHT)),
        ("Heun (EDM), 19", "heun_19", catalogue.edm_heun(10)),
        ("DDIM, 20", "ddim_20", catalogue.ddim(20)),
        ("SDE: Euler-Maruyama, 100", "euler_maruyama_100", catalogue.euler_maruyama(100, process)),
        ("SDE: SRA1, 101", "sra1_101", catalogue.sra1(51)),
        ("SDE: DDPM ancestral, 100", "ddpm_100", catalogue.ddpm(100)),
    ]


def train(
    config: Config,
    folder: Path,
    command: str,
    quiet: bool,
    width: int | None,
) -> None:
    """Train, in each of the processes that train together.

    Args:
        config: configuration of the run.
        folder: the run folder, locked by the caller.
        command: the command line, for the record of the run.
        quiet: True: nothing is printed.
        width: columns of the output; None: those of the terminal.
    """
    data, held_out = config.dataset().split(config.data.held_out)
    console = Console(quiet=quiet or distributed.rank() > 0, highlight=False, markup=False, emoji=False, width=width)
    train_with_bar(
        config,
        data,
        folder,
        command,
        "cpu",
        console,
        held_out=held_out,
        held=True,
    )


def run(
    config: Config,
    folder: Path,
    command: str,
    n: int,
    device: str,
    console: Console,
    workers: int | None = None,
) -> None:
    """Run the whole demo: train, sample by each method, evaluate, and write the report.

    Args:
        config: configuration of the run.
        folder: folder to write, locked by the caller (`ownership.writing`).
        command: the command line, for the record of the run.
        n: samples of each method.
        device: device of the network.
        console: console for messages.
        workers: processes that train together on a CPU; None: one per core, at most two.

    Raises:
        ValueError: naming `data` if it does not hold images, or does not fit into memory.
    """

    begin = time.perf_counter()
    data, held_out = config.dataset().split(config.data.held_out)
    if len(data.shape) != 3:
        raise ValueError(f"`data` must be images for the demo, got points of shape {data.shape}; use scoresde train")
    if not (isinstance(data, Dataset) and isinstance(held_out, Dataset)):
        raise ValueError(
            f"`data` must fit into memory for the demo, got the mapped file {data.name}; use scoresde train"
        )

    console.print(
        f"{data.name}: {len(data.x)} training and {len(held_out.x)} held-out samples of shape {tuple(data.x.shape[1:])}"
    )

    if device == "cpu":
        count = min(2, os.cpu_count() or 1) if workers is None else workers
        distributed.together(
            count,
            train,
            config,
            folder,
            command,
            console.quiet,
            None if console.is_terminal else console.width,
        )
    else:
        train_with_bar(
            config,
            data,
            folder,
            command,
            device,
            console,
            held_out=held_out,
            held=True,
        )

    trained = runs.load(folder, device)
    judge = Judge.of(data, held_out, config.training.seed)
    if judge.accuracy is not None:
        console.print(f"judge: a classifier of {judge.accuracy:.1%} held-out accuracy")

    known = torch.cat([data.x, held_out.x])
    rows = [judged(judge, held_out.x, known, name="real, held out", real=True)]
    chosen = methods(trained.denoiser)
    images.save_image(
        images.tiled(held_out.x[:SHOWN], columns=SHOWN // 2, side=TILE, gap=4), folder / "samples_real.png"
    )

    with progress(console, "sampling", len(chosen)) as tell:
        for done, (name, stem, method) in enumerate(chosen, 1):
            x, calls, seconds = draw(trained.denoiser, (n, *trained.shape), method, config.training.seed)
            images.save_image(
                images.tiled(x[:SHOWN], columns=SHOWN // 2, side=TILE, gap=4), folder / f"samples_{stem}.png"
            )
            about = {
                "name": name,
                "stem": stem,
                "method": repr(method),
                "calls": calls,
                "seconds": seconds,
                "real": False,
            }
            rows.append(judged(judge, x, known, **about))
            tell(done, name)

    draw_paths(trained.denoiser, trained.shape, config.training.seed, folder)
    images.save_losses(*losses(folder), folder / "loss.png")
    rows[1:] = sorted(rows[1:], key=lambda row: row["frechet"])
    floors = {"halves of the real data": judge.floor(), f"{n} real samples": judge.floor(min(n, len(data.x)))}
    facts: dict[str, Any] = {
        "accuracy": judge.accuracy,
        "floors": floors,
        "n": n,
        "seconds": time.perf_counter() - begin,
        "device": device,
    }
    facts |= {"threads": torch.get_num_threads(), "versions": versions()}
    write_json(
        folder / "metrics.json", {"command": command, **facts, "training": trained.about["training"], "rows": rows}
    )
    write_page(
        folder,
        trained,
        judge,
        rows,
        facts,
        command,
    )
    show_table(console, judge, rows, floors)
    console.print(f"{facts['seconds']:.0f} s in all. Report: {folder / 'report.html'}")


def judged(
    judge: Judge,
    x: Tensor,
    known: Tensor,
    **about: Any,
) -> dict[str, Any]:
    """A row of the table: the scores of the judge, and a 95 % interval of the Frechet distance.

    Args:
        judge: the judge of the data.
        x: samples, (B, ...).
        known: all real samples, in any order.
        about: other entries of the row.
    """
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(0), device="cpu")
    interval = distances.estimate(
        frechet, judge.features(x.cpu().float()), judge.features(known[order]), blocks=min(20, len(x))
    )
    plain = {"calls": None, "seconds": None, **about, **judge(x)}
    return {**plain, "frechet_low": max(0.0, interval.low), "frechet_high": interval.high}


def draw(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    method: Method,
    seed: int,
) -> tuple[Tensor, float, float]:
    """Draw samples. Returns (samples on the CPU, mean network calls per sample, seconds).

    Args:
        denoiser: the trained model.
        shape: shape of the samples, (B, ...).
        method: sampling method.
        seed: seed of the samples.
    """
    with counting(denoiser.network) as calls:
        start = time.perf_counter()
        x = sample(denoiser, shape, method, seed).cpu()
        return x, round(calls.rows / shape[0], 1), time.perf_counter() - start

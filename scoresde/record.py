"""What a run notes while it trains: log.jsonl, TensorBoard where it is installed, pictures and their quality.

A line of log.jsonl every few steps: step, mean loss, gradient norm, rate, samples a second, and `levels`, the mean loss in equal
cells of lam (half the log-SNR), each named by its middle: where a network is weak shows there and nowhere else.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import TRAIN_NOISE, TRAIN_TIME

from . import catalogue, conditions, distances, metrics, report
from .checkpoint import write_whole
from .dataset import Samples
from .denoiser import Denoiser
from .process import Process
from .sampling import evaluating, sample
from .state import Training
from .training import Objective, Progress

CELLS = 8
_HELD_OUT = (1 << 28) - 1  # the step whose noise the held-out loss is taken with: the last there is
_DRAWN, _JUDGED = 256, 10_000  # samples drawn, real ones they are compared with


@dataclass(frozen=True)
class Record:
    """How often a run notes and keeps, in steps. Raises TypeError or ValueError naming the field.

    save  between checkpoints;  log  between lines of log.jsonl;  sample  between pictures with their quality, 0: never"""

    save: int = 200
    log: int = 20
    sample: int = 0

    def __post_init__(self) -> None:
        check.integer("save", self.save)
        check.integer("log", self.log)
        check.integer("sample", self.sample, least=0)


class Journal:
    """log.jsonl of a run folder, from the step after `start` on; what a killed run had noted beyond it goes."""

    def __init__(self, folder: Path, record: Record, process: Process, start: int):
        self.path, self.record, self.process = folder / "log.jsonl", record, process
        self.seen: list[Progress] = []
        self.since = time.perf_counter()
        write_whole(self.path, "".join(line + "\n" for line in _lines(self.path) if json.loads(line)["step"] <= start).encode())
        self.board = _board(folder, start)

    def note(self, progress: Progress) -> None:
        """One step; a line where it is due."""
        self.seen.append(progress)
        if progress.step % self.record.log == 0:
            done = [p for p in self.seen if not p.skipped]
            seconds = time.perf_counter() - self.since
            rows: dict[str, Any] = {"loss": _mean([p.loss for p in done]), "grad_norm": _mean([p.grad_norm for p in done]), "rate": progress.rate}
            rows |= {"samples_per_second": round(sum(len(p.t) for p in self.seen) / seconds, 1), "skipped": len(self.seen) - len(done)}
            if done:
                t, losses = (torch.cat([getattr(p, name) for p in done]) for name in ("t", "losses"))
                rows["levels"] = by_level(t, losses, self.process)
            self.write(progress.step, rows)
            self.seen, self.since = [], time.perf_counter()

    def write(self, step: int, rows: dict[str, Any]) -> None:
        """Append a line, and hand the same to TensorBoard."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **rows}, allow_nan=False) + "\n")
        if self.board is not None:
            levels = {f"levels/{lam}": value for lam, value in rows.get("levels", {}).items()}
            for name, value in {**rows, **levels}.items():
                if isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, step)


def _board(folder: Path, start: int) -> Any:
    """TensorBoard's writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)


def _lines(path: Path) -> list[str]:
    """The whole lines of a log: a kill may have cut the last one."""
    return [line for line in path.read_text(encoding="utf-8").split("\n")[:-1] if line] if path.is_file() else []


def _mean(values: list[float]) -> float | None:
    return _short(math.fsum(values) / len(values)) if values else None


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def by_level(t: Tensor, losses: Tensor, process: Process) -> dict[str, float]:
    """Mean loss in equal cells of lam between the ends of the process, by the cell's middle; cells without a sample are absent."""
    ends = torch.tensor([process.t_noise, process.t_data], dtype=torch.float64, device="cpu")
    low, high = check.values(process.lam(ends).clamp(-20.0, 20.0))
    cell = ((process.lam(t.double()) - low) / (high - low) * CELLS).floor().clamp(0, CELLS - 1)
    middles = {k: f"{low + (k + 0.5) * (high - low) / CELLS:.2f}" for k in range(CELLS)}
    return {name: _short(losses[cell == k].double().mean().item()) for k, name in middles.items() if bool((cell == k).any())}


def held_out_loss(denoiser: Denoiser, data: Samples, objective: Objective, training: Training) -> float:
    """Mean objective over at most 512 samples, with noise that never changes: comparable from step to step."""
    some = data.head(512)
    x, given = some.x, some.cond
    if given is None and training.label_dropout is not None:
        given = some.labels
    device, step, size = next(denoiser.parameters()).device, range(_HELD_OUT, _HELD_OUT + 1), training.batch
    u = SeededNoise(training.seed).uniform(TRAIN_TIME, step, (len(x), 1)).flatten()
    t, weight = objective.draw(u, denoiser.process)
    parts: list[Tensor] = []
    with evaluating(denoiser), torch.no_grad():
        for i in range(0, len(x), size):
            rows = slice(i, i + size)
            x0 = x[rows].to(device)
            cond = conditions.prepared(conditions.rows(given, rows), len(x0), device)
            eps = SeededNoise(training.seed, i).normal(TRAIN_NOISE, step, x0.shape, x0.dtype, device)[0]
            parts.append(objective(denoiser, x0, t[rows], weight[rows], eps, cond).detach())
    return torch.cat(parts).double().mean().item()


class Gallery:
    """Pictures while training, and how far the samples are from held-out data."""

    def __init__(self, folder: Path, train: Samples, held_out: Samples | None, seed: int):
        self.folder, self.seed, self.shape = folder / "samples", seed, train.shape
        self.held_out = None if held_out is None else held_out.head(_JUDGED)
        images = self.held_out is not None and len(self.shape) == 3
        self.judge = metrics.Judge.of(train.head(_JUDGED), self.held_out, seed) if images and self.held_out is not None else None

    def draw(self, denoiser: Denoiser, step: int) -> dict[str, float]:
        """Samples by DDIM in 20 calls: a grid of images, and {frechet} for images, {sliced_w2} for points where there is held-out data."""
        x = sample(denoiser, (_DRAWN, *self.shape), catalogue.ddim(20), self.seed, next(denoiser.parameters()).device).cpu()
        if len(self.shape) == 3:
            report.save_image(report.tiled(x[:64], columns=8), self.folder / f"step-{step:08d}.png")
            return {} if self.judge is None else {"frechet": self.judge(x)["frechet"]}
        if self.held_out is None:
            return {}
        real = self.held_out.x[:_DRAWN]
        return {"sliced_w2": distances.sliced(x, real)}



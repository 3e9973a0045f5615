"""The log of a run: log.jsonl, and TensorBoard if it is installed.

Every few steps a line of log.jsonl holds the step, mean loss, gradient norm, learning rate, samples per second, number
of skipped steps, and `levels`. `levels` is the mean loss in equal bins of lam (half the log-SNR), keyed by the centre
of the bin. It shows at which noise levels the network is weak.
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

from solvers import check

from ..processes.base import Process
from ..storage.files import write_whole
from ..training.objective import Progress

CELLS = 8  # bins of lam


@dataclass(frozen=True)
class Record:
    """How often a run logs and saves, in training steps. Raises TypeError or ValueError naming the field.

    save    steps between checkpoints
    log     steps between lines of log.jsonl
    sample  steps between pictures of samples, with their quality; 0: never"""

    save: int = 200
    log: int = 20
    sample: int = 0

    def __post_init__(self) -> None:
        check.integer("save", self.save)
        check.integer("log", self.log)
        check.integer("sample", self.sample, least=0)


class Journal:
    """Writes log.jsonl of a run folder, from the step after `start`. Lines of later steps, left by a killed run, are
    removed."""

    def __init__(
        self,
        folder: Path,
        record: Record,
        process: Process | None,
        start: int,
    ):
        self.path = folder / "log.jsonl"
        self.record = record
        self.process = process
        self.seen: list[Progress] = []
        self.since = time.perf_counter()
        write_whole(
            self.path, "".join(line + "\n" for line in _lines(self.path) if json.loads(line)["step"] <= start).encode()
        )
        self.board = _board(folder, start)

    def note(self, progress: Progress) -> None:
        """Record one training step. Every `record.log` steps a line is written."""
        self.seen.append(progress)

        if progress.step % self.record.log == 0:
            done = [p for p in self.seen if not p.skipped]
            seconds = time.perf_counter() - self.since
            rows: dict[str, Any] = {
                "loss": _mean([p.loss for p in done]),
                "grad_norm": _mean([p.grad_norm for p in done]),
                "rate": progress.rate,
            }
            rows |= {
                "samples_per_second": round(sum(len(p.t) for p in self.seen) / seconds, 1),
                "skipped": len(self.seen) - len(done),
            }

            if done and self.process is not None:
                t, losses = (torch.cat([getattr(p, name) for p in done]) for name in ("t", "losses"))
                rows["levels"] = by_level(t, losses, self.process)

            self.write(progress.step, rows)
            self.seen = []
            self.since = time.perf_counter()

    def write(self, step: int, rows: dict[str, Any]) -> None:
        """Append a line to the log, and send its numbers to TensorBoard.

        Args:
            step: number of the training step.
            rows: values by name, as JSON has them.
        """
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **rows}, allow_nan=False) + "\n")

        if self.board is not None:
            levels = {f"levels/{lam}": value for lam, value in rows.get("levels", {}).items()}
            for name, value in {**rows, **levels}.items():
                if isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, step)


def _board(folder: Path, start: int) -> Any:
    """TensorBoard's writer, or None if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)


def _lines(path: Path) -> list[str]:
    """The complete lines of a log. The last one is left out if a kill cut it off."""
    return [line for line in path.read_text(encoding="utf-8").split("\n")[:-1] if line] if path.is_file() else []


def _mean(values: list[float]) -> float | None:
    return _short(math.fsum(values) / len(values)) if values else None


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def by_level(t: Tensor, losses: Tensor, process: Process) -> dict[str, float]:
    """Mean loss in equal bins of lam = log(alpha/sigma) between the ends of the process.

    Args:
        t: times of the samples, (N,).
        losses: losses at these times, (N,).
        process: converts times to lam.

    Returns:
        {centre of the bin: mean loss}; bins without a sample are absent.
    """

    ends = torch.tensor([process.t_noise, process.t_data], dtype=torch.float64, device="cpu")
    low, high = check.values(process.lam(ends).clamp(-20.0, 20.0))
    cell = ((process.lam(t.double()) - low) / (high - low) * CELLS).floor().clamp(0, CELLS - 1)
    middles = {k: f"{low + (k + 0.5) * (high - low) / CELLS:.2f}" for k in range(CELLS)}

    return {
        name: _short(losses[cell == k].double().mean().item()) for k, name in middles.items() if bool((cell == k).any())
    }

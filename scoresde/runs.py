"""Train a model from a configuration, save it with everything needed to repeat it, load it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.optim.swa_utils import AveragedModel

from .checkpoint import CheckpointError, load_run, restore, save_run
from .config import Config, parse
from .data import Dataset
from .denoiser import Denoiser
from .training import Progress, average, fit


@dataclass(frozen=True)
class Trained:
    """A model and where it came from. `denoiser` has the averaged weights; `shape` is one sample's."""

    denoiser: Denoiser
    config: Config
    shape: tuple[int, ...]
    about: dict[str, Any]

    @property
    def scaling(self) -> tuple[float, float]:
        """(centre, half_range): original = x * half_range + centre."""
        return self.about["data"]["centre"], self.about["data"]["half_range"]


def train(config: Config, data: Dataset, folder: Path, command: str, device: Any = "cpu", report: Callable[[Progress], None] | None = None) -> Trained:
    """Train on `data` and save to `folder`; interrupted by Ctrl-C, save what there is and let the interrupt through."""
    shape = tuple(data.x.shape[1:])
    denoiser = config.denoiser(shape)
    ema = average(denoiser.network, config.training.ema).to(device)
    losses: list[float] = []
    about: dict[str, Any] = {}
    start = time.perf_counter()
    try:
        for progress in fit(denoiser, data, config.training, ema, device):
            losses.append(progress.loss)
            if report is not None:
                report(progress)
    finally:
        if losses:
            about = _about(config, data, command, losses, time.perf_counter() - start)
            save_run(folder, denoiser.network, ema.module, about)
    return Trained(_averaged(denoiser, ema), config, shape, about)


def _averaged(denoiser: Denoiser, ema: AveragedModel) -> Denoiser:
    return Denoiser(ema.module, denoiser.process, denoiser.table, time=denoiser.time).eval()


def _about(config: Config, data: Dataset, command: str, losses: list[float], seconds: float) -> dict[str, Any]:
    tail = losses[-min(len(losses), 100) :]
    return {
        "command": command,
        "config": config.as_dict(),
        "data": {"name": data.name, "count": len(data.x), "shape": list(data.x.shape[1:]), "centre": data.centre, "half_range": data.half_range},
        "training": {"steps_done": len(losses), "seconds": round(seconds, 1), "loss": sum(tail) / len(tail)},
    }


def load(folder: Path, device: Any = "cpu") -> Trained:
    """The model of a run folder, with its averaged weights. Raises CheckpointError or ConfigError."""
    run = load_run(folder)
    try:
        config, shape = parse(run.about["config"]), tuple(run.about["data"]["shape"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / 'run.json'} lacks {error}") from error
    denoiser = config.denoiser(shape)
    restore(denoiser.network, run.part("ema"), folder / "model.safetensors")
    return Trained(denoiser.to(device).eval(), config, shape, run.about)

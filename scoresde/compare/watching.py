"""The cost of a solve, and a description of the machine."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..storage import files
from .competitors import OURS
from .problems import Problem
from .rows import Environment, Spent


def watched(
    case: Problem,
    run: Callable[[], Tensor],
    count: int,
    device: str,
) -> tuple[Tensor, Spent]:
    """Run a solve and measure its cost.

    Args:
        case: the problem; calls of its denoiser are counted.
        run: the solve.
        count: number of samples.
        device: device of the solve, whose memory is measured.

    Returns:
        The result of the solve; model calls per sample, batched calls, seconds, and peak memory in MiB above the
        memory in use before.
    """

    seen: list[int] = []
    handle = case.denoiser.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    before = _memory(device, reset=True)
    start = time.perf_counter()

    try:
        y = run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
    finally:
        handle.remove()

    seconds = time.perf_counter() - start
    after = _memory(device)
    peak = None if before is None or after is None else round(max(0.0, after - before), 2)

    return y, {"calls": sum(seen) / count, "batched_calls": len(seen), "seconds": seconds, "peak_mib": peak}


def _memory(device: str, reset: bool = False) -> float | None:
    """Peak memory in MiB since the last call with `reset`, which resets it; None if the system does not report it."""
    if device.startswith("cuda"):
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 2**20

    status = Path("/proc/self/status")

    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the memory in use now

        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


@functools.cache
def environment(family: str) -> Environment:
    """Software and machine on which a measurement depends: versions, processor, threads, commit, date."""
    import importlib.metadata

    root = Path(__file__).parents[2]
    commit = None

    if (root / ".git").exists():  # the checkout of the project, not the working folder
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=root, check=False
        )
        commit = done.stdout.strip() or None

    versions = files.versions() | ({} if family == OURS else {family: importlib.metadata.version(family)})

    return {
        "versions": versions,
        "machine": platform.machine(),
        "system": sys.platform,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }

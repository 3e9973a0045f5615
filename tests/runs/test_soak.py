"""Soak: hundreds of tiny runs in one process leave no file, thread, descriptor or memory behind."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch

from scoresde import cli, runs
from scoresde.compare import runner
from tests.helpers.kill_harness import CONFIG, points

CYCLES, WARM = 500, 40
TINY = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, steps=2, posthoc=0))
LONGER = dataclasses.replace(TINY, training=dataclasses.replace(TINY.training, steps=3))
BESIDE = {
    ".scoresde",
    "checkpoints",
    "log.jsonl",
    "model.safetensors",
    "moments.safetensors",
    "run.json",
    "samples.npz",
}


def resident() -> float:
    """MiB that the process holds."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def held() -> tuple[int, int]:
    """Threads and open descriptors."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def cycle(folder: Path, k: int) -> None:
    """Train two steps, resume for a third, sample through the command line, measure a row."""
    run = folder / f"run{k % 3}"
    runs.train(TINY, points(), run, "tests")
    runs.train(LONGER, points(), run, "tests", resume=True)
    sys.argv = ["scoresde", "sample", str(run), "--n", "2", "--steps", "2"]
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    out = folder / f"rows{k % 3}"
    out.mkdir(exist_ok=True)
    store = runner.Store(out)
    runner.run(runner.tasks(["gaussian3"], ["ddim"], [3 + k % 5], 1), store)


def soak(folder: Path) -> tuple[tuple[int, int], list[float]]:
    """Threads and descriptors that the process holds more after all cycles than after the first, and MiB that each
    half of them added."""
    torch.set_num_threads(1)
    os.fsync = lambda _: None  # what is waited for at the disk is no part of the law
    memory: list[float] = []
    threads, files = held()

    for k in range(CYCLES):
        if k in (WARM, (WARM + CYCLES) // 2):
            gc.collect()
            memory.append(resident())
        if k == WARM:
            threads, files = held()
        cycle(folder, k)

    gc.collect()
    memory.append(resident())
    threads_after, files_after = held()

    return (threads_after - threads, files_after - files), [b - a for a, b in itertools.pairwise(memory)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
def test_five_hundred_cycles_leave_nothing_behind(tmp_path: Path) -> None:
    """Files: those of three runs and three comparisons, no temporary. Threads and descriptors: as after the first
    cycles. Memory: a leak grows in either half, of 230 cycles, where the allocator takes a reserve once. In a process
    of its own, which no other test has filled."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        more, grown = pool.submit(soak, tmp_path).result()

    assert more == (0, 0)
    assert min(grown) < 4.0
    assert {path.name for path in tmp_path.iterdir()} == {f"{kind}{k}" for kind in ("run", "rows") for k in range(3)}
    for k in range(3):
        assert {path.name for path in (tmp_path / f"run{k}").iterdir()} == BESIDE
        assert len(list((tmp_path / f"run{k}" / "checkpoints").iterdir())) == 2
        assert len((tmp_path / f"rows{k}" / "rows.jsonl").read_text().splitlines()) == 5

"""Soak: hundreds of tiny runs in one process leave no file, thread, descriptor or memory behind."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

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


class Arenas(ctypes.Structure):
    """What `mallinfo2` of the C library answers, in bytes; `mapped` are large blocks of their own."""

    _fields_ = tuple(
        (name, ctypes.c_size_t) for name in ("arena", "o", "s", "h", "mapped", "u", "f", "in_use", "free", "releasable")
    )


class Held(NamedTuple):
    """What the process holds. Bytes are those in use: what the allocator keeps in reserve differs between machines."""

    threads: int
    descriptors: int
    python_blocks: int
    native_bytes: int


def held() -> Held:
    """What the process holds now."""
    gc.collect()
    arenas = ctypes.CDLL(None).mallinfo2
    arenas.restype = Arenas
    native = arenas()

    return Held(
        threading.active_count(),
        len(os.listdir("/proc/self/fd")),
        sys.getallocatedblocks(),
        native.in_use + native.mapped,
    )


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


def soak(folder: Path) -> tuple[Held, Held]:
    """What the process holds after the first cycles, and after all."""
    torch.set_num_threads(1)
    os.fsync = lambda _: None  # what is waited for at the disk is no part of the law

    for k in range(WARM):
        cycle(folder, k)
    before = held()

    for k in range(WARM, CYCLES):
        cycle(folder, k)
    return before, held()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="no mallinfo2: not the GNU C library")
def test_five_hundred_cycles_leave_nothing_behind(tmp_path: Path) -> None:
    """Files: those of three runs and three comparisons, no temporary. Threads and descriptors: as after the first
    cycles. Memory: less than a KiB and five of Python's blocks a cycle. In a process of its own, which no
    other test has filled."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        before, after = pool.submit(soak, tmp_path).result()

    cycles = CYCLES - WARM
    assert after.threads == before.threads
    assert after.descriptors == before.descriptors
    assert after.python_blocks - before.python_blocks < 5 * cycles
    assert after.native_bytes - before.native_bytes < 1024 * cycles
    assert {path.name for path in tmp_path.iterdir()} == {f"{kind}{k}" for kind in ("run", "rows") for k in range(3)}
    for k in range(3):
        assert {path.name for path in (tmp_path / f"run{k}").iterdir()} == BESIDE
        assert len(list((tmp_path / f"run{k}" / "checkpoints").iterdir())) == 2
        assert len((tmp_path / f"rows{k}" / "rows.jsonl").read_text().splitlines()) == 5

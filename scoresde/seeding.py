"""Global random state, put back: torch's own, which layers draw from, and Python's, which a library draws from when it is imported."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from solvers import check


@contextmanager
def seeded(seed: int, device: Any = "cpu") -> Generator[None, None, None]:
    """Inside, torch's generators of the CPU and of `device` start from `seed`; outside, nothing changed."""
    check.seed("seed", seed)
    gpu = torch.device(device).type == "cuda"
    with torch.random.fork_rng(devices=[device] if gpu else []):
        torch.default_generator.manual_seed(seed)
        if gpu:
            torch.cuda.manual_seed(seed)
        yield


@contextmanager
def single_precision_on(device: Any) -> Generator[None, None, None]:
    """Inside, new weights are float32 on `device`, whatever torch's defaults are; outside, nothing changed."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def untouched() -> Generator[None, None, None]:
    """Around an import of rich, or of scikit-learn, which imports it: rich draws from Python's generator when it is imported."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)

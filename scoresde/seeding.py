"""Random state of torch's own, set from a seed and put back: for layers, which draw from it."""

from __future__ import annotations

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

"""Weights drawn from a seed, with the global random state left as it was."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from solvers import check


@contextmanager
def seeded(seed: int) -> Generator[None, None, None]:
    """Inside, torch's CPU generator starts from `seed`; outside, nothing changed. For layers, which draw from it."""
    check.seed("seed", seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield

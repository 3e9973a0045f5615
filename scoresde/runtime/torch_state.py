"""Global random state, put back: torch's own, which layers draw from, and Python's, which a library draws from when it
is imported."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from solvers import check

_MODES = threading.Lock()
_HELD: dict[torch.nn.Module, tuple[bool, int]] = {}  # modules held in eval mode: the mode before, and by how many


@contextmanager
def seeded(seed: int, device: Any = "cpu") -> Generator[None, None, None]:
    """Inside, torch's generators of the CPU and of `device` start from `seed`; outside, nothing changed.

    Args:
        seed: in [0, 2^63).
        device: a GPU of CUDA, whose generator is seeded too; any other adds nothing to the CPU.
    """
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
    """Around an import of rich, or of scikit-learn, which imports it: rich draws from Python's generator when it is
    imported."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def evaluating(module: torch.nn.Module) -> Generator[None, None, None]:
    """Eval mode, each submodule's own mode restored after: dropout would make an adaptive error estimate never fall.

    Where several threads use a module at once, it stays in eval mode until the last has finished."""

    parts = list(module.modules())

    with _MODES:
        found = [
            _HELD.get(part, (part.training, 0)) for part in parts
        ]  # before any is set: a compiled module shares its mode with its part
        for part, (mode, users) in zip(parts, found, strict=True):
            _HELD[part] = mode, users + 1
            part.training = False

    try:
        yield
    finally:
        with _MODES:
            for part in parts:
                mode, users = _HELD.pop(part)
                if users > 1:
                    _HELD[part] = mode, users - 1
                else:
                    part.training = mode

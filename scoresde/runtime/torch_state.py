"""Contexts that restore global state at their end: random generators of torch and Python, the default dtype, and the
eval mode of modules."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from solvers import check

_MODES = threading.Lock()
_HELD: dict[torch.nn.Module, tuple[bool, int]] = {}  # modules held in eval mode: (mode before, number of users)


@contextmanager
def seeded(seed: int, device: Any = "cpu") -> Generator[None, None, None]:
    """Inside this context, torch's random generators start from `seed`. Afterwards their former state is restored.

    Args:
        seed: in [0, 2^63).
        device: if it is a CUDA GPU, its generator is seeded too; otherwise only that of the CPU.
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
    """Inside this context, new weights are float32 on `device`. Afterwards torch's former defaults are restored."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)

    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def untouched() -> Generator[None, None, None]:
    """Restore the state of Python's random generator afterwards.

    Needed around an import of rich, or of scikit-learn, which imports rich: rich draws random numbers when it is
    imported."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def evaluating(module: torch.nn.Module) -> Generator[None, None, None]:
    """Put a module into eval mode; afterwards each submodule gets its former mode back.

    With dropout, the error estimate of an adaptive solver would never fall. If several threads use a module at once, it
    stays in eval mode until the last has finished."""

    parts = list(module.modules())

    with _MODES:
        found = [
            _HELD.get(part, (part.training, 0)) for part in parts
        ]  # all modes are read before any is set: a compiled module shares its mode with the module inside
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

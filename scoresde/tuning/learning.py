"""Functions for all tuners: a check of their arguments, and the mode of the model during learning."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..runtime.torch_state import evaluating
from .pairs import Features


def check_tuner(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    calls: int,
    seconds: float | None,
    seed: int,
    features: Features | None,
    batch: int,
    on_look: Callable[[], Any],
) -> None:
    """Check the arguments that all tuners have.

    Args:
        denoiser: the model, with its training process.
        shape: of one sample.
        calls: network calls of a sample, 2 or more.
        seconds: limit of the time, above 0, or None.
        seed: of all latents.
        features: of samples, (B, ...) -> (B, ...), or None.
        batch: latents solved at once, 1 or more.
        on_look: a function without arguments.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    if not isinstance(denoiser, BaseDenoiser):
        raise TypeError(f"`denoiser` must be a Denoiser, got {type(denoiser).__name__}")
    if denoiser.process is None:
        raise ValueError(
            "`denoiser` must know its training process, over whose range it is tuned, got one with process None"
        )

    check.shape("shape", shape)
    check.integer("calls", calls, least=2)
    check.seed("seed", seed)
    check.integer("batch", batch)
    check.takes("on_look", on_look, 0, "()")
    if features is not None:
        check.takes("features", features, 1, "(B, ...) -> (B, ...)")
    if seconds is not None:
        check.number("seconds", seconds, above=0.0)


@contextmanager
def as_it_samples(denoiser: BaseDenoiser) -> Generator[None, None, None]:
    """Context in which the model is in eval mode and its weights take no gradients. At the end both are restored.

    Args:
        denoiser: the model.
    """
    learning = [weight for weight in denoiser.parameters() if weight.requires_grad]
    for weight in learning:
        weight.requires_grad_(False)

    try:
        with evaluating(denoiser), torch.enable_grad():
            yield
    finally:
        for weight in learning:
            weight.requires_grad_(True)

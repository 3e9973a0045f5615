"""Functions for all tuners: a check of the model, and its mode during learning."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from ..denoisers.denoiser import BaseDenoiser
from ..runtime.torch_state import evaluating


def check_model(denoiser: BaseDenoiser) -> None:
    """Raise TypeError or ValueError naming `denoiser` if it is no denoiser or has no training process.

    Args:
        denoiser: the model.
    """
    if not isinstance(denoiser, BaseDenoiser):
        raise TypeError(f"`denoiser` must be a Denoiser, got {type(denoiser).__name__}")
    if denoiser.process is None:
        raise ValueError(
            "`denoiser` must know its training process, over whose range it is tuned, got one with process None"
        )


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

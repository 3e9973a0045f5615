"""Noised samples, and the process of a denoiser."""

from __future__ import annotations

from torch import Tensor

from ..denoisers.denoiser import BaseDenoiser
from ..processes.base import Process
from ..processes.coefficients import like


def process_of(denoiser: BaseDenoiser) -> Process:
    if denoiser.process is None:
        raise ValueError(
            f"`denoiser` must have a process to be trained on, got {type(denoiser).__name__} without; pass"
            " process=VPSDE()"
        )
    return denoiser.process


def noised(
    process: Process,
    x0: Tensor,
    t: Tensor,
    eps: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Noised samples x = alpha x0 + sigma eps, and alpha and sigma at t.

    Args:
        process: gives alpha(t) and sigma(t).
        x0: clean samples, (B, ...).
        t: times of the process, a number, 0-d or (B,).
        eps: standard normals, shaped like the samples.
    """
    alpha = process.alpha(t)
    sigma = process.sigma(t)
    return x0 * like(alpha, x0) + eps * like(sigma, x0), alpha, sigma

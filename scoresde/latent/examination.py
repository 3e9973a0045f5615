"""Examination of an autoencoder. Each fault is a finding with evidence and a remedy."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..evaluation.findings import Finding
from ..samplers.sampling import evaluating
from .autoencoder import Autoencoder

_UNUSED = 0.01  # nats of KL, below which an element of z counts as unused
_OFF = 2.0  # largest factor allowed between the RMS residual and the stated noise


def examine(autoencoder: Autoencoder, x: Tensor, seed: int = 0) -> tuple[Finding, ...]:
    """Examine an autoencoder on clean samples; the result is () if nothing is found.

    It looks for three faults: output that is not finite; more than half of the elements of z unused (posterior
    collapse); a stated observation noise that differs from the RMS residual by more than a factor of 2.

    Args:
        autoencoder: a trained autoencoder.
        x: held-out samples in the model's scale, (B, ...).
        seed: of the draws z.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    x = check.state("x", x)
    eps = SeededNoise(seed).normal(PRIOR, range(1), tuple(x.shape), x.dtype, x.device)[0]
    with torch.no_grad(), evaluating(autoencoder):
        terms = autoencoder.terms(x, eps)
        row = autoencoder.network(x, eps)

    if not bool(row.isfinite().all()):
        return (
            Finding(
                "the autoencoder answers numbers that are not finite",
                f"in {int((~row.isfinite()).any(1).sum())} of {len(x)} samples",
                "lower training.lr, or check the data",
            ),
        )

    residual = (row[:, : x[0].numel()] - x.flatten(1)).square().mean().sqrt().item()
    return (*_unused(terms.kl.mean(0)), *_noise(residual, autoencoder.std))


def _unused(kl: Tensor) -> Iterator[Finding]:
    """A finding if more than half of the elements of z carry no information."""
    unused = int((kl < _UNUSED).sum())
    if 2 * unused > len(kl):
        yield Finding(
            "most of z is unused",
            f"{unused} of {len(kl)} numbers hold less than {_UNUSED} nats",
            "lower loss.kl_weight or loss.std, raise loss.free_bits, or take fewer network.latent_channels",
        )


def _noise(residual: float, std: float) -> Iterator[Finding]:
    """A finding if the stated noise differs too much from the residual."""
    if not std / _OFF < residual < std * _OFF:
        yield Finding(
            "the observation noise is not what is left over",
            f"the residual of held-out samples has an RMS of {residual:.3g}, loss.std is {std:g}",
            f"train with loss.std = {residual:.2g}, or for longer",
        )

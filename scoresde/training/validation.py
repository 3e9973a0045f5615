"""The loss on held-out samples."""

from __future__ import annotations

import torch
from torch import Tensor

from solvers import SeededNoise
from solvers.noise import TRAIN_NOISE, TRAIN_TIME

from ..data.samples import Samples
from ..denoisers import conditions
from ..samplers.sampling import evaluating
from .objective import Objective
from .state import Training
from .trainable import Trainable

_HELD_OUT = (1 << 28) - 1  # the held-out loss uses the noise of this step, the largest step number


def held_out_loss(
    denoiser: Trainable,
    data: Samples,
    objective: Objective,
    training: Training,
) -> float:
    """Mean objective over at most 512 held-out samples. The noise is the same at every call, so that losses of
    different steps can be compared.

    Args:
        denoiser: the model, evaluated without dropout.
        data: held-out samples.
        objective: the objective of training.
        training: its seed, its batch size (samples evaluated at once), and its label_dropout (None: labels are unused).
    """
    some = data.in_memory(512)
    x = some.x
    given = some.cond
    if given is None and training.label_dropout is not None:
        given = some.labels

    device = next(denoiser.parameters()).device
    step = range(_HELD_OUT, _HELD_OUT + 1)
    size = training.batch
    u = SeededNoise(training.seed).uniform(TRAIN_TIME, step, (len(x), 1)).flatten()
    t, weight = objective.draw(u, denoiser.process)
    parts: list[Tensor] = []

    with evaluating(denoiser), torch.no_grad():
        for i in range(0, len(x), size):
            rows = slice(i, i + size)
            x0 = x[rows].to(device)
            cond = conditions.prepared(conditions.rows(given, rows), len(x0), device)
            eps = SeededNoise(training.seed, i).normal(TRAIN_NOISE, step, x0.shape, x0.dtype, device)[0]
            parts.append(
                objective(
                    denoiser,
                    x0,
                    t[rows],
                    weight[rows],
                    eps,
                    cond,
                ).detach()
            )

    return torch.cat(parts).double().mean().item()

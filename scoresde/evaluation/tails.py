"""Whether a model's samples stay where its data are: what the doctor looks at when nothing else is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import SolveError

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.moments import Moments
from ..samplers.recommend import recommended
from ..samplers.sampling import sample

COUNT = 256  # samples drawn, and network calls for each
CALLS = 30
TIMES = 2.0  # a sample is far out where it lies so many times as far from the mean as any of the batch, in some element
SHARE = 0.01  # of samples far out that is a fault


@dataclass(frozen=True)
class Tails:
    """share of samples far out;  farthest of them, and of the batch, in standard deviations of an element;
    None: the flow did not end in numbers."""

    share: float
    farthest: float | None
    known: float


def tails(
    model: BaseDenoiser,
    x0: Tensor,
    cond: Any = None,
    seed: int = 0,
) -> Tails:
    """Draw from the nearly converged flow of a model and measure how far samples go, beside its data.

    An element that hardly varies counts with a quarter of the standard deviation of all.

    Args:
        model: the model.
        x0: a batch of its data, (B, ...).
        cond: condition of each, or None.
        seed: of the samples drawn.
    """

    data = x0.double()
    mean = data.mean(0)
    unit = (data - mean).square().mean().sqrt()
    spread = data.std(0).clamp(min=0.25 * unit.item())
    known = ((data - mean).abs() / spread).max().item()
    rows = torch.arange(COUNT, device="cpu") % len(x0)
    given = conditions.rows(conditions.prepared(cond, len(x0)), rows)
    method = recommended(model, CALLS, moments=Moments.of(x0))

    try:
        x = sample(
            model,
            (COUNT, *x0.shape[1:]),
            method,
            seed,
            x0.device,
            cond=given,
        ).double()
    except SolveError:
        return Tails(1.0, None, known)

    far = ((x - mean).abs() / spread).flatten(1).amax(1)

    return Tails((far > TIMES * known).double().mean().item(), far.max().item(), known)

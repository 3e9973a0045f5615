"""A check whether a model's samples stay near its data. The doctor uses it if nothing else is wrong."""

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

COUNT = 256  # samples drawn
CALLS = 30  # network calls for each
TIMES = 2.0  # a sample is far out if an element is so many times as far from its mean as the farthest of the batch
SHARE = 0.01  # a larger share of samples far out is a fault


@dataclass(frozen=True)
class Tails:
    """How far samples of the probability flow lie from the mean of the data, in standard deviations of an element.

    share     share of samples that are far out
    farthest  largest distance of a sample; None if the solve failed with NaN or infinite values
    known     largest distance in the batch of data
    """

    share: float
    farthest: float | None
    known: float


def tails(
    model: BaseDenoiser,
    x0: Tensor,
    cond: Any = None,
    seed: int = 0,
) -> Tails:
    """Draw samples by the nearly converged probability flow of a model, and measure how far beyond its data they lie.

    The standard deviation of an element is taken as at least a quarter of the RMS standard deviation over all elements.

    Args:
        model: the model.
        x0: a batch of its data, (B, ...).
        cond: condition of each sample, or None.
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

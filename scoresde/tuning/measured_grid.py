"""A grid that is measured on a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from solvers import DormandPrince54, check

from ..denoisers.denoiser import BaseDenoiser
from ..processes.base import Process
from ..processes.coordinates import Angle
from ..samplers.grids import InterpolatedGrid, Tolerance, at_index, index_at
from ..samplers.method import Method
from ..samplers.ranges import method_levels
from ..samplers.reverse import Split
from ..samplers.sampling import trajectory


def error_balanced_grid(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    rtol: float = 1e-4,
    *,
    process: Process = Angle(),
    seed: int = 0,
    cond: Any = None,
    points: int = 65,
) -> InterpolatedGrid:
    """A grid measured on a model: one adaptive solve shows where small steps are needed, and the levels are spaced
    accordingly.

    The probability flow is solved by Dormand-Prince at tolerance `rtol` along `process`. For each sample the share of
    its accepted steps up to a noise level is a function of lam. The mean of these functions over samples is the time
    variable of the grid; it is stored at `points` levels. The grid suits methods along the same `process` best. The
    only network calls are those of the solve.

    Args:
        denoiser: the model on which the grid is measured.
        shape: shape of the samples that are solved, (B, ...).
        rtol: relative and absolute tolerance of the solve.
        process: the process along which the solve and the later methods run.
        seed: of the start states.
        cond: condition of each sample, or None.
        points: number of levels at which the grid is stored.

    Raises:
        ValueError: naming `denoiser`, if its range begins at pure noise (alpha = 0); also the errors of `sample`.
    """

    check.integer("points", points, least=2)
    method = Method(process, Split.FLOW, DormandPrince54(), Tolerance(rtol, rtol))
    first, last = check.values(method_levels(denoiser, method))
    if first == -math.inf:
        raise ValueError(
            "`denoiser` must be trained on a range that begins with some signal, got one that begins at alpha = 0"
        )

    path = [lam for lam, _ in trajectory(denoiser, shape, method, seed, cond=cond)]
    fine = torch.linspace(first, last, 16 * points, dtype=torch.float64, device="cpu")
    clock = torch.zeros_like(fine)

    for sample in torch.stack([lam.expand(shape[0]) for lam in path], 1).cpu():
        taken = sample.unique()
        taken[0], taken[-1] = first, last
        clock += index_at(tuple(check.values(taken)), fine) / (len(taken) - 1) / shape[0]

    lams = at_index(
        tuple(check.values(fine)),
        index_at(tuple(check.values(clock)), torch.linspace(0, 1, points, dtype=torch.float64, device="cpu")),
    )
    lams[0], lams[-1] = first, last

    return InterpolatedGrid(tuple(check.values(lams)))

"""Tests whether posterior samples have the right distribution: simulation-based calibration, TARP, and coverage.

`sbc` and `tarp` take problems drawn from the prior, with the true parameter and posterior samples for each. They
compute numbers that are uniform on (0, 1) if the posteriors are right. This is exact for any number of samples, because
a uniform number is added to each rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PROBE

from .distances import DistanceEstimate

_WIDTH = 1.959964  # standard deviations of a 95 % interval
_LEAST = 8  # least number of problems


@dataclass(frozen=True)
class Calibration:
    """The result of a calibration test: numbers that are uniform on (0, 1) if the posteriors are right.

    values    m numbers for each of N problems, (N, m)
    p_values  of a Kolmogorov-Smirnov test of each column, (m,). If you report the least of them, multiply it by m
    band      half the width of the 95 % band around the diagonal: the whole empirical distribution function of a column
              lies inside with this probability (Dvoretzky, Kiefer and Wolfowitz)
    central   True: a credible set of level c is |value - 1/2| <= c/2. False: it is value <= c
    """

    values: Tensor
    p_values: Tensor
    band: float
    central: bool

    def coverage(self, level: float = 0.9) -> DistanceEstimate:
        """The share of true parameters that lie in their credible set of a given level. It is `level` if the posteriors
        are right.

        Args:
            level: in (0, 1).

        Returns:
            The share, its 95 % interval over problems, and the level as the floor.

        Raises:
            ValueError: naming the argument.
        """
        check.number("level", level, above=0.0, below=1.0)
        inside = (self.values - 0.5).abs() <= level / 2 if self.central else self.values <= level
        each = inside.double().mean(1)
        value = each.mean().item()
        variance = each.var().item() / len(each)
        count = value * (1 - value) / variance if variance > 0 else len(each)  # effective number of truths

        return DistanceEstimate(value, *_wilson(value, count), level)


def sbc(truths: Tensor, samples: Tensor, seed: int = 0) -> Calibration:
    """Simulation-based calibration: the rank of the truth among the samples of its posterior, coordinate by coordinate.

        value = (r + u)/(L + 1),    r = #{samples below the truth},    u uniform.

    Talts et al. 2018, arXiv:1804.06788.

    Args:
        truths: true parameters of N problems, drawn from the prior, (N, ...).
        samples: L posterior samples for each problem, (N, L, ...).
        seed: of u.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    truths, samples = _problems(truths, samples)
    below = (samples < truths[:, None]).double().sum(1)
    ties = (samples == truths[:, None]).double().sum(1)

    return _calibration(below, ties, samples.shape[1], seed, True)


def tarp(
    truths: Tensor,
    samples: Tensor,
    references: Tensor | None = None,
    seed: int = 0,
) -> Calibration:
    """Tests of accuracy with random points (TARP): for each problem, the share of posterior samples that lie nearer to
    a random reference point than the truth does.

    This share is uniform on (0, 1) if the posterior is right. Conversely, if it is uniform for every distribution of
    the points that does not depend on the truth, then the whole joint posterior is right, not only its marginals.
    Coordinates are scaled by their standard deviation over the truths. Lemos et al. 2023, arXiv:2302.03026.

    Args:
        truths: true parameters of N problems, drawn from the prior, (N, ...).
        samples: L posterior samples for each problem, (N, L, ...).
        references: the reference points, shaped like truths; None: uniform in the bounding box of the truths.
        seed: of the reference points and of the uniform numbers added to the ranks.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    shape = truths.shape if isinstance(truths, Tensor) else None
    truths, samples = _problems(truths, samples)

    if references is None:
        low, high = truths.aminmax(dim=0, keepdim=True)
        u = SeededNoise(seed).uniform(PROBE, range(5, 6), tuple(truths.shape), device="cpu")[0].double()
        points = low + (high - low) * u
    elif check.state("references", references).shape != shape:
        raise ValueError(f"`references` must have the shape of truths, {shape}, got {tuple(references.shape)}")
    else:
        points = references.detach().flatten(1).to(truths)

    scale = truths.std(0).clamp(min=torch.finfo(truths.dtype).tiny)
    far = ((truths - points) / scale).norm(dim=1)
    near = ((samples - points[:, None]) / scale).norm(dim=2)
    below = (near < far[:, None]).double().sum(1, keepdim=True)
    ties = (near == far[:, None]).double().sum(1, keepdim=True)

    return _calibration(below, ties, samples.shape[1], seed, False)


def _wilson(share: float, count: float) -> tuple[float, float]:
    """95 % interval, within [0, 1], of a share of `count` independent truths. Wilson 1927, J. Am. Stat. Assoc. 22."""
    square = _WIDTH**2 / count
    middle = (share + square / 2) / (1 + square)
    width = math.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return middle - width, middle + width


def _problems(truths: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """The truths and the samples, flattened to (N, d) and (N, L, d), float64 on the CPU."""
    truths = check.state("truths", truths)
    samples = check.state("samples", samples)

    if samples.dim() != truths.dim() + 1 or samples.shape[2:] != truths.shape[1:] or len(samples) != len(truths):
        raise ValueError(
            f"`samples` must have shape (N, L, ...) for truths (N, ...), got {tuple(samples.shape)} for"
            f" {tuple(truths.shape)}"
        )
    if samples.shape[1] < 1:
        raise ValueError("`samples` must hold at least one sample of each posterior, got L = 0")
    if len(truths) < _LEAST:
        raise ValueError(f"`truths` must be of at least {_LEAST} problems, got {len(truths)}")

    return (
        truths.detach().flatten(1).to("cpu", torch.float64),
        samples.detach().flatten(2).to("cpu", torch.float64),
    )


def _calibration(
    below: Tensor,
    ties: Tensor,
    count: int,
    seed: int,
    central: bool,
) -> Calibration:
    """The calibration from the number of samples below and equal to each truth; ties are broken at random."""
    from scipy.stats import kstest  # pyright: ignore[reportMissingTypeStubs]

    source = SeededNoise(check.seed("seed", seed))
    shape = tuple(below.shape)
    u = source.uniform(PROBE, range(6, 8), shape, device="cpu").double()
    rank = below + ((ties + 1) * u[1]).floor().clamp(max=ties)
    values = (rank + u[0]) / (count + 1)
    p_values = [float(kstest(column.numpy(), "uniform").pvalue) for column in values.T]
    band = math.sqrt(math.log(2 / 0.05) / (2 * len(values)))

    return Calibration(values, torch.tensor(p_values, dtype=torch.float64, device="cpu"), band, central)

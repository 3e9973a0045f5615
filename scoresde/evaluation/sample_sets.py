"""Scores of generated samples besides distances: by nearest neighbours, and by the certainty of a classifier.

Each score has a 95 % interval and a floor. The floor of `fidelity` is the score that two sets of one distribution show;
the floor of `inception_score` is its least value, 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PROBE

from .distances import DistanceEstimate, estimate, paired

_BLOCK = 1024
_PARTS = 10  # blocks of the jackknife
_SPLITS = 4  # random splits for the floor


class Fidelity(NamedTuple):
    """Four scores of generated samples against real ones; see `fidelity`."""

    precision: DistanceEstimate
    recall: DistanceEstimate
    density: DistanceEstimate
    coverage: DistanceEstimate


def fidelity(
    real: Tensor,
    made: Tensor,
    k: int = 5,
    seed: int = 0,
) -> Fidelity:
    """Precision, recall, density and coverage of generated samples. The ball of a sample reaches to its k-th nearest
    neighbour in its own set.

        precision  share of generated samples that lie in the ball of some real sample
        recall     share of real samples that lie in the ball of some generated sample
        density    mean number of balls of real samples that contain a generated sample, divided by k
        coverage   share of real samples whose ball contains a generated sample

    Kynkaanniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797. Intervals are jackknives over
    blocks. The floor of each score is its mean over random splits of both sets together. Such splits are two sets of
    one distribution.

    Args:
        real: samples or features, (n, ...).
        made: generated samples or their features, (m, ...).
        k: number of the neighbour that sets the radius of a ball.
        seed: of the splits.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    real, made = paired(real, made, ("real", "made"))
    least = min(len(real), len(made)) - math.ceil(min(len(real), len(made)) / _PARTS) - 1
    if least < 1:
        raise ValueError(f"`real` and `made` must hold at least 4 samples each, got {len(real)} and {len(made)}")

    check.integer("k", k, most=least)
    both = torch.cat((real, made))
    keys = SeededNoise(check.seed("seed", seed)).uniform(PROBE, range(8, 8 + _SPLITS), (len(both), 1), device="cpu")
    splits = [both[order] for order in keys[..., 0].argsort(1)]
    floors = torch.stack([_shares(split[: len(real)], split[len(real) :], k) for split in splits]).mean(0)

    blocks = [_blocks(len(each)) for each in (real, made)]
    left = torch.stack([_shares(real[a], made[b], k) for a, b in zip(*blocks, strict=True)])
    spread = (_PARTS - 1) ** 0.5 * left.std(0, correction=0) * 2.262157  # 97.5 % quantile of t, 9 degrees of freedom
    values = _shares(real, made, k)
    rows = zip(values.tolist(), spread.tolist(), floors.tolist(), strict=True)

    return Fidelity(*(DistanceEstimate(value, value - error, value + error, floor) for value, error, floor in rows))


def inception_score(probabilities: Tensor) -> DistanceEstimate:
    """The inception score exp E KL(p(y | x) || p(y)), p(y) the mean over the samples.

    It is high if the classifier is certain about each sample and the samples cover many classes. Its logarithm is the
    mutual information of sample and class, in nats. It lies between 1, the floor, and the number of classes. Salimans
    et al. 2016, arXiv:1606.03498.

    Args:
        probabilities: p(y | x) of n samples, (n, classes), each row summing to 1.

    Returns:
        The score with a 95 % interval by the jackknife over blocks.

    Raises:
        TypeError, ValueError: naming `probabilities`.
    """

    p = check.floating("probabilities", probabilities).detach().to("cpu", torch.float64)
    if p.dim() != 2 or len(p) < 2 * _PARTS:
        raise ValueError(f"`probabilities` must have shape (n, classes), n >= {2 * _PARTS}, got {tuple(p.shape)}")
    if not bool((p >= 0).all()) or not bool(((p.sum(1) - 1).abs() < 1e-3).all()):
        raise ValueError("`probabilities` must be at least 0 and sum to 1 in each row, got others; softmax makes them")

    def score(a: Tensor, _: Tensor) -> float:
        mean = a.mean(0, keepdim=True)
        return torch.special.xlogy(a, a / mean.clamp(min=torch.finfo(a.dtype).tiny)).sum(1).mean().exp().item()

    return estimate(score, p, p, _PARTS, 1.0)


def _shares(real: Tensor, made: Tensor, k: int) -> Tensor:
    """Precision, recall, density and coverage, (4,)."""
    reach_real = _reach(real, k)
    reach_made = _reach(made, k)
    inside = torch.zeros(len(made), dtype=torch.float64, device="cpu")  # real balls that hold each one
    recalled: list[Tensor] = []
    covered: list[Tensor] = []

    for first in range(0, len(real), _BLOCK):
        apart = torch.cdist(real[first : first + _BLOCK], made)
        within = apart <= reach_real[first : first + _BLOCK, None]
        inside += within.double().sum(0)
        covered.append(within.any(1))
        recalled.append((apart <= reach_made).any(1))

    precision = (inside > 0).double().mean()
    density = inside.mean() / k
    recall, coverage = (torch.cat(parts).double().mean() for parts in (recalled, covered))

    return torch.stack((precision, recall, density, coverage))


def _reach(x: Tensor, k: int) -> Tensor:
    """Distance of each sample to its k-th neighbour."""
    return torch.cat([torch.cdist(rows, x).kthvalue(k + 1, dim=1)[0] for rows in x.split(_BLOCK)])


def _blocks(n: int) -> list[Tensor]:
    """For each block, the indices of all samples outside it."""
    at = torch.arange(n, device="cpu")
    block = at * _PARTS // n
    return [at[block != b] for b in range(_PARTS)]

"""Tests whether two sets of samples have one distribution: by a classifier, and by the worst of many directions."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PROBE

from .distances import DistanceEstimate, estimate, paired, unit_directions

_SPLITS = 4
FEWEST = 25  # least number of samples of a set, so that a classifier can learn
_WIDTH = 1.959964  # standard deviations of a 95 % interval


def max_sliced_w2(
    x: Tensor,
    y: Tensor,
    directions: int = 1000,
    seed: int = 0,
) -> DistanceEstimate:
    """The largest W2 distance of two sets projected on one of many directions: max_theta W2(theta.X, theta.Y).

    The floor is the mean of this distance over random splits of both sets together. Such splits are two sets of one
    distribution. Kolouri et al. 2019, arXiv:1902.00434.

    Args:
        x: samples, (n, ...).
        y: as many samples, (n, ...).
        directions: number of directions, uniform on the sphere.
        seed: of directions and splits.

    Returns:
        The distance, a 95 % interval by the jackknife over blocks, and the floor.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    a, b = paired(x, y)
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"`y` must hold as many samples as x, at least 2, got {len(b)} for {len(a)}")

    theta = unit_directions(a.shape[1], check.integer("directions", directions), check.seed("seed", seed))

    def worst(a: Tensor, b: Tensor) -> float:
        apart = (a @ theta.T).sort(0)[0] - (b @ theta.T).sort(0)[0]
        return math.sqrt(float(apart.square().mean(0).max()))

    both = torch.cat((a, b))
    keys = SeededNoise(seed).uniform(PROBE, range(2, 2 + _SPLITS), (len(both), 1), device="cpu")[..., 0]
    splits = [both[order] for order in keys.argsort(1)]
    floor = sum(worst(split[: len(a)], split[len(a) :]) for split in splits) / _SPLITS

    return estimate(worst, a, b, min(20, len(a)), floor)


def c2st(
    a: Tensor,
    b: Tensor,
    seed: int = 0,
    folds: int = 5,
) -> DistanceEstimate:
    """Classifier two-sample test: the accuracy of a classifier that has to tell two sets apart.

    It is about 0.5 if both sets have one distribution, and 1 if the classifier separates them. The classifier is
    scikit-learn's network of two hidden layers on standardised samples. Every sample is judged by a classifier that was
    not trained on it. Lopez-Paz & Oquab 2017, arXiv:1610.06545.

    Args:
        a: samples, (n, ...).
        b: samples, (m, ...).
        seed: of folds and weights.
        folds: number of folds of the cross-validation.

    Returns:
        The mean of the accuracies on both sets, its 95 % binomial interval, and the floor 0.5.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    first, second = paired(a, b, ("a", "b"))
    for name, some in (("a", first), ("b", second)):
        if len(some) < FEWEST:
            raise ValueError(f"`{name}` must hold at least {FEWEST} samples, got {len(some)}")

    check.integer("folds", folds, least=2, most=FEWEST)
    check.seed("seed", seed)
    x = torch.cat((first, second)).numpy()
    labels = np.repeat([0, 1], [len(first), len(second)])
    width = max(16, 4 * x.shape[1])
    batch = min(200, max(16, len(x) // 20))  # with large batches of few samples, training would stop too early
    network = MLPClassifier(
        (width, width),
        batch_size=batch,  # pyright: ignore[reportArgumentType]
        max_iter=200,
        early_stopping=True,
        random_state=seed % 2**32,
    )
    by = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    told = cross_val_predict(make_pipeline(StandardScaler(), network), x, labels, cv=by)
    right = torch.from_numpy(told == labels).double()
    rates = (right[: len(first)].mean().item(), right[len(first) :].mean().item())
    value = sum(rates) / 2
    variance = sum(p * (1 - p) / n for p, n in zip(rates, (len(first), len(second)), strict=True)) / 4
    error = _WIDTH * math.sqrt(variance)

    return DistanceEstimate(value, value - error, value + error, 0.5)

"""Series, volumes, sets and a table, learnt and judged: `python -m benchmarks.shapes [--minutes 6] [--only NAME ...]`.

Each network trains for --minutes of one thread, samples by `recommended` in 50 calls, and is judged by the accuracy of a
classifier that tells its samples from held-out data (C2ST; 0.5: it cannot), beside the floor: as many samples of the
training data in their place.

C2ST                 on the numbers themselves; of volumes on means of blocks of 4 x 4 x 4 voxels
C2ST of statistics   on a few numbers that say whether the law is kept: amplitudes and what is left of two sines, radius
                     and centre of a ball by two ways, centre, radius and thickness of a sphere

The bar: C2ST at most 0.60. About half an hour. Writes benchmarks/results/shapes.json, but for a --trial.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.common import save, show
from benchmarks.training import budgeted
from scoresde import data, recommended, sample
from scoresde.data import shapes
from scoresde.data.samples import Samples
from scoresde.evaluation.two_sample import c2st
from scoresde.runs.config import Config, DataConfig
from scoresde.runs.description import moments
from scoresde.runs.network_config import KINDS, NetworkConfig
from scoresde.training import Training

BAR = 0.60
CALLS = 50
MOST = 2000  # samples judged
NETWORKS = {
    "two_sines": ("unet1d", "patches"),
    "balls": ("unet3d", "patches"),
    "sphere_sets": ("transformer", "patches"),
    "wine": ("mlp",),
}  # the first that there is
HELD_OUT = {"wine": 0.5}  # of 178: a fifth is too few for a classifier
Row = dict[str, Any]


def numbers(name: str, x: Tensor) -> Tensor:
    """What the classifier is given, (N, d).

    Args:
        name: of the set.
        x: samples in the model's scale.
    """
    return F.avg_pool3d(x, 4).flatten(1) if name == "balls" else x.flatten(1)


def statistics(name: str, x: Tensor) -> Tensor | None:
    """A few numbers of each sample that say whether the law is kept, (N, d); None where no law is known.

    Args:
        name: of the set.
        x: samples in the model's scale.
    """
    x = x.double()

    if name == "two_sines":
        return of_sines(x[:, 0])
    if name == "balls":
        return of_balls((x[:, 0] + 1) / 2)
    if name == "sphere_sets":
        return of_spheres(x)

    return None


def of_sines(x: Tensor) -> Tensor:
    """Amplitudes of both sines and the standard deviation of the rest, (N, 3)."""
    found = torch.fft.rfft(x)
    at = list(shapes.CYCLES)
    amplitudes = found[:, at].abs() * 2 / shapes.LENGTH
    found[:, at] = 0
    rest = torch.fft.irfft(found, n=shapes.LENGTH).square().mean(1, keepdim=True).sqrt()
    return torch.cat([amplitudes, rest], 1)


def of_balls(x: Tensor) -> Tensor:
    """Centre, radius by the volume and by the second moment, and the share of voxels that are neither 0 nor 1, (N,
    6)."""
    along = torch.arange(shapes.SIDE, dtype=x.dtype)
    mass = x.sum((1, 2, 3)).clamp(min=1e-3)
    centre = torch.stack([(x.sum(rest) * along).sum(1) / mass for rest in ((2, 3), (1, 3), (1, 2))], 1)
    square = (along - centre[:, :, None]).square()
    distance = square[:, 0, :, None, None] + square[:, 1, None, :, None] + square[:, 2, None, None, :]
    by_volume = (3 * mass / (4 * math.pi)) ** (1 / 3)
    by_moment = (5 / 3 * (x * distance).sum((1, 2, 3)) / mass).clamp(min=0).sqrt()
    soft = ((x > 0.05) & (x < 0.95)).to(x.dtype).mean((1, 2, 3))
    return torch.cat([centre, torch.stack([by_volume, by_moment, soft], 1)], 1)


def of_spheres(x: Tensor) -> Tensor:
    """Centre and radius of the sphere through a set, by least squares, and how far its points are from it, (N, 5)."""
    rows = torch.cat([2 * x, torch.ones_like(x[..., :1])], -1)
    found = torch.linalg.lstsq(rows, x.square().sum(-1, keepdim=True)).solution[..., 0]
    centre = found[:, :3]
    radius = (found[:, 3] + centre.square().sum(1)).clamp(min=0).sqrt()
    apart = ((x - centre[:, None]).norm(dim=2) - radius[:, None]).square().mean(1).sqrt()
    return torch.cat([centre, radius[:, None], apart[:, None]], 1)


def judged(name: str, drawn: Tensor, train: Tensor, held_out: Tensor) -> Row:
    """C2ST of samples against held-out data, and of training data in their place."""
    told = c2st(numbers(name, drawn), numbers(name, held_out))
    floor = c2st(numbers(name, train), numbers(name, held_out))
    row = {"C2ST": told.value, "low": told.low, "high": told.high, "floor": floor.value}

    kept = statistics(name, held_out)
    of_drawn = statistics(name, drawn)
    of_train = statistics(name, train)

    if kept is not None and of_drawn is not None and of_train is not None:
        by_law = c2st(of_drawn, kept)
        row |= {
            "C2ST of statistics": by_law.value,
            "its low": by_law.low,
            "its high": by_law.high,
            "its floor": c2st(of_train, kept).value,
        }

    return row


def measured(name: str, minutes: float, most: int = MOST) -> Row:
    """One set learnt and judged.

    Args:
        name: of the set.
        minutes: of processor time.
        most: samples judged.
    """
    kind = next(kind for kind in NETWORKS[name] if kind in KINDS)
    config = Config(
        data=DataConfig(path=name, held_out=HELD_OUT.get(name, 0.2)),
        network=NetworkConfig(kind=kind),
        training=Training(batch=64, lr=2e-3),
    )
    train, held_out = data.SETS[name]().split(config.data.held_out)
    denoiser, spent = budgeted(config, train, minutes, pilot=10)
    denoiser.moments = moments(train)

    count = min(most, len(held_out))
    shape = (count, *train.shape)
    drawn = sample(denoiser, shape, recommended(denoiser, CALLS), seed=1, batch=250)
    row = judged(name, drawn, first(train, count), first(held_out, count))

    return {"set": name, "network": kind, "n": count, **row, "passes": row["C2ST"] <= BAR, **spent}


def first(samples: Samples, count: int) -> Tensor:
    """Samples in the model's scale."""
    return samples.in_memory(count).x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6.0, help="of training, each")
    parser.add_argument("--only", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--n", type=int, default=MOST, help="samples judged")
    parser.add_argument("--trial", action="store_true", help="print, and store nothing")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measured(name, asked.minutes, asked.n) for name in asked.only]

    for row in rows:
        show(row["set"], [row])

    if not asked.trial:
        save("shapes", rows, torch.float32, minutes=asked.minutes, calls=CALLS, bar=BAR)


if __name__ == "__main__":
    main()

"""Exact problems of many kinds and scales to judge samplers on, in two halves: `FOUND` for finding a rule, `JUDGES`
for judging it.

Data come from what the packages carry (scikit-learn's tables and photos, matplotlib's sample data and fonts) or from a
formula. Each problem is the exact denoiser of its data, every point a Gaussian; none is scaled to a common size.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scoresde.compare.problems import Problem, digits, gmm2d
from scoresde.denoisers.exact import Empirical, GaussianMixture
from solvers import WhiteNoise

F64 = torch.float64
TILE = 8  # pixels a side of every image


def normals(seed: int, *shape: int) -> Tensor:
    """Standard normals, float64."""
    return WhiteNoise(torch.Generator().manual_seed(seed)).normal(shape, F64, "cpu")


def standardised(x: Tensor) -> Tensor:
    """Columns of mean 0 and standard deviation 1."""
    return (x - x.mean(0)) / x.std(0)


def tiles(image: Tensor, count: int) -> Tensor:
    """Some `count` tiles, evenly spread over those of an image on a grid of half a tile, (count, TILE^2)."""
    every = image.unfold(0, TILE, TILE // 2).unfold(1, TILE, TILE // 2).reshape(-1, TILE * TILE)
    return every[torch.linspace(0, len(every) - 1, min(count, len(every))).long()].to(F64).contiguous()


def sample_data() -> Path:
    """matplotlib's folder of sample data."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "sample_data"


def elevation(name: str, key: str) -> Tensor:
    """A map of heights."""
    with np.load(sample_data() / name) as stored:
        return torch.from_numpy(stored[key].astype(np.float64))


def terrain(count: int = 3000) -> Tensor:
    """Tiles of an elevation model, each about its own mean, standard deviation 1."""
    raw = tiles(elevation("jacksboro_fault_dem.npz", "elevation"), count)
    raw = raw - raw.mean(1, keepdim=True)
    return raw / raw.std()


def seabed(count: int = 600) -> Tensor:
    """Tiles of a map of land and sea, in kilometres."""
    return tiles(elevation("topobathy.npz", "topo"), count) / 1000


def slices(count: int = 800) -> Tensor:
    """Tiles of a slice through a head by magnetic resonance, in [-1, 1]; empty tiles are left out."""
    with gzip.open(sample_data() / "s1045.ima.gz") as file:
        image = torch.from_numpy(np.frombuffer(file.read(), np.uint16).reshape(256, 256).astype(np.float64))
    raw = tiles(image, 4000) / 55040 * 2 - 1
    full = raw[raw.std(1) > 0.02]
    return full[torch.linspace(0, len(full) - 1, count).long()]


def eeg() -> Tensor:
    """Windows of 32 samples of four channels of an electroencephalogram, as it was recorded."""
    signal = torch.from_numpy(np.fromfile(sample_data() / "eeg.dat", dtype=np.float64).reshape(800, 4))
    return signal.T.unfold(1, 32, 4).reshape(-1, 32).contiguous()


def letters() -> Tensor:
    """Capital letters of three fonts, at 3 x 3 places, TILE x TILE, in [-1, 1]."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    drawn: list[Any] = []
    for font in ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf"):
        face = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font), 4 * TILE)
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            for place in range(9):
                page = Image.new("L", (4 * TILE, 4 * TILE))
                at = (2 * TILE + 2 * (place % 3 - 1), 2 * TILE + 2 * (place // 3 - 1))
                ImageDraw.Draw(page).text(at, letter, fill=255, font=face, anchor="mm")
                drawn.append(np.asarray(page.resize((TILE, TILE), resample=Image.Resampling.BOX)))
    return torch.from_numpy(np.stack(drawn).astype(np.float64)).reshape(-1, TILE * TILE) / 127.5 - 1


def photo() -> Tensor:
    """Grey tiles of two photos, in [-1, 1]."""
    from sklearn.datasets import load_sample_images

    images: Any = load_sample_images()
    return torch.cat([tiles(torch.tensor(picture).double().mean(2), 600) for picture in images.images]) / 127.5 - 1


def cancer() -> Tensor:
    """30 measurements of 569 tumours, standardised."""
    from sklearn.datasets import load_breast_cancer

    table: Any = load_breast_cancer()
    return standardised(torch.tensor(table.data, dtype=F64))


def wine() -> Tensor:
    """13 measurements of 178 wines, standardised."""
    from sklearn.datasets import load_wine

    table: Any = load_wine()
    return standardised(torch.tensor(table.data, dtype=F64))


def iris() -> Tensor:
    """Four lengths of 150 flowers, in centimetres."""
    from sklearn.datasets import load_iris

    table: Any = load_iris()
    return torch.tensor(table.data, dtype=F64)


def turned(spectrum: Tensor, components: int, width: float, seed: int) -> GaussianMixture:
    """Components whose means have the standard deviations `spectrum` along turned axes, each a Gaussian of `width` of
    the least."""
    d = len(spectrum)
    axes = torch.linalg.qr(normals(seed, d, d))[0]
    means = normals(seed + 1, components, d) * spectrum @ axes.T
    return GaussianMixture(means, (width * spectrum.min()).item() ** 2)


def nested(dim: int, far: float, near: float, width: float, seed: int) -> GaussianMixture:
    """Clusters of clusters: two scales, `far` and `near`."""
    outer, inner = far * normals(seed, 6, dim), near * normals(seed + 1, 5, dim)
    return GaussianMixture((outer[:, None] + inner).reshape(-1, dim), width**2)


def rings() -> GaussianMixture:
    """Narrow Gaussians on two circles."""
    angle = 2 * math.pi * torch.arange(12, dtype=F64) / 12
    radius = torch.tensor([0.6, 1.5], dtype=F64).repeat(6)
    return GaussianMixture(
        torch.stack([radius * angle.cos(), radius * angle.sin()], 1), 0.08**2, torch.linspace(1, 3, 12, dtype=F64)
    )


def scattered(count: int, dim: int, spread: float, width: float, seed: int) -> GaussianMixture:
    """Many equal components."""
    return GaussianMixture(spread * normals(seed, count, dim), width**2)


Made = Callable[[], GaussianMixture]

FOUND: dict[str, tuple[Made, tuple[int, ...]]] = {
    "rings": (rings, (2,)),
    "anisotropic 12-D": (lambda: turned(3 * torch.logspace(0, -1.5, 12, dtype=F64), 40, 1.0, 11), (12,)),
    "nearly Gaussian 5-D": (lambda: GaussianMixture(0.8 * normals(21, 6, 5), 1.0), (5,)),
    "two scales 3-D": (lambda: nested(3, 1.0, 0.15, 0.03, 31), (3,)),
    "100 in 32-D": (lambda: scattered(100, 32, 0.25, 0.08, 41), (32,)),
    "cancer": (lambda: Empirical(cancer(), 0.3), (30,)),
    "iris": (lambda: Empirical(iris(), 0.1), (4,)),
    "photo": (lambda: Empirical(photo(), 0.1), (1, TILE, TILE)),
    "seabed": (lambda: Empirical(seabed(), 0.1), (1, TILE, TILE)),
    "swirl": (lambda: Empirical(_swirl(), 0.02), (2,)),
}

JUDGED: dict[str, tuple[Made, tuple[int, ...]]] = {
    "anisotropic 16-D": (lambda: turned(0.4 * torch.linspace(1, 0.05, 16, dtype=F64), 60, 1.0, 12), (16,)),
    "nearly Gaussian 3-D": (lambda: GaussianMixture(0.5 * normals(22, 4, 3), 0.49), (3,)),
    "two scales 2-D": (lambda: nested(2, 3.0, 0.3, 0.05, 32), (2,)),
    "200 in 64-D": (lambda: scattered(200, 64, 1.0, 0.2, 42), (64,)),
    "letters": (lambda: Empirical(letters(), 0.1), (1, TILE, TILE)),
    "slices": (lambda: Empirical(slices(), 0.05), (1, TILE, TILE)),
    "terrain": (lambda: Empirical(terrain(1200), 0.1), (1, TILE, TILE)),
    "wine": (lambda: Empirical(wine(), 0.2), (13,)),
    "eeg": (lambda: Empirical(eeg(), 0.1), (32,)),
}


def _swirl() -> Tensor:
    """A spiral of small scale."""
    angle = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 128, dtype=F64)
    return torch.stack([angle.cos(), angle.sin()], 1) * angle[:, None] / 50


def _problem(name: str, made: Made, shape: tuple[int, ...]) -> Problem:
    data = made()
    n = 1024 if math.prod(shape) < 6 else 256

    def draw(count: int, seed: int) -> Tensor:
        return data.sample(count, seed).reshape(count, *shape)

    return Problem(name, data, shape, n, draw, tolerance=1e-9)


def found() -> list[Problem]:
    """Problems that a rule may be found on."""
    return [_problem(name, *of) for name, of in FOUND.items()]


def judges() -> list[Problem]:
    """Problems that only judge: nine of these, and two that older choices were judged by."""
    return [gmm2d(), digits(), *(_problem(name, *of) for name, of in JUDGED.items())]

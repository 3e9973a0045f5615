"""Problems with a known answer: a denoiser, start states, and the states to which the probability flow carries them.

Every problem runs along x = x0 + s eps from s = high down to s = low, so that all samplers solve the same problem. The
answer is a closed form if there is one. Otherwise it is a solve by Dormand-Prince 8(5,3), whose error is measured and
reported.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from solvers import DormandPrince853, WhiteNoise, check

from ..denoisers.denoiser import BaseDenoiser, V
from ..denoisers.exact import Empirical, Gaussian, GaussianMixture
from ..denoisers.prediction import Prediction
from ..processes.base import Process
from ..processes.coefficients import as_time, like
from ..processes.coordinates import EDM, Angle
from ..runtime.torch_state import untouched
from ..samplers.catalogue import edm_heun
from ..samplers.grids import Tolerance, uniform_lambda
from ..samplers.method import Method
from ..samplers.reverse import Split
from ..samplers.transport import transport

F64 = torch.float64


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem: the probability flow of a denoiser from s = high to s = low.

    name      key in results
    denoiser  D; float64 for the problems of this file
    shape     shape of one sample
    n         number of start states
    judged    number of samples by which stochastic methods are judged
    draw      (n, seed) -> exact samples of the data (n, *shape), to judge stochastic methods; None if there are none
    flow      the probability flow's map from high to low in closed form; None: solved to `tolerance`
    high, low ends of s
    steps     Heun steps of the reference solve, used if D is a network (not smooth enough for a tolerance); None:
              Dormand-Prince 8(5,3) to `tolerance`
    """

    name: str
    denoiser: BaseDenoiser
    shape: tuple[int, ...]
    n: int
    draw: Callable[[int, int], Tensor] | None = None
    flow: Callable[[Tensor], Tensor] | None = None
    high: float = 80.0
    low: float = 0.002
    tolerance: float = 1e-11
    steps: int | None = None
    judged: int = 4000

    def start(self, seed: int = 0, n: int | None = None) -> Tensor:
        """Start states at s = high: high z, z standard normal (n, *shape) float64.

        Args:
            seed: of the torch generator.
            n: number of start states; None: the problem's own.
        """
        z = WhiteNoise(torch.Generator().manual_seed(check.seed("seed", seed)))
        return self.high * z.normal((self.n if n is None else n, *self.shape), F64, "cpu")

    def reference(self, seed: int = 0) -> tuple[Tensor, float]:
        """The states at s = low to which the probability flow carries `start(seed)`, and their RMS error, which is the
        change at 30 times the tolerance or half the steps."""
        x = self.start(seed)
        if self.flow is not None:
            return self.flow(x), 0.0
        fine = self.carry(x)
        return fine, rms(fine - self.carry(x, coarse=True))

    def carry(self, x: Tensor, coarse: bool = False) -> Tensor:
        """Solve the flow from high to low as the reference does.

        Args:
            x: states at s = high, (B, *shape).
            coarse: True: 30 times the tolerance, or half the steps; the difference estimates the error.
        """

        if self.steps is None:
            tolerance = 30 * self.tolerance if coarse else self.tolerance
            method = Method(Angle(), Split.FLOW, DormandPrince853(), Tolerance(tolerance, tolerance, 100_000))
        else:
            method = edm_heun(self.steps // 2 if coarse else self.steps, uniform_lambda)

        return transport(
            self.denoiser,
            x,
            method,
            EDM(),
            self.high,
            self.low,
        ).y


def rms(x: Tensor) -> float:
    """Root mean square over samples and dimensions."""
    return x.double().square().mean().sqrt().item()


class LowRank(BaseDenoiser):
    """The exact denoiser of data U y + r: y from the data of `inner` in R^k, U (d, k) with orthonormal columns, and
    r ~ N(0, std^2) on the complement of U's range."""

    def __init__(self, basis: Tensor, inner: BaseDenoiser, std: float):
        super().__init__()
        self.process: Process | None = None
        self.inner = inner
        self.std = std
        self.basis: Tensor
        self.register_buffer("basis", basis)

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        flat = x.reshape(len(x), -1)
        basis = self.basis.to(x.dtype)
        y = flat @ basis
        outside = flat - y @ basis.T
        r = (alpha**2 + sigma**2).sqrt()
        v = self.std**2
        out = self.inner(y, alpha, sigma).v @ basis.T + outside * like(
            alpha * sigma * (1 - v) / (r * (alpha**2 * v + sigma**2)), flat
        )
        table = V()

        return Prediction(
            x,
            out.reshape(x.shape),
            alpha,
            sigma,
            table.to_x0(alpha, sigma),
            table.to_eps(alpha, sigma),
        )


def gaussian3() -> Problem:
    """A Gaussian N(m, C) in three dimensions, C rotated with eigenvalues 1/4, 1, 4. The flow is affine and known."""
    angle = torch.tensor(0.7, dtype=F64, device="cpu")
    c = angle.cos()
    s = angle.sin()
    turn = torch.stack(
        [
            torch.stack([c, -s, 0 * c]),
            torch.stack([s, c, 0 * c]),
            torch.tensor([0.0, 0.0, 1.0], dtype=F64, device="cpu"),
        ]
    ).roll(1, 0)
    mean = torch.tensor([1.0, -0.5, 2.0], dtype=F64, device="cpu")
    values = torch.tensor([0.25, 1.0, 4.0], dtype=F64, device="cpu")
    data = Gaussian(mean, turn @ torch.diag(values) @ turn.T)

    def flow(x: Tensor) -> Tensor:
        shrink = ((values + 0.002**2) / (values + 80.0**2)).sqrt()
        return mean + ((x - mean) @ turn * shrink) @ turn.T

    return Problem(
        "gaussian3",
        data,
        (3,),
        1024,
        data.sample,
        flow,
    )


def mixture1d() -> Problem:
    """Three Gaussians on the line. The flow is the monotone map between marginals, F_low^{-1}(F_high(x))."""
    weights, means, stds = (
        torch.tensor(v, dtype=F64, device="cpu") for v in ([0.3, 0.5, 0.2], [-2.0, 0.5, 3.0], [0.3, 0.6, 0.2])
    )
    data = GaussianMixture(means[:, None], stds**2, weights)

    def tails(x: Tensor, s: float) -> tuple[Tensor, Tensor]:
        z = (x - means) / (2 * (stds**2 + s**2)).sqrt()
        return (weights * torch.erfc(-z)).sum(1) / 2, (weights * torch.erfc(z)).sum(1) / 2

    def flow(x: Tensor) -> Tensor:
        below, beyond = tails(x, 80.0)
        low = torch.full_like(below, -1e3)
        high = torch.full_like(below, 1e3)

        for _ in range(100):
            middle = (low + high) / 2
            left, right = tails(middle[:, None], 0.002)
            above = torch.where(
                below < 0.5, left > below, right < beyond
            )  # compare the smaller tail, which is the accurate one
            low = torch.where(above, low, middle)
            high = torch.where(above, middle, high)

        return ((low + high) / 2)[:, None]

    return Problem(
        "mixture1d",
        data,
        (1,),
        1024,
        data.sample,
        flow,
    )


def gmm2d() -> Problem:
    """Eight equal Gaussians of standard deviation 0.05 on the unit circle."""
    angle = 2 * math.pi * torch.arange(8, dtype=F64, device="cpu") / 8
    data = GaussianMixture(torch.stack([angle.cos(), angle.sin()], 1), 0.05**2)
    return Problem("gmm2d", data, (2,), 2048, data.sample)


def digits() -> Problem:
    """The 1797 digits of scikit-learn, pixel/8 - 1; each one is the mean of a Gaussian of standard deviation 0.15."""
    with untouched():
        from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return _of_points("digits", torch.as_tensor(bunch.data, dtype=F64, device="cpu") / 8 - 1, 0.15, 256)


def patches() -> Problem:
    """1024 patches of 8 x 8 RGB pixels, in [-1, 1], from scikit-learn's two sample photos; each one is the mean of a
    Gaussian of standard deviation 0.1."""

    with untouched():
        from sklearn.datasets import load_sample_images

    bunch: Any = load_sample_images()
    tiles = [
        torch.tensor(photo, device="cpu").unfold(0, 8, 8).unfold(1, 8, 8).flatten(0, 1) for photo in bunch.images
    ]  # (tiles, 3, 8, 8) each
    every = torch.cat(tiles).flatten(1).to(F64) / 127.5 - 1

    return _of_points("patches", every[:: len(every) // 1024][:1024].contiguous(), 0.1, 128)


def mixture3072() -> Problem:
    """32 Gaussians of standard deviation 0.2 in a 16-dimensional subspace of R^3072, and a Gaussian of standard
    deviation 0.02 on its complement."""

    source = WhiteNoise(torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(source.normal((3072, 16), F64, "cpu"))[0]
    inner = GaussianMixture(2 * source.normal((32, 16), F64, "cpu"), 0.2**2)

    def draw(n: int, seed: int) -> Tensor:
        z = WhiteNoise(torch.Generator().manual_seed(seed)).normal((n, 3072), F64, "cpu")
        return 0.02 * (z - z @ basis @ basis.T) + inner.sample(n, seed) @ basis.T

    return Problem(
        "mixture3072",
        LowRank(basis, inner, 0.02),
        (3072,),
        64,
        draw,
        judged=256,
    )


def _of_points(
    name: str,
    points: Tensor,
    std: float,
    n: int,
) -> Problem:
    data = Empirical(points, std)
    return Problem(
        name,
        data,
        (points.shape[1],),
        n,
        data.sample,
        judged=1000,
    )


@functools.cache
def all_problems() -> dict[str, Callable[[], Problem]]:
    """All shared problems by name, as functions that build them."""
    makers = (gaussian3, mixture1d, gmm2d, digits, patches, mixture3072)
    return {cast(Any, make).__name__: make for make in makers}

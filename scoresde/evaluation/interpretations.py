"""Interpretations of a network's output, and how well each of them explains a batch.

One number compares them: the denoising loss relative to that of a Gaussian fitted to the batch,

    r = exp mean_k log( E|eps_hat - eps|^2 / E|eps_gauss - eps|^2 ),
    E|eps_gauss - eps|^2 = d v e^{2 lam} / (1 + v e^{2 lam}),

where v is the variance of the batch and d the number of elements of a sample. The mean runs over noise levels k with
lam + log std in [-2, 1.5]: outside this range x alone shows x0 or eps. The true score has r <= 1, and no interpretation
of its output has less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PROBE

from ..denoisers import conditions
from ..denoisers.denoiser import X0, BaseDenoiser, Denoiser, Eps, Parameterisation, Score, Unscaled, V
from ..denoisers.parameterisations import Pair
from ..processes.base import Process
from ..processes.coefficients import like

LEVELS = torch.linspace(-2.0, 1.5, 8, dtype=torch.float64, device="cpu")  # lam + log std
BETTER = 0.8  # another output or data range is accepted if it lowers the loss at least by this factor
CLOCKED = 0.93  # the same for another c_noise
_NUMBERS = 2048  # a smaller batch is repeated until it has about so many elements
_ROWS = 512  # samples used at most


@dataclass(frozen=True)
class Velocity(Unscaled):
    """A network that predicts the velocity of the straight path, F = eps - x0."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 1 / (alpha + sigma), -sigma / (alpha + sigma)

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 1 / (alpha + sigma), alpha / (alpha + sigma)


@dataclass(frozen=True)
class ClockHypothesis:
    """Another c_noise for the network: scale * c, or scale * (first + last - c) if reversed, where c is the declared
    c_noise and runs from first to last."""

    scale: float = 1.0
    reversed: bool = False

    def __call__(self, c: Tensor, ends: tuple[float, float]) -> Tensor:
        return self.scale * (sum(ends) - c if self.reversed else c)


@dataclass(frozen=True)
class Range:
    """Another scale of the data, x -> (x - centre)/half."""

    centre: float = 0.0
    half: float = 1.0


@dataclass(frozen=True)
class Interpretation:
    """One interpretation of a network: its parameterisation, the sign of its output, its c_noise, the data's scale."""

    table: Parameterisation
    sign: int = 1
    clock: ClockHypothesis = ClockHypothesis()
    range: Range = Range()

    def doubt(self, declared: Interpretation) -> float:
        """The factor by which this interpretation must lower the loss before it is preferred to the declared one.

        It is nearer to 1 for another c_noise than for another output, because another c_noise changes the loss less.
        """

        other = BETTER if (self.table, self.sign) != (declared.table, declared.sign) else 1.0
        return (
            other
            * (CLOCKED if self.clock != declared.clock else 1.0)
            * (BETTER if self.range != declared.range else 1.0)
        )


@dataclass(frozen=True)
class Batch:
    """Clean samples x0 (B, ...), their noise eps at each level (K, B, ...), the levels lam (K,), and the condition."""

    x0: Tensor
    eps: Tensor
    lams: Tensor
    cond: Any

    @property
    def gauss(self) -> Tensor:
        """The loss of the fitted Gaussian, E|eps_gauss - eps|^2 per element, (K,)."""
        snr = variance(self.x0) * torch.exp(2 * self.lams)
        return snr / (1 + snr)

    def at(self, process: Process) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """x = alpha x0 + sigma eps, alpha, sigma and eps at each level, with alpha and sigma of `process`."""
        for eps, t in zip(self.eps, process.time(self.lams), strict=True):
            alpha = process.alpha(t)
            sigma = process.sigma(t)
            yield self.x0 * like(alpha, self.x0) + eps * like(sigma, eps), alpha, sigma, eps

    def scaled(self, to: Range) -> Batch:
        """The same batch with the data in another scale, and the noise levels shifted with it."""
        return replace(self, x0=(self.x0 - to.centre) / to.half, lams=self.lams + math.log(to.half))


def variance(x: Tensor) -> float:
    """The variance over samples, averaged over elements."""
    return x.double().var(0).mean().item()


def draw(
    x0: Tensor,
    cond: Any,
    process: Process,
    seed: int,
) -> Batch:
    """Draw the noise for the first samples of a batch at every level. A small batch is repeated.

    Args:
        x0: clean samples, (B, ...).
        cond: condition of each sample, or None.
        process: its range bounds the noise levels.
        seed: of the noise.
    """
    x0 = x0[:_ROWS]
    index = torch.arange(len(x0), device="cpu").repeat(max(1, _NUMBERS // x0.numel()))
    x0 = x0[index.to(x0.device)]
    cond = conditions.rows(cond, index)
    ends = sorted(
        check.values(process.lam(torch.tensor([process.t_noise, process.t_data], dtype=torch.float64, device="cpu")))
    )
    lams = (LEVELS - 0.5 * math.log(variance(x0))).clamp(*ends)
    eps = SeededNoise(seed).normal(PROBE, range(len(lams)), x0.shape, x0.dtype, x0.device)

    return Batch(x0, eps, lams, cond)


TABLES: tuple[Parameterisation, ...] = (Eps(), X0(), V(), Score(), Velocity())
CLOCKS = tuple(ClockHypothesis(scale, back) for back in (False, True) for scale in (1.0, 1000.0, 1e-3))


def as_declared(model: BaseDenoiser) -> Interpretation:
    """The declared interpretation of a denoiser. A denoiser that is not a network is interpreted by its eps."""
    return Interpretation(model.table if isinstance(model, Denoiser) else Eps())


def data_ranges(x0: Tensor) -> list[Range]:
    """Possible scales of the data: as given, and the other scale that images with such values often have."""
    low = x0.min().item()
    high = x0.max().item()
    if low >= 0:
        return [Range(), Range(0.5, 0.5) if high <= 1 else Range(127.5, 127.5)]
    return [Range(), Range(-1.0, 2.0)] if low >= -1 and high <= 1 else [Range()]


def loss_ratios(
    model: BaseDenoiser,
    batch: Batch,
    process: Process,
    clock: ClockHypothesis,
    readings: list[Interpretation],
) -> dict[Interpretation, float]:
    """r, the loss relative to that of a Gaussian, for each interpretation, from one call per level.

    Args:
        model: the model; if it is not a `Denoiser`, its eps is interpreted.
        batch: samples and their noise.
        process: gives alpha and sigma of the noisy states.
        clock: the c_noise that the network receives.
        readings: the interpretations of its output to be compared.
    """
    logs = dict.fromkeys(readings, 0.0)
    asked = with_clock(model, clock) if isinstance(model, Denoiser) else model

    for gauss, (x, alpha, sigma, eps) in zip(check.values(batch.gauss), batch.at(process), strict=True):
        p = asked(x, alpha, sigma, batch.cond)
        out = p.out if isinstance(model, Denoiser) else p.eps

        for reading in readings:
            keep, scale = reading.table.to_eps(alpha, sigma)
            error = (x * keep + out * (reading.sign * scale) - eps).double().square().mean().item()
            logs[reading] += math.log(max(error, 1e-300) / gauss) / len(LEVELS) if math.isfinite(error) else math.inf

    return {reading: math.exp(min(total, 700.0)) for reading, total in logs.items()}


def with_clock(model: Denoiser, clock: ClockHypothesis) -> Denoiser:
    """The same network, which receives another c_noise.

    Args:
        model: the denoiser of the network.
        clock: maps the declared c_noise to the one that the network receives.
    """
    first, last = check.values(
        model.time(
            model.process.lam(
                torch.tensor([model.process.t_min, model.process.t_max], dtype=torch.float64, device="cpu")
            )
        )
    )
    return Denoiser(model.network, model.process, model.table, time=lambda lam: clock(model.time(lam), (first, last)))

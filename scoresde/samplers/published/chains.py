"""Samplers of DDPM, DDIM and the score SDE: chains and stochastic equations."""

from __future__ import annotations

from dataclasses import replace

from solvers import (
    SRA1,
    EulerMaruyama,
    ExpEuler,
    check,
)

from ...processes.base import Process
from ...processes.coordinates import EDM, LogSNR, UnitNoise, Variance
from ...processes.forward import VPSDE
from .. import grids
from ..eta import DDIMNoise
from ..grids import Grid
from ..method import Method
from ..reverse import Split
from ..wrappers.langevin import IdentityStep, Langevin, SnrStepSize, VarianceStepSize
from ..wrappers.large_variance import LargeVariance
from ..wrappers.variance import LearnedVariance


def ddim(n: int, eta: float = 0.0, grid: Grid = grids.uniform_time) -> Method:
    """DDIM: every step keeps the predicted x0 fixed (exponential Euler in log-SNR). It is deterministic if eta is 0.

    Order 1, n calls. Song et al. 2021, arXiv:2010.02502.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        eta: amount of noise in a step as DDIM defines it, from 0 (no noise) to 1 (the noise of DDPM).
        grid: the grid of noise levels.
    """
    eta = check.number("eta", eta, least=0.0, most=1.0)
    return Method(
        LogSNR(),
        Split.X0,
        ExpEuler(),
        grid,
        n,
        DDIMNoise(eta) if 0 < eta < 1 else eta,
    )


def ddpm(n: int, grid: Grid = grids.uniform_time, large: bool = False) -> Method:
    """DDPM's ancestral sampler: every step draws from the exact transition to the next level for a fixed predicted x0.

    Weak order 1, n calls. Ho et al. 2020, arXiv:2006.11239.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
        large: True: the noise has the variance beta ("large"); False: the variance of the posterior ("small").
    """
    return Method(
        LogSNR(),
        Split.X0,
        ExpEuler(),
        grid,
        n,
        1.0,
        (LargeVariance(),) if large else (),
    )


def improved_ddpm(n: int, grid: Grid = grids.uniform_time) -> Method:
    """Improved DDPM: the ancestral sampler of DDPM with step variances that the network predicts (`LearnedRange`). They
    interpolate between DDPM's "small" and "large" variance.

    Weak order 1, n calls. Nichol & Dhariwal 2021, arXiv:2102.09672.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
    """
    return replace(ddpm(n, grid), wrap=(LearnedVariance(),))


def euler_ancestral(n: int, eta: float = 1.0, grid: Grid = grids.karras) -> Method:
    """k-diffusion's ancestral Euler sampler: an Euler step down to sigma_down, then new noise up to the next level. It
    is `ddim` on the Karras grid, by default with eta = 1.

    Weak order 1, n calls. Grid of Karras et al. 2022.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        eta: amount of noise in a step as DDIM defines it, from 0 (no noise) to 1 (the ancestral step).
        grid: the grid of noise levels.
    """
    return ddim(n, eta, grid)


def euler_maruyama(n: int, process: Process = VPSDE(), grid: Grid | None = None) -> Method:
    """Euler-Maruyama on the reverse SDE of `process`: the drift and the noise are those at the start of the step.

    Weak order 1, n calls. Song et al. 2021, arXiv:2011.13456.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        process: the process along which the equation is integrated.
        grid: the grid of noise levels; None: uniform in the time of `process`.
    """
    return Method(
        process,
        Split.EPS,
        EulerMaruyama(),
        grids.UniformTime(process) if grid is None else grid,
        n,
        1.0,
    )


def reverse_diffusion(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """The reverse diffusion sampler of a variance-exploding process. A step is x + (s0^2 - s1^2) score + noise of
    variance s0^2 - s1^2.

    Weak order 1, n calls. It is Euler-Maruyama with the variance of the noise as time. Song et al. 2021,
    arXiv:2011.13456, appendix E.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
    """
    return Method(
        Variance(),
        Split.EPS,
        EulerMaruyama(),
        grid,
        n,
        1.0,
    )


def predictor_corrector(
    n: int,
    steps: int = 1,
    snr: float = 0.16,
    grid: Grid = grids.uniform_lambda,
) -> Method:
    """The predictor-corrector sampler: a step of `reverse_diffusion`, then `steps` Langevin steps at the level reached.

    Weak order 1, n + steps (n - 1) calls. The size of a Langevin step is computed from the norms of each sample's score
    and noise. This suits images; in a few dimensions a small score makes the step far too long. Song et al. 2021,
    arXiv:2011.13456, algorithm 2.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        steps: Langevin steps after each step of the predictor.
        snr: size of a Langevin step: delta = 2 (snr |z|/|score|)^2.
        grid: the grid of noise levels.
    """
    return replace(reverse_diffusion(n, grid), wrap=(Langevin(steps, SnrStepSize(snr)),))


def annealed_langevin(
    n: int,
    steps: int = 10,
    rate: float = 0.1,
    grid: Grid = grids.uniform_lambda,
) -> Method:
    """Annealed Langevin dynamics: `steps` Langevin steps of size rate sigma^2 at each level except the first.

    1 + steps (n - 1) calls. It has no order, because the chain has no equation as its limit. Song & Ermon 2019,
    arXiv:1907.05600, algorithm 1, which uses 100 steps per level.

    Args:
        n: number of noise levels: Langevin steps at n - 1 of them, then one denoise at the last level.
        steps: Langevin steps at each of these n - 1 levels.
        rate: size of a Langevin step, in units of sigma^2 at its level.
        grid: the grid of noise levels.
    """
    return Method(
        EDM(),
        Split.EPS,
        IdentityStep(),
        grid,
        n,
        0.0,
        (Langevin(steps, VarianceStepSize(rate)),),
    )


def sra1(n: int, process: Process = UnitNoise(), grid: Grid = grids.uniform_lambda) -> Method:
    """SRA1, a stochastic Runge-Kutta method for additive noise, on the reverse SDE. By default the noise is constant.

    Strong order 3/2, 2n - 1 calls. Roessler 2010, SIAM J. Numer. Anal. 48(3).

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        process: the process along which the equation is integrated; in the default, the noise is constant.
        grid: the grid of noise levels.
    """
    return Method(
        process,
        Split.EPS,
        SRA1(),
        grid,
        n,
        1.0,
    )

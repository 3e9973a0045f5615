"""Chains and stochastic equations: what DDPM, DDIM and the score SDE published."""

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
    """DDIM: exponential Euler in log-SNR, D frozen over a step. Order 1, n calls. Song et al. 2021,
    arXiv:2010.02502.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        eta: noise of a step as DDIM counts it, from 0 to 1: 0 none, 1 that of DDPM.
        grid: of noise levels.
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
    """DDPM ancestral: the exact transition with D frozen. Weak order 1, n calls.

    Ho et al. 2020, arXiv:2006.11239.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
        large: whether noise has the variance beta ("large"); otherwise the posterior's ("small").
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
    """DDPM ancestral with the variance the network learned (`LearnedRange`), between "small" and "large". Weak order
    1, n calls.

    Nichol & Dhariwal 2021, arXiv:2102.09672.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
    """
    return replace(ddpm(n, grid), wrap=(LearnedVariance(),))


def euler_ancestral(n: int, eta: float = 1.0, grid: Grid = grids.karras) -> Method:
    """Euler to sigma_down, then noise up: DDIM's eta_d under k-diffusion's name and grid. Weak order 1, n calls.
    Karras et al. 2022.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        eta: noise of a step as DDIM counts it, from 0 to 1: 0 none, 1 that of the ancestral step.
        grid: of noise levels.
    """
    return ddim(n, eta, grid)


def euler_maruyama(n: int, process: Process = VPSDE(), grid: Grid | None = None) -> Method:
    """Euler-Maruyama on the reverse SDE of `process`. Weak order 1, n calls. Song et al. 2021, arXiv:2011.13456.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        process: the coordinates that are integrated along.
        grid: of noise levels; None: uniform in the time of `process`.
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
    """Reverse diffusion of a variance-exploding process: x + (s0^2 - s1^2) score + noise of that variance. Weak order
    1, n calls.

    Song et al. 2021, arXiv:2011.13456, appendix E: Euler-Maruyama in the variance of the noise.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
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
    """Reverse diffusion, then `steps` Langevin steps at the level reached. Weak order 1, n + steps (n - 1) calls.

    The step follows each sample's own norms, which suits images; in a few dimensions a small score makes it far too
    long. Song et al. 2021, arXiv:2011.13456, algorithm 2.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        steps: Langevin steps at each level reached.
        snr: size of a Langevin step: delta = 2 (snr |z|/|score|)^2.
        grid: of noise levels.
    """
    return replace(reverse_diffusion(n, grid), wrap=(Langevin(steps, SnrStepSize(snr)),))


def annealed_langevin(
    n: int,
    steps: int = 10,
    rate: float = 0.1,
    grid: Grid = grids.uniform_lambda,
) -> Method:
    """`steps` Langevin steps of size rate sigma^2 at each level but the first. No order: the chain has no limit
    equation. 1 + steps (n - 1) calls.

    Song & Ermon 2019, arXiv:1907.05600, algorithm 1, with 100 steps there.

    Args:
        n: noise levels; n - 1 are moved on, then a denoise.
        steps: Langevin steps at each of them.
        rate: size of a Langevin step, in units of sigma^2 of its level.
        grid: of noise levels.
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
    """SRA1 where the noise is constant. Strong order 3/2, 2n - 1 calls. Roessler 2010, SIAM J. Numer. Anal. 48(3).

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        process: the coordinates that are integrated along; the noise is constant in the default.
        grid: of noise levels.
    """
    return Method(
        process,
        Split.EPS,
        SRA1(),
        grid,
        n,
        1.0,
    )

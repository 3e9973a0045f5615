"""Higher order by stages within a step: Heun and exponential Runge-Kutta methods, with and without churn."""

from __future__ import annotations

from dataclasses import replace

from solvers import ExpEuler, ExpMidpoint, ExpRK3, Heun

from ...processes.coordinates import EDM, LogSNR, UnitNoise
from .. import grids
from ..grids import Grid
from ..method import Method
from ..reverse import Split
from ..wrappers.churn import Churn, Restart


def edm_heun(n: int, grid: Grid = grids.karras) -> Method:
    """The deterministic EDM sampler. Order 2, 2n - 1 calls. Karras et al. 2022, arXiv:2206.00364, algorithm 1.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
    """
    return Method(EDM(), Split.EPS, Heun(), grid, n)


def edm_stochastic(
    n: int,
    churn: float = 40.0,
    low: float = 0.05,
    high: float = 50.0,
    s_noise: float = 1.003,
    grid: Grid = grids.karras,
) -> Method:
    """The stochastic EDM sampler: churn before each Heun step. Order 2 where churn is 0, 2n - 1 calls. Karras et al.
    2022, arXiv:2206.00364, algorithm 2.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        churn: amount of noise added in all, S_churn; each step gets churn/n of sigma, at most sqrt 2 - 1 of it.
        low: noise level sigma/alpha from which on noise is added, S_min.
        high: noise level sigma/alpha up to which noise is added, S_max.
        s_noise: factor of the added noise's standard deviation, S_noise.
        grid: of noise levels.
    """

    return replace(edm_heun(n, grid), wrap=(Churn(churn, low, high, s_noise),))


def restart(
    n: int,
    low: float = 0.06,
    high: float = 0.3,
    times: int = 2,
    steps: int = 2,
    grid: Grid = grids.karras,
) -> Method:
    """Heun with returns. Order 2 between them, 2n - 1 + 2 times steps calls. Xu et al. 2023, arXiv:2306.14878.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        low: noise level sigma/alpha to return from; the nearest level of the grid is taken.
        high: noise level sigma/alpha to return to, above low.
        times: number of returns.
        steps: Karras steps down again, of each return.
        grid: of noise levels.
    """
    return replace(edm_heun(n, grid), wrap=(Restart(low, high, times, steps),))


def dpm_solver_1(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-1: exponential Euler on eps. Order 1, n calls. Lu et al. 2022, arXiv:2206.00927.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
    """
    return Method(UnitNoise(), Split.EPS, ExpEuler(), grid, n)


def dpm_solver_2(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-2: exponential midpoint on eps. Order 2, 2n - 1 calls. Lu et al. 2022, arXiv:2206.00927.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
    """
    return Method(UnitNoise(), Split.EPS, ExpMidpoint(), grid, n)


def dpm_solver_3(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-3: three exponential stages on eps. Order 3, 3n - 2 calls. Lu et al. 2022, arXiv:2206.00927.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
    """
    return Method(UnitNoise(), Split.EPS, ExpRK3(), grid, n)


def dpm_solver_pp_2s(n: int, eta: float = 0.0, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver++(2S): exponential midpoint on x0; eta 1 its SDE form. Order 2, 2n - 1 calls. Lu et al. 2022,
    arXiv:2211.01095.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        eta: noise in the equation: 0 the ODE, 1 the SDE form.
        grid: of noise levels.
    """
    return Method(LogSNR(), Split.X0, ExpMidpoint(), grid, n, eta)

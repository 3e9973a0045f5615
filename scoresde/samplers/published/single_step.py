"""Samplers of higher order with several stages per step: Heun and exponential Runge-Kutta methods, with and without
churn."""

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
    """The deterministic EDM sampler: Heun steps on the probability-flow ODE, with sigma as time.

    Order 2, 2n - 1 calls. Karras et al. 2022, arXiv:2206.00364, algorithm 1.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
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
    """The stochastic EDM sampler: churn adds noise before each Heun step, which then starts from the raised noise
    level.

    Order 2 if churn is 0, 2n - 1 calls. Karras et al. 2022, arXiv:2206.00364, algorithm 2.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        churn: S_churn, the total amount of noise added. A step raises sigma by the factor 1 + churn/n, at most sqrt 2.
        low: S_min, the lowest noise level sigma/alpha at which noise is added.
        high: S_max, the highest noise level sigma/alpha at which noise is added.
        s_noise: S_noise, a factor on the standard deviation of the added noise.
        grid: the grid of noise levels.
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
    """The Restart sampler: EDM's Heun steps. At the level `low` noise is added up to the level `high`, and Heun steps
    lead down again, `times` times.

    Order 2 between the restarts, 2n - 1 + 2 times steps calls. Xu et al. 2023, arXiv:2306.14878.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        low: noise level sigma/alpha at which it restarts; the nearest level of the grid is used.
        high: noise level sigma/alpha up to which noise is added, above low.
        times: number of restarts.
        steps: Heun steps of each restart, on a Karras grid from high down to low.
        grid: the grid of noise levels.
    """
    return replace(edm_heun(n, grid), wrap=(Restart(low, high, times, steps),))


def dpm_solver_1(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-1: exponential Euler in log-SNR, with the predicted noise eps kept fixed over a step.

    Order 1, n calls. Lu et al. 2022, arXiv:2206.00927.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
    """
    return Method(UnitNoise(), Split.EPS, ExpEuler(), grid, n)


def dpm_solver_2(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-2: the exponential midpoint method on the predicted noise eps, two calls a step.

    Order 2, 2n - 1 calls. Lu et al. 2022, arXiv:2206.00927.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
    """
    return Method(UnitNoise(), Split.EPS, ExpMidpoint(), grid, n)


def dpm_solver_3(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-3: an exponential Runge-Kutta method on the predicted noise eps, three calls a step.

    Order 3, 3n - 2 calls. Lu et al. 2022, arXiv:2206.00927.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
    """
    return Method(UnitNoise(), Split.EPS, ExpRK3(), grid, n)


def dpm_solver_pp_2s(n: int, eta: float = 0.0, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver++(2S): the exponential midpoint method on the predicted x0, two calls a step. eta = 1 is its SDE form.

    Order 2, 2n - 1 calls. Lu et al. 2022, arXiv:2211.01095.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        eta: amount of noise in the equation: 0 is the ODE, 1 the SDE form.
        grid: the grid of noise levels.
    """
    return Method(LogSNR(), Split.X0, ExpMidpoint(), grid, n, eta)

"""Multistep samplers of higher order, with and without noise, and solvers of the plain probability-flow ODE."""

from __future__ import annotations

from solvers import (
    DormandPrince54,
    Euler,
    ExpAdams,
    ExpAdamsPC,
    ExpEuler,
    ExpRK3,
    check,
)

from ...processes.base import Process
from ...processes.coordinates import EDM, Angle, LogSNR
from ...processes.forward import RectifiedFlow
from .. import grids
from ..adams_rules import (
    CORRECTED,
    DENOISED,
    EqualStepWeights,
    GridClock,
    PseudoRK4,
    PublishedThirdOrder,
    useful_order,
)
from ..eta import ERNoise
from ..grids import Grid, Tolerance
from ..method import Method, with_last_step
from ..peaked import Peaked
from ..reverse import Split


def dpm_solver_pp_2m(n: int, eta: float = 0.0, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver++(2M): a multistep method. It extrapolates x0 linearly from the last two predictions to the middle of
    a step.

    Order 2, n calls. Lu et al. 2022, arXiv:2211.01095.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        eta: amount of noise in the equation: 0 is the ODE, 1 the SDE form.
        grid: the grid of noise levels.
    """
    return Method(
        LogSNR(),
        Split.X0,
        ExpAdams(2, midpoint=True),
        grid,
        n,
        eta,
    )


def dpm_solver_pp_3m(
    n: int,
    eta: float = 0.0,
    corrected: bool = False,
    grid: Grid = grids.uniform_lambda,
) -> Method:
    """DPM-Solver++(3M): a multistep method. It extrapolates x0 by the quadratic through the last three predictions.

    Order 2 as published, n calls. Lu et al. 2022, arXiv:2211.01095.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        eta: amount of noise in the equation: 0 is the ODE, 1 the SDE form.
        corrected: False: the quadratic term has half its exact weight, as published. True: it has its exact weight,
            which gives order 3 if the starting values are of third order; here the first steps limit the order to 2.
        grid: the grid of noise levels.
    """
    return Method(
        LogSNR(),
        Split.X0,
        ExpAdams(3, midpoint=True, rule=None if corrected else PublishedThirdOrder()),
        grid,
        n,
        eta,
    )


def exp_adams(
    n: int,
    order: int = 3,
    process: Process = LogSNR(),
    split: Split = Split.X0,
    grid: Grid = grids.uniform_lambda,
) -> Method:
    """An exponential Adams-Bashforth method of any order from 1 to 4, along any process. The first steps are made by
    ExpRK3.

    Order `order`, n + 2 (order - 1) calls.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        order: order of the method, 1 to 4.
        process: the process along which the equation is integrated.
        split: which part of the drift is treated as linear.
        grid: the grid of noise levels.
    """
    return Method(process, split, ExpAdams(order, start=ExpRK3()), grid, n)


def unipc(n: int, order: int = 3, grid: Grid = grids.uniform_lambda) -> Method:
    """UniPC (variant bh2): a multistep predictor on x0, and a corrector that uses the same network calls.

    Order at most 3, because the first steps have a lower order; n calls. Zhao et al. 2023, arXiv:2302.04867.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        order: order of the predictor, 1 to 4; the corrector has one more.
        grid: the grid of noise levels.
    """
    return Method(LogSNR(), Split.X0, ExpAdamsPC(order, midpoint=True), grid, n)


def sa_solver(
    n: int,
    eta: float = 1.0,
    order: int = 3,
    grid: Grid = grids.uniform_lambda,
) -> Method:
    """SA-Solver with a constant tau: a stochastic Adams predictor on x0, and a corrector that uses the same network
    calls.

    Weak order 2, n calls. Xue et al. 2023, arXiv:2309.05019, without its optional change of the second-order weights.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        eta: amount of noise in the equation, tau of the paper: 0 is the ODE, 1 the reverse SDE.
        order: order of the stochastic Adams predictor, 1 to 4; the corrector has one more.
        grid: the grid of noise levels.
    """
    return Method(LogSNR(), Split.X0, ExpAdamsPC(order), grid, n, eta)


def er_sde(n: int, grid: Grid = grids.karras) -> Method:
    """ER-SDE-Solver-1: exponential Euler on x0, with an amount of noise that the function phi(sigma) gives (`ERNoise`).

    Weak order 1, n calls. The noise is less than that of the reverse SDE at noise levels sigma/alpha below about 98.
    Cui et al. 2023, arXiv:2309.06169.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
    """
    return Method(
        LogSNR(),
        Split.X0,
        ExpEuler(),
        grid,
        n,
        ERNoise(),
    )


def deis(n: int, order: int = 3, grid: Grid = grids.quadratic) -> Method:
    """tAB-DEIS: a multistep method that extrapolates eps by a polynomial of degree `order` in VP time.

    Order at most 2, because the first steps have a lower order; n calls. Zhang & Chen 2022, arXiv:2204.13902.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        order: degree of the polynomial, 0 to 3.
        grid: the grid of noise levels.
    """
    check.integer("order", order, least=0, most=3)
    return Method(EDM(), Split.EPS, ExpAdams(order + 1, clock=GridClock(EDM(), grids.uniform_time)), grid, n)


def lms(n: int, order: int = 4, grid: Grid = grids.karras) -> Method:
    """The linear multistep sampler of k-diffusion: Adams-Bashforth on eps in sigma, with exact weights for any grid.

    Order at most 2, because the first steps have a lower order; n calls. As in k-diffusion (Crowson 2022).

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        order: order of the Adams-Bashforth formula after the first steps, 1 to 4.
        grid: the grid of noise levels.
    """
    return Method(EDM(), Split.EPS, ExpAdams(order), grid, n)


def ipndm(n: int, order: int = 4, grid: Grid = grids.karras) -> Method:
    """iPNDM: Adams-Bashforth on eps with the weights of equal steps, on any grid. The order of the steps rises to
    `order`.

    Order at most 2, because the first steps have a lower order; n calls. Zhang & Chen 2022, arXiv:2204.13902.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        order: order of the Adams-Bashforth formula after the first steps, 1 to 4.
        grid: the grid of noise levels.
    """
    return Method(EDM(), Split.EPS, ExpAdams(order, clock=GridClock(EDM(), grid), rule=EqualStepWeights()), grid, n)


def pndm(n: int, grid: Grid = grids.uniform_time) -> Method:
    """F-PNDM: three pseudo Runge-Kutta steps, then pseudo linear multistep steps, on eps.

    Order 2, n + 9 calls if n is 4 or more. Liu et al. 2022, arXiv:2202.09778.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        grid: the grid of noise levels.
    """

    return Method(
        EDM(),
        Split.EPS,
        ExpAdams(4, clock=GridClock(EDM(), grid), start=PseudoRK4(EDM(), grid), rule=EqualStepWeights()),
        grid,
        n,
    )


def euler(n: int, process: Process = RectifiedFlow(), grid: Grid | None = None) -> Method:
    """Euler on the probability-flow ODE of `process`. Along `RectifiedFlow` it is the sampler of flow matching.

    Order 1, n calls. Liu et al. 2023, arXiv:2209.03003; Lipman et al. 2023, arXiv:2210.02747.

    Args:
        n: number of noise levels: n - 1 steps, then one denoise at the last level.
        process: the process along which the equation is integrated.
        grid: the grid of noise levels; None: uniform in the time of `process`.
    """
    return Method(process, Split.FLOW, Euler(), grids.UniformTime(process) if grid is None else grid, n)


def best(n: int, unit: float = 1.0) -> Method:
    """The recommended method if only the data's standard deviation is known: Adams methods on the velocity along
    Angle(unit). n calls.

    Below 8 calls it is a predictor of order 4. From 8 calls on a corrector is added; the predictor has order 2 at 8 and
    9 calls, 3 at 10 and 11, and 4 from 12 on. The order of convergence is at most 3, because the first steps have a
    lower order. Between 5 and 10 calls the grid changes from the one for few calls to the one for many. With 2 to 6
    calls every call makes a step; from 7 on the last call denoises. These choices were made on ten exact problems;
    eleven others judge them: `python -m benchmarks.recommended`.

    Args:
        n: number of network calls.
        unit: standard deviation of the data.
    """

    along = Angle(unit)
    clock = GridClock(along, grids.UniformTime(unit=unit))
    solver = ExpAdams(4) if n < CORRECTED else ExpAdamsPC(useful_order(n), clock=clock)

    method = Method(along, Split.FLOW, solver, Peaked.blended((0.86, 0.76, 0.5), (0.0, 0.52, 0.7), n, unit), n)

    return with_last_step(method) if 1 < n < DENOISED else method


def probability_flow(rtol: float = 1e-5, atol: float | None = None, process: Process = Angle()) -> Method:
    """The probability-flow ODE by the adaptive Dormand-Prince 5(4) method. Each sample has its own step sizes.

    Song et al. 2021, arXiv:2011.13456.

    Args:
        rtol: relative tolerance of the error of the state in a step.
        atol: absolute tolerance; None: as rtol.
        process: the process along which the equation is integrated.
    """
    return Method(process, Split.FLOW, DormandPrince54(), Tolerance(rtol, rtol if atol is None else atol))

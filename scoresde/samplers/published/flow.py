"""Higher order by multistep methods, with and without noise, and solvers of the plain probability flow."""

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
    """DPM-Solver++(2M): the linear extrapolant of x0 at mid-step. Order 2, n calls. Lu et al. 2022, arXiv:2211.01095.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        eta: noise in the equation: 0 the ODE, 1 the SDE form.
        grid: of noise levels.
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
    """DPM-Solver++(3M): the quadratic extrapolant of x0. n calls. Lu et al. 2022, arXiv:2211.01095.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        eta: noise in the equation: 0 the ODE, 1 the SDE form.
        corrected: order 3, given third-order starting values; False: order 2, the quadratic term halved, as published.
        grid: of noise levels.
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
    """Adams-Bashforth of any order along any process, started by ExpRK3. Order `order`, n + 2 (order - 1) calls.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        order: of the method.
        process: the coordinates that are integrated along.
        split: which part of the drift is called linear.
        grid: of noise levels.
    """
    return Method(process, split, ExpAdams(order, start=ExpRK3()), grid, n)


def unipc(n: int, order: int = 3, grid: Grid = grids.uniform_lambda) -> Method:
    """UniPC (bh2) on x0: predictor and corrector share their calls. Order at most 3 by its ramp, n calls. Zhao et al.
    2023, arXiv:2302.04867.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        order: of the predictor; the corrector has one more.
        grid: of noise levels.
    """
    return Method(LogSNR(), Split.X0, ExpAdamsPC(order, midpoint=True), grid, n)


def sa_solver(
    n: int,
    eta: float = 1.0,
    order: int = 3,
    grid: Grid = grids.uniform_lambda,
) -> Method:
    """SA-Solver with a constant tau. Weak order 2, n calls. Xue et al. 2023, arXiv:2309.05019, without its optional
    change of the second-order weights.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        eta: noise in the equation, the paper's tau: 0 the ODE, 1 the reverse SDE.
        order: of the stochastic Adams predictor; the corrector has one more.
        grid: of noise levels.
    """
    return Method(LogSNR(), Split.X0, ExpAdamsPC(order), grid, n, eta)


def er_sde(n: int, grid: Grid = grids.karras) -> Method:
    """ER-SDE-Solver-1: the noise between the flow's and the reverse SDE's that phi(sigma) says. Weak order 1, n calls.
    Cui et al. 2023, arXiv:2309.06169.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
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
    """tAB-DEIS: eps a polynomial of degree `order` in VP time. Order 2 by its ramp, n calls. Zhang & Chen 2022,
    arXiv:2204.13902.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        order: degree of the polynomial, 0 to 3.
        grid: of noise levels.
    """
    check.integer("order", order, least=0, most=3)
    return Method(EDM(), Split.EPS, ExpAdams(order + 1, clock=GridClock(EDM(), grids.uniform_time)), grid, n)


def lms(n: int, order: int = 4, grid: Grid = grids.karras) -> Method:
    """Linear multistep in sigma: Adams-Bashforth on any grid. Order 2 by its ramp, n calls. As in k-diffusion (Crowson
    2022).

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        order: of the Adams-Bashforth formula, once enough steps are known.
        grid: of noise levels.
    """
    return Method(EDM(), Split.EPS, ExpAdams(order), grid, n)


def ipndm(n: int, order: int = 4, grid: Grid = grids.karras) -> Method:
    """iPNDM: equal-step Adams-Bashforth weights on any grid, orders ramping up. Order 2 by its ramp, n calls. Zhang &
    Chen 2022, arXiv:2204.13902.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        order: of the Adams-Bashforth formula, once enough steps are known.
        grid: of noise levels.
    """
    return Method(EDM(), Split.EPS, ExpAdams(order, clock=GridClock(EDM(), grid), rule=EqualStepWeights()), grid, n)


def pndm(n: int, grid: Grid = grids.uniform_time) -> Method:
    """F-PNDM: three pseudo Runge-Kutta steps, then the pseudo linear multistep. Order 2, n + 9 calls from n = 4 on.
    Liu et al. 2022, arXiv:2202.09778.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        grid: of noise levels.
    """

    return Method(
        EDM(),
        Split.EPS,
        ExpAdams(4, clock=GridClock(EDM(), grid), start=PseudoRK4(EDM(), grid), rule=EqualStepWeights()),
        grid,
        n,
    )


def euler(n: int, process: Process = RectifiedFlow(), grid: Grid | None = None) -> Method:
    """Euler on the probability flow of `process`: the sampler of flow matching. Order 1, n calls.

    Liu et al. 2023, arXiv:2209.03003; Lipman et al. 2023, arXiv:2210.02747.

    Args:
        n: noise levels; n - 1 steps, then a denoise.
        process: the coordinates that are integrated along.
        grid: of noise levels; None: uniform in the time of `process`.
    """
    return Method(process, Split.FLOW, Euler(), grids.UniformTime(process) if grid is None else grid, n)


def best(n: int, unit: float = 1.0) -> Method:
    """Our choice where nothing is known of the model but the data's standard deviation: Adams methods on the velocity
    along Angle(unit). n calls.

    Below 8 calls a predictor of order 4; from there predictor-corrector, the predictor of order 2 below 10, 3 at 10
    and 11, then 4 (order 3 in all, by its ramp). Levels go over from those of few calls to those of many. Found on ten
    exact problems; eleven others judge: `python -m benchmarks.recommended`. Of fewer than 7 calls all make steps; from
    there on the last one denoises.

    Args:
        n: network calls.
        unit: standard deviation of the data.
    """

    along = Angle(unit)
    clock = GridClock(along, grids.UniformTime(unit=unit))
    solver = ExpAdams(4) if n < CORRECTED else ExpAdamsPC(useful_order(n), clock=clock)

    method = Method(along, Split.FLOW, solver, Peaked.blended((0.86, 0.76, 0.5), (0.0, 0.52, 0.7), n, unit), n)

    return with_last_step(method) if 1 < n < DENOISED else method


def probability_flow(rtol: float = 1e-5, atol: float | None = None, process: Process = Angle()) -> Method:
    """The probability-flow ODE by adaptive Dormand-Prince, each sample its own steps. Song et al. 2021,
    arXiv:2011.13456.

    Args:
        rtol: relative tolerance of a step, on the state.
        atol: absolute tolerance of a step; None: as rtol.
        process: the coordinates that are integrated along.
    """
    return Method(process, Split.FLOW, DormandPrince54(), Tolerance(rtol, rtol if atol is None else atol))

"""Published samplers, one line each: (process, split, solver, grid, n, eta).

n is the number of noise levels: n - 1 steps and one final denoise, so that a method of one evaluation a step makes n calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from solvers import SRA1, DormandPrince54, EulerMaruyama, ExpAdams, ExpAdamsPC, ExpEuler, ExpMidpoint, ExpRK3, Heun, check

from . import grids
from .charts import EDM, Angle, LogSNR, UnitNoise
from .grids import Grid, Tolerance
from .method import Method
from .process import Process
from .reverse import Split
from .schedules import VPSDE


@dataclass(frozen=True)
class DDIMNoise:
    """DDIM's eta_d as the equation's eta over a step h in lam: e^{-2 eta^2 h} = 1 - eta_d^2 (1 - e^{-2h})."""

    eta_d: float

    def __call__(self, lam0: float, lam1: float) -> float:
        h = lam1 - lam0
        return math.sqrt(-math.log1p(self.eta_d**2 * math.expm1(-2 * h)) / (2 * h))


@dataclass(frozen=True)
class InTime:
    """A clock for Adams methods: t^(1/power) of `process` at the noise level where `along`, integrated along, is at u."""

    along: Process
    process: Process
    power: float = 1.0

    def __call__(self, u: Tensor) -> Tensor:
        return self.process.time(self.along.lam(u)) ** (1 / self.power)


def ddim(n: int, eta: float = 0.0, grid: Grid = grids.uniform_time) -> Method:
    """DDIM: exponential Euler in log-SNR, D frozen over a step. Order 1, n calls. Song et al. 2021, arXiv:2010.02502."""
    eta = check.number("eta", eta, least=0.0, most=1.0)
    return Method(LogSNR(), Split.X0, ExpEuler(), grid, n, DDIMNoise(eta) if 0 < eta < 1 else eta)


def ddpm(n: int, grid: Grid = grids.uniform_time) -> Method:
    """DDPM ancestral, posterior variance: the exact transition with D frozen. Weak order 1, n calls. Ho et al. 2020, arXiv:2006.11239."""
    return Method(LogSNR(), Split.X0, ExpEuler(), grid, n, 1.0)


def euler_ancestral(n: int, eta: float = 1.0, grid: Grid = grids.karras) -> Method:
    """Euler to sigma_down, then noise up: DDIM's eta_d under k-diffusion's name and grid. Weak order 1, n calls. Karras et al. 2022."""
    return ddim(n, eta, grid)


def euler_maruyama(n: int, process: Process = VPSDE(), grid: Grid | None = None) -> Method:
    """Euler-Maruyama on the reverse SDE of `process`, uniform in its time. Weak order 1, n calls. Song et al. 2021, arXiv:2011.13456."""
    return Method(process, Split.EPS, EulerMaruyama(), grids.UniformTime(process) if grid is None else grid, n, 1.0)


def sra1(n: int, process: Process = UnitNoise(), grid: Grid = grids.uniform_lambda) -> Method:
    """SRA1 where the noise is constant. Strong order 3/2, 2n - 1 calls. Roessler 2010, SIAM J. Numer. Anal. 48(3)."""
    return Method(process, Split.EPS, SRA1(), grid, n, 1.0)


def edm_heun(n: int, grid: Grid = grids.karras) -> Method:
    """The deterministic EDM sampler. Order 2, 2n - 1 calls. Karras et al. 2022, arXiv:2206.00364, algorithm 1."""
    return Method(EDM(), Split.EPS, Heun(), grid, n)


def dpm_solver_1(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-1: exponential Euler on eps. Order 1, n calls. Lu et al. 2022, arXiv:2206.00927."""
    return Method(UnitNoise(), Split.EPS, ExpEuler(), grid, n)


def dpm_solver_2(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-2: exponential midpoint on eps. Order 2, 2n - 1 calls. Lu et al. 2022, arXiv:2206.00927."""
    return Method(UnitNoise(), Split.EPS, ExpMidpoint(), grid, n)


def dpm_solver_3(n: int, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver-3: three exponential stages on eps. Order 3, 3n - 2 calls. Lu et al. 2022, arXiv:2206.00927."""
    return Method(UnitNoise(), Split.EPS, ExpRK3(), grid, n)


def dpm_solver_pp_2s(n: int, eta: float = 0.0, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver++(2S): exponential midpoint on x0; eta 1 its SDE form. Order 2, 2n - 1 calls. Lu et al. 2022, arXiv:2211.01095."""
    return Method(LogSNR(), Split.X0, ExpMidpoint(), grid, n, eta)


def dpm_solver_pp_2m(n: int, eta: float = 0.0, grid: Grid = grids.uniform_lambda) -> Method:
    """DPM-Solver++(2M): the linear extrapolant of x0 at mid-step; eta 1 its SDE form. Order 2, n calls. Lu et al. 2022, arXiv:2211.01095."""
    return Method(LogSNR(), Split.X0, ExpAdams(2, midpoint=True), grid, n, eta)


def exp_adams(n: int, order: int = 3, process: Process = LogSNR(), split: Split = Split.X0, grid: Grid = grids.uniform_lambda) -> Method:
    """Adams-Bashforth of any order along any process, started by ExpRK3. Order `order`, n + 2 (order - 1) calls."""
    return Method(process, split, ExpAdams(order, start=ExpRK3()), grid, n)


def unipc(n: int, order: int = 3, grid: Grid = grids.uniform_lambda) -> Method:
    """UniPC (bh2) on x0: predictor and corrector share their calls. Order at most 3 by its ramp, n calls. Zhao et al. 2023, arXiv:2302.04867."""
    return Method(LogSNR(), Split.X0, ExpAdamsPC(order, midpoint=True), grid, n)


def deis(n: int, order: int = 3, grid: Grid = grids.quadratic) -> Method:
    """tAB-DEIS: eps a polynomial of degree `order` in VP time. Order 2 by its ramp, n calls. Zhang & Chen 2022, arXiv:2204.13902."""
    return Method(EDM(), Split.EPS, ExpAdams(order + 1, clock=InTime(EDM(), VPSDE())), grid, n)


def lms(n: int, order: int = 4, grid: Grid = grids.karras) -> Method:
    """Linear multistep in sigma: Adams-Bashforth on any grid. Order 2 by its ramp, n calls. As in k-diffusion (Crowson 2022)."""
    return Method(EDM(), Split.EPS, ExpAdams(order), grid, n)


def probability_flow(rtol: float = 1e-5, atol: float | None = None, process: Process = Angle()) -> Method:
    """The probability-flow ODE by adaptive Dormand-Prince, each sample its own steps. Song et al. 2021, arXiv:2011.13456."""
    return Method(process, Split.FLOW, DormandPrince54(), Tolerance(rtol, rtol if atol is None else atol))

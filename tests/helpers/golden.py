"""Laws of published methods on the reference problem."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde import EDM, VPSDE, LogSNR, Process, Split, UnitNoise, catalogue
from scoresde.samplers.reverse import reverse
from solvers import RK4, Equation, Euler, EulerMaruyama, ExpAdams, ExpEuler, Heun, Solver
from tests.helpers.laws import exact_law
from tests.helpers.problems import F64, G3

VP = VPSDE()


WIDE_EDM, WIDE_LOGSNR, WIDE_UNIT = EDM(1e-4, 1e4), LogSNR(-10.0, 10.0), UnitNoise(-10.0, 10.0)


def uniform(process: Process, n: int) -> Tensor:
    return torch.linspace(process.t_max, process.t_min, n + 1, dtype=F64)


def along(
    process: Process, chart: Process, eq: Equation, solver: Solver, times: Tensor, mean: Tensor, cov: Tensor
) -> tuple[Tensor, Tensor]:
    """Law after a solve along `chart` at the half log-SNRs of `process` at `times`, in the terms of `process` at both
    ends."""
    clock = chart.time(process.lam(times))
    first, last = (chart.alpha(clock[i]) / process.alpha(times[i]) for i in (0, -1))
    end_mean, end_cov = exact_law(eq, solver, clock, mean * first, cov * first**2)
    return end_mean / last, end_cov / last**2


def start(process: Process) -> tuple[Tensor, Tensor]:
    return torch.zeros(3, dtype=F64), process.sigma(process.t_max) ** 2 * torch.eye(3, dtype=F64)


def method(name: str, n: int) -> tuple[Tensor, Tensor]:
    """Law of a method by its published name on the reference problem."""
    score, times = G3.score(VP), uniform(VP, n)
    if name == "em":
        return exact_law(VP.reverse(score), EulerMaruyama(), times, *start(VP))
    if name in ("euler", "heun", "rk4"):
        return exact_law(
            VP.probability_flow(score), {"euler": Euler(), "heun": Heun(), "rk4": RK4()}[name], times, *start(VP)
        )
    chart, eq, solver = {
        "ddim": (WIDE_LOGSNR, reverse(WIDE_LOGSNR, G3, 0.0, Split.X0), ExpEuler()),
        "ddim-edm": (WIDE_EDM, reverse(WIDE_EDM, G3, 0.0, Split.EPS), Euler()),
        "ddim-unit": (WIDE_UNIT, reverse(WIDE_UNIT, G3, 0.0, Split.EPS), ExpEuler()),
        "ddpm": (WIDE_LOGSNR, reverse(WIDE_LOGSNR, G3, 1.0, Split.X0), ExpEuler()),
        "2m": (WIDE_LOGSNR, reverse(WIDE_LOGSNR, G3, 0.0, Split.X0), ExpAdams(2, midpoint=True)),
        "sde-2m": (WIDE_LOGSNR, reverse(WIDE_LOGSNR, G3, 1.0, Split.X0), ExpAdams(2, midpoint=True)),
        "3m": (WIDE_LOGSNR, reverse(WIDE_LOGSNR, G3, 0.0, Split.X0), catalogue.dpm_solver_pp_3m(n).solver),
        "3m-corrected": (
            WIDE_LOGSNR,
            reverse(WIDE_LOGSNR, G3, 0.0, Split.X0),
            catalogue.dpm_solver_pp_3m(n, corrected=True).solver,
        ),
    }[name]
    return along(VP, chart, eq, solver, times, *start(VP))

"""Solvers of other libraries as methods of the catalogue."""

from __future__ import annotations

from solvers.adapters import SciPy, TorchDiffEq, TorchSDE

from ...processes.base import Process
from ...processes.coordinates import Angle
from ...processes.forward import VPSDE
from .. import grids
from ..method import Method
from ..reverse import Split


def torchdiffeq(
    method: str = "dopri5",
    rtol: float = 1e-5,
    atol: float | None = None,
    n: int = 2,
    process: Process = Angle(),
) -> Method:
    """The probability-flow ODE solved by `method` of the library torchdiffeq. All samples of a batch share their steps.

    The order is that of `method`; the library chooses the number of calls. Chen et al. 2018, arXiv:1806.07366.

    Args:
        method: name of a solver of torchdiffeq.
        rtol: relative tolerance of adaptive methods.
        atol: absolute tolerance of adaptive methods; None: as rtol.
        n: number of output times, uniform in the time of `process`. For adaptive methods choose 2; methods with fixed
            steps make one step from each output time to the next.
        process: the process along which the equation is integrated.
    """

    return Method(
        process, Split.FLOW, TorchDiffEq(method, rtol, rtol if atol is None else atol), grids.UniformTime(process), n
    )


def scipy(
    method: str = "RK45",
    rtol: float = 1e-5,
    atol: float | None = None,
    n: int = 2,
    process: Process = Angle(),
) -> Method:
    """The probability-flow ODE solved by SciPy's solve_ivp, in float64 on the CPU. All samples of a batch share their
    steps.

    The order is that of `method`; the library chooses the number of calls. Virtanen et al. 2020, Nature Methods 17.

    Args:
        method: name of a solver of solve_ivp.
        rtol: relative tolerance.
        atol: absolute tolerance; None: as rtol.
        n: number of output times, uniform in the time of `process`.
        process: the process along which the equation is integrated.
    """

    return Method(
        process, Split.FLOW, SciPy(method, rtol, rtol if atol is None else atol), grids.UniformTime(process), n
    )


def torchsde(
    method: str = "srk",
    dt: float = 1e-2,
    n: int = 2,
    process: Process = VPSDE(),
) -> Method:
    """The reverse SDE of `process` solved by `method` of the library torchsde.

    The order is that of `method`. The noise is drawn for the whole batch, so a sample depends on the other samples of
    its batch. Li et al. 2020, arXiv:2001.01328.

    Args:
        method: name of a solver of torchsde.
        dt: step size, in the time of `process`.
        n: number of output times, uniform in the time of `process`.
        process: the process along which the equation is integrated.
    """
    return Method(
        process,
        Split.EPS,
        TorchSDE(method, dt),
        grids.UniformTime(process),
        n,
        1.0,
    )

"""Other libraries' solvers as lines of the catalogue."""

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
    """The probability flow by torchdiffeq's `method`, n output times and any number of calls, one step for the whole
    batch.

    Order that of `method`. Chen et al. 2018, arXiv:1806.07366.

    Args:
        method: torchdiffeq's name of its solver.
        rtol: relative tolerance of adaptive methods.
        atol: absolute tolerance of adaptive methods; None: as rtol.
        n: output times, uniform in the time of `process`. Adaptive methods want 2; fixed-grid ones step from output to
            output.
        process: the coordinates that are integrated along.
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
    """The probability flow by SciPy's solve_ivp, in float64 on the CPU, n output times and any number of calls, one
    step for the whole batch.

    Order that of `method`. Virtanen et al. 2020, Nature Methods 17.

    Args:
        method: solve_ivp's name of its solver.
        rtol: relative tolerance.
        atol: absolute tolerance; None: as rtol.
        n: output times, uniform in the time of `process`.
        process: the coordinates that are integrated along.
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
    """The reverse SDE of `process` by torchsde, n output times. Order that of `method`.

    Its noise is drawn for the whole batch, so that a sample depends on its batch mates. Li et al. 2020,
    arXiv:2001.01328.

    Args:
        method: torchsde's name of its solver.
        dt: its step, in the time of `process`.
        n: output times, uniform in the time of `process`.
        process: the coordinates that are integrated along.
    """
    return Method(
        process,
        Split.EPS,
        TorchSDE(method, dt),
        grids.UniformTime(process),
        n,
        1.0,
    )

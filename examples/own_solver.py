"""A solver of one's own: a third-order method by Ralston, checked by the laws, and compared with Heun."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scoresde import VPSDE, Angle, Method, Split, exact, sample
from scoresde.samplers.grids import UniformTime
from solvers import Equation, Heun, Noise
from solvers.solver import OneStep
from solvers.testing import check_solver


@dataclass(frozen=True)
class Ralston3(OneStep):
    """Order 3, three evaluations: the third-order method of least error bound. Ralston 1962."""

    order: ClassVar[int] = 3
    evals: ClassVar[int] = 3
    noise: ClassVar[Noise] = Noise.NONE
    strong_order: ClassVar[float | None] = None
    reference: ClassVar[str] = "Ralston 1962, Math. Comp. 16, 431-437"

    def step(self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: Any, noise: Any, w: Any) -> Any:
        h = t1 - t0
        k1 = eq.drift(t0, y)
        k2 = eq.drift(t0 + h / 2, y + k1 * (h / 2).to(y.dtype))
        k3 = eq.drift(t0 + 3 * h / 4, y + k2 * (3 * h / 4).to(y.dtype))
        return y + (2 * k1 + 3 * k2 + 4 * k3) * (h / 9).to(y.dtype), None, state


def main() -> None:
    """Print errors of two solvers along the flow of a mixture."""
    check_solver(Ralston3())
    print("the laws hold")

    data = exact.GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.1, process=VPSDE())
    along = Angle()
    grid = UniformTime(along)
    fine = sample(data, (500, 2), Method(along, Split.FLOW, Ralston3(), grid, 400), seed=0)
    for solver, levels in ((Heun(), 31), (Ralston3(), 21)):
        method = Method(along, Split.FLOW, solver, grid, levels)
        error = (sample(data, (500, 2), method, seed=0) - fine).square().mean().sqrt()
        print(f"{solver!r:12} {method.calls} calls, RMS error {error:.2e}")


if __name__ == "__main__":
    main()

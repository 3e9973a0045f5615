"""`torch.compile` of a step: one graph serves a whole grid, because times are tensors and weights are planned ahead."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo as dynamo

from solvers import RK4, Equation, Euler, EulerMaruyama, ExpEuler, ExpMidpoint, ExpRK3, Heun, Midpoint, Noise, Ralston
from solvers.solve import fixed_steps

F64 = torch.float64
TIMES = torch.linspace(1.0, 0.2, 51, dtype=F64)


def f(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.sin(y) * t.to(y.dtype)


def increment(t0: torch.Tensor, t1: torch.Tensor) -> torch.Tensor:
    return torch.ones(4, 3) * (t1 - t0).abs().sqrt().to(torch.float32)


CASES = [
    *((solver, Equation(f), None) for solver in (Euler(), Midpoint(), Heun(), Ralston(), RK4())),
    *((solver, Equation(f, a=-1.5), None) for solver in (ExpEuler(), ExpMidpoint(), ExpRK3())),
    (EulerMaruyama(), Equation(f, lambda t, y: t, noise=Noise.ADDITIVE), increment),
    (ExpEuler(), Equation(f, lambda t, y: t, a=-1.5, noise=Noise.ADDITIVE), increment),
]


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "eq", "noise"), CASES, ids=[f"{case[0]!r}, {case[1].kind.name}" for case in CASES])
def test_one_graph_for_fifty_steps(solver, eq: Equation, noise) -> None:
    """Fifty steps through one compiled step: one graph, no break, and the eager answer."""
    y = torch.linspace(-1, 1, 12).reshape(4, 3)
    with torch.no_grad():
        eager = list(fixed_steps(eq, y, solver, TIMES, noise))[-1][1]
        dynamo.reset()
        graphs: list[torch.fx.GraphModule] = []

        def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]):
            graphs.append(graph)
            return graph.forward

        step = torch.compile(type(solver).step, backend=backend, fullgraph=True)
        grid, plan = TIMES.unbind(), solver.plan(eq, TIMES, y)
        state = solver.init(eq, grid[0], y)
        for t0, t1, w in zip(grid[:-1], grid[1:], plan, strict=True):
            y, _, state = step(solver, eq, t0, t1, y, state, noise, w)
        dynamo.reset()
    assert len(graphs) == 1
    assert (y - eager).abs().max() < 1e-5

"""First light: our solvers and three other libraries on one Gaussian problem with the exact answer.

    python -m benchmarks.first_light

Data N(m, diag(1/4, 1, 4)) under VPSDE(0.1, 20), from the prior at t = 1 to t = 1e-3, float64. For the probability flow
the error is the RMS distance to the exact end point of each sample; for the reverse SDE, of 50 steps, it is W2 between
the exact law and the Gaussian fitted to the samples, whose floor (as many exact draws) is printed beside. Everyone
integrates the same Equation through the same `solve`; calls of the drift are counted there. Writes
benchmarks/results/first_light.json; under two minutes on two cores.
"""

from __future__ import annotations

import argparse
import math
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from scoresde import VPSDE, exact
from scoresde.evaluation.judge import frechet_gaussian
from scoresde.storage.files import versions, write_json
from solvers import SRA1, Adaptive, DormandPrince54, Equation, EulerMaruyama, SeededNoise, Solution, solve
from solvers.adapters import SciPy, TorchDiffEq, TorchSDE

F64 = torch.float64
SDE = VPSDE()
MEAN, VAR = torch.tensor([1.0, -0.5, 2.0], dtype=F64), torch.tensor([0.25, 1.0, 4.0], dtype=F64)
DATA = exact.Gaussian(MEAN, VAR)
T, EPS, STEPS, TOL = SDE.t_max, SDE.t_min, 50, 1e-5
RESULT = Path(__file__).parent / "results" / "first_light.json"


def variance(t: float) -> Tensor:
    """Per-dimension variance of the data's marginal at t."""
    return SDE.alpha(t) ** 2 * VAR + SDE.sigma(t) ** 2


def flow_answer(x: Tensor) -> Tensor:
    """Where the probability flow takes x from T to EPS."""
    return SDE.alpha(EPS) * MEAN + (variance(EPS) / variance(T)).sqrt() * (x - SDE.alpha(T) * MEAN)


def sde_answer() -> tuple[Tensor, Tensor]:
    """Mean and variance at EPS of the reverse SDE started from the prior at T."""
    phi = variance(EPS) / variance(T) * (SDE.alpha(T) / SDE.alpha(EPS))
    return SDE.alpha(EPS) * MEAN - phi * SDE.alpha(T) * MEAN, variance(EPS) + phi**2 * (SDE.sigma(T) ** 2 - variance(T))


def w2(x: Tensor) -> float:
    """W2 between the Gaussian fitted to x and the exact law."""
    mean, var = sde_answer()
    return math.sqrt(max(0.0, frechet_gaussian(x.mean(0), x.T.cov(), mean, var.diag())))


def timed(eq: Equation, x: Tensor, solver: Any, steps: Any, noise: Any = None) -> tuple[Solution, float]:
    """A solve and its seconds."""
    start = time.perf_counter()
    solution = solve(eq, x, solver, steps, noise=noise)
    return solution, time.perf_counter() - start


def main() -> None:
    """Run all, print the table, store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n-ode", type=int, default=2048)
    parser.add_argument("--n-sde", type=int, default=50_000)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def add(name: str, equation: str, error: float, solution: Solution, seconds: float) -> None:
        each = solution.evals if isinstance(solution.evals, int) else solution.evals.double().mean().item()
        most = solution.evals if isinstance(solution.evals, int) else int(solution.evals.max())
        rows.append(
            {
                "solver": name,
                "equation": equation,
                "error": error,
                "calls_mean": each,
                "calls_max": most,
                "seconds": seconds,
            }
        )

    score = DATA.score(SDE)
    flow, x = SDE.probability_flow(score), SDE.prior((arguments.n_ode, 3), seed=0, dtype=F64)
    ends = torch.tensor([T, EPS], dtype=F64)
    for solver, steps in (
        (DormandPrince54(), Adaptive(T, EPS, rtol=TOL, atol=TOL)),
        (TorchDiffEq("dopri5", TOL, TOL), ends),
        (SciPy("RK45", TOL, TOL), ends),
    ):
        solution, seconds = timed(flow, x, solver, steps)
        add(
            repr(solver),
            "probability flow",
            (solution.y - flow_answer(x)).square().mean().sqrt().item(),
            solution,
            seconds,
        )

    reverse, x = SDE.reverse(score), SDE.prior((arguments.n_sde, 3), seed=1, dtype=F64)
    grid = torch.linspace(T, EPS, STEPS + 1, dtype=F64)
    dt = (T - EPS) / STEPS
    for solver, steps in (
        (EulerMaruyama(), grid),
        (SRA1(), grid),
        (TorchSDE("euler", dt), ends),
        (TorchSDE("srk", dt), ends),
    ):
        solution, seconds = timed(reverse, x, solver, steps, SeededNoise(2))
        add(repr(solver), "reverse SDE", w2(solution.y), solution, seconds)
    mean, var = sde_answer()
    floor = w2(mean + SeededNoise(7).normal(0, range(1), (arguments.n_sde, 3), F64)[0] * var.sqrt())

    table = Table(
        title=f"One Gaussian problem, tolerance {TOL:g}, {STEPS} SDE steps; W2 floor of {arguments.n_sde} exact"
        f" draws {floor:.1e}"
    )
    for head in ("equation", "solver", "error", "calls, mean", "max", "seconds"):
        table.add_column(head, justify="left" if head in ("equation", "solver") else "right")
    for r in rows:
        table.add_row(
            r["equation"],
            r["solver"],
            f"{r['error']:.2e}",
            f"{r['calls_mean']:.1f}",
            str(r["calls_max"]),
            f"{r['seconds']:.2f}",
        )
    Console(width=130).print(table)
    about = {
        "date": date.today().isoformat(),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "dtype": "float64",
    }
    write_json(
        arguments.out, {**about, "n_ode": arguments.n_ode, "n_sde": arguments.n_sde, "w2_floor": floor, "rows": rows}
    )


if __name__ == "__main__":
    main()

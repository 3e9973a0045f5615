"""Law of adaptive SDE steps: `python -m benchmarks.adaptive_sde`.

dy = -3y dt + (1/2 + t) dW from 0 on [0, 1], SRA1 with `Adaptive` on a BrownianTree, d = 1, 4, 16. Printed: variance
over the exact one with its standard error, and over that of a fine solve of the same paths, which removes what the
draw does and leaves the bias of the steps with a standard error of its own. Then the reverse SDE of the mixture M3
along a constant-noise clock: variance and W2 against a fine solve, W2 over the spread. A few minutes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.common import save, show
from benchmarks.strong_error import MIXTURES
from scoresde.denoisers.exact import GaussianMixture
from scoresde.processes.coordinates import UnitNoise
from scoresde.samplers.reverse import Split, reverse
from solvers import SRA1, Adaptive, BrownianTree, Equation, Noise, Solution, solve

F64 = torch.float64
TOLERANCES = (1.0, 0.3, 0.1, 0.03, 0.01)
OU = Equation(lambda t, y: -3 * y, lambda t, y: (0.5 + t).to(y.dtype), noise=Noise.ADDITIVE)


def on_ornstein(d: int, exact: float) -> Iterator[dict[str, Any]]:
    """Variance, from the exact one and from the fine solve."""
    y0 = torch.zeros(max(1000, 8000 // d), d, dtype=F64)
    path = BrownianTree(y0, 0.0, 1.0, seed=d)
    fine = solve(OU, y0, SRA1(), torch.linspace(0, 1, 257, dtype=F64), path).y
    scale, error = fine.square().mean(), math.sqrt(2 / y0.numel())
    for tol in TOLERANCES:
        solution = solve(OU, y0, SRA1(), Adaptive(0.0, 1.0, rtol=0.0, atol=tol), path)
        found = solution.y.square()
        bias, of_bias = (
            (found.mean() / scale - 1).item(),
            ((found - fine.square()).std() / scale).item() / math.sqrt(y0.numel()),
        )
        law = {
            "variance ratio": found.mean().item() / exact,
            "standard error": error,
            "bias": bias,
            "of bias": of_bias,
            "passes": abs(bias) < error,
        }
        yield facts(f"Ornstein-Uhlenbeck, d = {d}", tol, solution) | law


def on_mixture(paths: int = 2000) -> Iterator[dict[str, Any]]:
    """Variance and W2 against the fine solve, along the clock of `benchmarks.strong_error`."""
    means, std, weights = (torch.tensor(v, dtype=F64) for v in (*MIXTURES["distant"], (0.3, 0.5, 0.2)))
    process = UnitNoise(-math.log(80.0), -math.log(0.1))
    eq, y0 = (
        reverse(process, GaussianMixture(means[:, None], std**2, weights), eta=1.0, split=Split.EPS),
        process.prior((paths, 1), dtype=F64),
    )
    ends = process.t_noise, process.t_data
    path = BrownianTree(y0, *sorted(ends), seed=1)
    fine = solve(eq, y0, SRA1(), torch.linspace(*ends, 2049, dtype=F64), path).y
    for tol in TOLERANCES:
        solution = solve(eq, y0, SRA1(), Adaptive(*ends, rtol=tol, atol=tol), path)
        moved = (
            solution.y.flatten().sort().values - fine.flatten().sort().values
        )  # the optimal coupling of the two samples
        law = {
            "bias": (solution.y.var() / fine.var() - 1).item(),
            "W2": (moved.square().mean().sqrt() / fine.std()).item(),
        }
        yield facts("reverse SDE of M3", tol, solution) | law


def facts(problem: str, tol: float, solution: Solution) -> dict[str, Any]:
    """What was run and what it cost a sample."""
    accepted, rejected, evals = (
        torch.as_tensor(n).double().mean().item() for n in (solution.accepted, solution.rejected, solution.evals)
    )
    return {"problem": problem, "tol": tol, "steps": accepted, "rejected": rejected, "calls": evals}


def main() -> None:
    """Measure, print, store."""
    torch.set_num_threads(1)
    u = (torch.arange(20_000, dtype=F64) + 0.5) / 20_000
    exact = (torch.exp(-6 * (1 - u)) * (0.5 + u) ** 2).mean().item()
    with torch.no_grad():
        linear = [row for d in (1, 4, 16) for row in on_ornstein(d, exact)]
        show("Variance over the exact one; its bias, from the same paths solved finely", linear)
        mixture = list(on_mixture())
    show("Against a fine solve of the same paths", mixture)
    save("adaptive_sde", linear + mixture, F64, exact=exact)


if __name__ == "__main__":
    main()

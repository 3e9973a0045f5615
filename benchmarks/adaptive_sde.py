"""Law of adaptive SDE steps on an Ornstein-Uhlenbeck process: `python -m benchmarks.adaptive_sde`.

dy = -3y dt + (1/2 + t) dW from 0 on [0, 1], SRA1 with `Adaptive` on a BrownianTree, d = 1, 4, 16. Printed: variance over the exact one with its standard
error, and two controls with noise that had no say in the steps: as many uniform steps, and the accepted meshes of 20 samples ("same meshes"), which separates
what the sizes of the steps do from what choosing them by the path does. About a minute."""

from __future__ import annotations

import math
from typing import Any

import torch

from benchmarks.common import save, show
from solvers import SRA1, Adaptive, BrownianTree, Equation, Noise, SeededNoise, iterate, solve

F64 = torch.float64
OU = Equation(lambda t, y: -3 * y, lambda t, y: (0.5 + t).to(y.dtype), noise=Noise.ADDITIVE)


def replayed(y0: torch.Tensor, k: int, d: int, tol: float) -> float:
    """Second moment of fixed steps on the mesh that sample k accepted, with independent noise."""
    one, control = y0[:1], Adaptive(0.0, 1.0, rtol=0.0, atol=tol)
    times = {0.0, *(t.item() for t, _ in iterate(OU, one, SRA1(), control, BrownianTree(one, 0.0, 1.0, seed=d, first=k)))}
    return solve(OU, y0, SRA1(), torch.tensor(sorted(times), dtype=F64), SeededNoise(1000 + k)).y.square().mean().item()


def main() -> None:
    """Measure, print, store."""
    torch.set_num_threads(1)
    u = (torch.arange(20_000, dtype=F64) + 0.5) / 20_000
    exact = (torch.exp(-6 * (1 - u)) * (0.5 + u) ** 2).mean().item()
    rows: list[dict[str, Any]] = []
    for d in (1, 4, 16):
        y0 = torch.zeros(max(1000, 8000 // d), d, dtype=F64)
        error = math.sqrt(2 / y0.numel())
        for tol in (0.3, 0.1, 0.03):
            solution = solve(OU, y0, SRA1(), Adaptive(0.0, 1.0, rtol=0.0, atol=tol), BrownianTree(y0, 0.0, 1.0, seed=d))
            assert isinstance(solution.accepted, torch.Tensor)
            steps = round(solution.accepted.double().mean().item())
            fixed = solve(OU, y0, SRA1(), torch.linspace(0, 1, steps + 1, dtype=F64), SeededNoise(d)).y
            meshes = [replayed(y0, k, d, tol) for k in range(20)]
            same = sum(meshes) / len(meshes) / exact
            rejected = float(torch.as_tensor(solution.rejected).double().mean())
            ratios = {"variance ratio": solution.y.square().mean().item() / exact, "standard error": error}
            controls = {"uniform steps": fixed.square().mean().item() / exact, "same meshes": same}
            rows.append({"d": d, "tol": tol, "steps": steps, "rejected": rejected, **ratios, **controls})
    show("Variance of adaptive SDE steps over the exact one", rows)
    save("adaptive_sde", rows, F64, exact=exact)


if __name__ == "__main__":
    main()

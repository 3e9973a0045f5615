"""Strong error on the reverse SDE of a mixture, all solvers on one path: `python -m benchmarks.strong_error`.

Along x = e^t x0 + eps (t = log-SNR/2) the diffusion is constant, where stochastic Runge-Kutta methods are at their best. The
reference is SRA3 on a fine grid of the same Brownian path. Error: RMS over paths of the difference in x0 units. SRA1 is to be
at least 100 x below Euler-Maruyama at 512 steps. The components overlap (means 1.5 apart, std 0.4 to 0.6): with narrow, distant
ones the mean square is that of the few paths near a watershed, and the factor drops (84 at means 2.5 apart, std 0.2 to 0.6).
--peers: torchsde's srk on a path of its own tree, against its own fine solution."""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import save, show
from scoresde.charts import UnitNoise
from scoresde.exact import GaussianMixture
from scoresde.reverse import Split, reverse
from solvers import SRA1, SRA3, Equation, EulerMaruyama, ExpAdams, ExpEuler, ExpMidpoint, GridPath, ShARK, StochasticHeun, solve

F64 = torch.float64
SOLVERS = (EulerMaruyama(), StochasticHeun(), ExpEuler(), ExpMidpoint(), ExpAdams(2), SRA1(), ShARK(), SRA3())


def torchsde_run(eq: Equation, y0: Tensor, times: Tensor, fine: int, method: str) -> tuple[Tensor, Tensor]:
    """torchsde on `times`, and a fine solution by its own srk on its own path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchsde

    class Sde(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t: Tensor, y: Tensor) -> Tensor:
            return eq.drift(t, y)

        def g(self, t: Tensor, y: Tensor) -> Tensor:
            assert eq.g is not None
            return eq.g(t, y) + torch.zeros_like(y)

    ends = times[[0, -1]]
    path = torchsde.BrownianInterval(*ends.tolist(), size=y0.shape, dtype=F64, entropy=0, levy_area_approximation="space-time")
    span, steps = (ends[1] - ends[0]).item(), len(times) - 1
    coarse, reference = (torchsde.sdeint(Sde(), y0, ends, bm=path, dt=span / n, method=m)[-1] for n, m in ((steps, method), (fine, "srk")))
    return coarse, reference


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=200)
    parser.add_argument("--fine", type=int, default=8192)
    parser.add_argument("--steps", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--peers", action="store_true", help="torchsde too (slow)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    means, std = np.array([-1.5, 0.0, 1.5]), np.array([0.5, 0.6, 0.4])
    mixture = GaussianMixture(torch.from_numpy(means)[:, None], torch.from_numpy(std**2), torch.tensor([0.3, 0.5, 0.2], dtype=F64))
    process = UnitNoise(-np.log(80.0).item(), -np.log(0.1).item())
    eq = reverse(process, mixture, eta=1.0, split=Split.EPS)
    y0, scale = process.prior((args.paths, 1), dtype=F64), process.alpha(process.t_data)
    fine = torch.linspace(process.t_noise, process.t_data, args.fine + 1, dtype=F64)
    path = GridPath(y0, fine, torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = solve(eq, y0, SRA3(), fine, path).y
        rows = []
        for steps in args.steps:
            base = None
            for solver in SOLVERS:
                start = time.perf_counter()
                y = solve(eq, y0, solver, fine[:: args.fine // steps], path).y
                error = ((y - exact) / scale).square().mean().sqrt().item()
                base = error if base is None else base
                rows.append({"method": repr(solver), "steps": steps, "calls": solver.calls(steps), "strong error": error, "Euler-Maruyama is": base / error,
                             "seconds": time.perf_counter() - start})
            if args.peers:
                start = time.perf_counter()
                y, reference = torchsde_run(eq, y0, fine[:: args.fine // steps], 4 * max(args.steps), "srk")
                error = ((y - reference) / scale).square().mean().sqrt().item()
                rows.append({"method": "torchsde srk", "steps": steps, "calls": 10 * steps, "strong error": error, "Euler-Maruyama is": (base or 0.0) / error,
                             "seconds": time.perf_counter() - start})
    show("Reverse SDE of a mixture along a constant-noise clock", rows)
    save("strong_error", rows, F64, paths=args.paths, fine=args.fine)


if __name__ == "__main__":
    main()

"""Adaptive solvers against the exact answer, and against SciPy point by point: `python -m benchmarks.adaptive`.

Probability flow of a mixture on the line along the VP-SDE, t from 1 to 1e-3, float64: the exact map carries quantiles
to quantiles. Error: RMS of |y - y*| / (tol + tol |y*|), to be at most 5; calls: mean over the points, at most 1.1 x
SciPy RK45. Starts: 45 evenly spaced points; then Dormand-Prince from 20 other sets of 45, drawn from the prior, of
which the least, median and largest error are kept."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.special import ndtr
from torch import Tensor

from benchmarks.common import save, show
from scoresde import VPSDE
from scoresde.denoisers.exact import GaussianMixture
from solvers import Adaptive, BogackiShampine32, DormandPrince54, DormandPrince853, Equation, Tsitouras54, solve

F64 = torch.float64
SDE = VPSDE()
WEIGHTS, MEANS, STD = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 3.0]), np.array([0.3, 0.6, 0.2])
OURS = (BogackiShampine32(), DormandPrince54(), Tsitouras54(), DormandPrince853())


def cdf(x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
    """P(X_t <= x) and P(X_t > x)."""
    alpha, sigma = SDE.alpha(t).item(), SDE.sigma(t).item()
    z = (x[:, None] - alpha * MEANS) / np.sqrt(alpha**2 * STD**2 + sigma**2)
    return (WEIGHTS * ndtr(z)).sum(1), (WEIGHTS * ndtr(-z)).sum(1)


def transport(x: np.ndarray, t0: float, t1: float) -> np.ndarray:
    """The probability flow from t0 to t1: bisection on whichever tail is small."""
    p, q = cdf(x, t0)
    low, high = np.full_like(x, -50.0), np.full_like(x, 50.0)
    for _ in range(80):
        mid = 0.5 * (low + high)
        left, right = cdf(mid, t1)
        over = np.where(p < 0.5, left > p, right < q)
        low, high = np.where(over, low, mid), np.where(over, mid, high)
    return 0.5 * (low + high)


def scipy_run(eq: Equation, y0: Tensor, method: str, tol: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends and calls, each point by itself."""

    def f(t: float, y: np.ndarray) -> np.ndarray:
        return eq.drift(torch.tensor(t, dtype=F64), torch.from_numpy(y)[None]).numpy()[0]

    runs = [solve_ivp(f, (SDE.t_max, SDE.t_min), y.numpy(), method=method, rtol=tol, atol=tol) for y in y0]
    return np.array([r.y[0, -1] for r in runs]), np.array([r.nfev for r in runs])


def torchdiffeq_run(eq: Equation, y0: Tensor, method: str, tol: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends and calls, each point by itself."""
    from torchdiffeq import odeint

    ends, calls = [], []
    for y in y0:
        count = 0

        def f(t: Tensor, x: Tensor) -> Tensor:
            nonlocal count
            count += 1
            return eq.drift(t.clamp(SDE.t_min, SDE.t_max), x[None])[0]

        ends.append(
            odeint(f, y, torch.tensor([SDE.t_max, SDE.t_min], dtype=F64), rtol=tol, atol=tol, method=method)[-1].item()
        )
        calls.append(count)
    return np.array(ends), np.array(calls)


def our_run(eq: Equation, y0: Tensor, solver: object, tol: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends and calls, all points at once."""
    s = solve(eq, y0, solver, Adaptive(SDE.t_max, SDE.t_min, rtol=tol, atol=tol))  # type: ignore[arg-type]
    return s.y[:, 0].numpy(), s.evals.numpy()  # type: ignore[union-attr]


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=45)
    parser.add_argument("--tol", type=float, nargs="+", default=[1e-3, 1e-5, 1e-7, 1e-9])
    parser.add_argument("--no-peers", action="store_true", help="only SciPy RK45 beside ours")
    args = parser.parse_args()
    torch.set_num_threads(1)
    mixture = GaussianMixture(torch.from_numpy(MEANS)[:, None], torch.from_numpy(STD**2), torch.from_numpy(WEIGHTS))
    eq = SDE.probability_flow(mixture)
    x0 = np.linspace(-2.5, 2.5, args.points)
    y0, exact = torch.from_numpy(x0)[:, None], transport(x0, SDE.t_max, SDE.t_min)
    runs: dict[str, Callable[[float], tuple[np.ndarray, np.ndarray]]] = {
        "scipy RK45": lambda tol: scipy_run(eq, y0, "RK45", tol)
    }
    runs |= {f"ours {s!r}": (lambda tol, s=s: our_run(eq, y0, s, tol)) for s in OURS}
    if not args.no_peers:
        runs |= {
            "scipy DOP853": lambda tol: scipy_run(eq, y0, "DOP853", tol),
            "torchdiffeq dopri5": lambda tol: torchdiffeq_run(eq, y0, "dopri5", tol),
        }
    rows = []
    with torch.no_grad():
        for tol in args.tol:
            base = None
            for name, run in runs.items():
                end, calls = run(tol)
                scaled = float(np.sqrt(np.mean(((end - exact) / (tol + tol * np.abs(exact))) ** 2)))
                base = calls.mean() if base is None else base
                rows.append(
                    {
                        "method": name,
                        "tol": f"{tol:.0e}",
                        "scaled error": scaled,
                        "mean calls": float(calls.mean()),
                        "most calls": int(calls.max()),
                        "of RK45": float(calls.mean() / base),
                    }
                )
            together, _ = our_run(eq, y0, DormandPrince54(), tol)
            alone = np.concatenate(
                [our_run(eq, y0[i : i + 1], DormandPrince54(), tol)[0] for i in range(0, args.points, 9)]
            )
            assert np.array_equal(together[::9], alone), "a sample depends on its batch"
        others = [other_starts(eq, args.points, tol) for tol in args.tol]
    show("Probability flow of a mixture, against the exact map", rows)
    show("Dormand-Prince from 20 other sets of starts", others)
    save("adaptive", rows, F64, points=args.points, others=others)


def other_starts(eq: Equation, points: int, tol: float) -> dict[str, object]:
    """The least, the median and the largest scaled error over 20 sets of starts from the prior."""
    errors: list[float] = []
    for seed in range(20):
        x0 = SDE.prior((points, 1), seed=seed, dtype=F64)[:, 0].numpy()
        exact = transport(x0, SDE.t_max, SDE.t_min)
        end, _ = our_run(eq, torch.from_numpy(x0)[:, None], DormandPrince54(), tol)
        errors.append(float(np.sqrt(np.mean(((end - exact) / (tol + tol * np.abs(exact))) ** 2))))
    return {
        "tol": f"{tol:.0e}",
        "sets": len(errors),
        "least": min(errors),
        "median": float(np.median(errors)),
        "largest": max(errors),
    }


if __name__ == "__main__":
    main()

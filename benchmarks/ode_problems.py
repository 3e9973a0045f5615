"""Our adaptive methods beside SciPy's on four known problems: `python -m benchmarks.ode_problems`, float64.

Arenstorf's orbit, the Pleiades, a Kepler orbit of eccentricity 0.5 over five periods, and the van der Pol oscillator
(mu = 1, no stiffness); Hairer, Norsett & Wanner 1993, "Solving Ordinary Differential Equations I", sections II.0 and
II.10. At tolerances 1e-4 to 1e-10: error at the end against a solve at 1e-13, and calls of f. `ratio` is our calls
over SciPy's at equal error, between points by a line in logarithms, in the geometric mean.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import solve_ivp

from benchmarks.common import save, show
from solvers import Adaptive, DormandPrince54, DormandPrince853, Equation, SolveError, solve

Field = Callable[[float, np.ndarray], np.ndarray]
PAIRS = (("DOP853", DormandPrince853()), ("RK45", DormandPrince54()))
MU = 0.012277471


def arenstorf(t: float, y: np.ndarray) -> np.ndarray:
    """A satellite between Earth and Moon."""
    x, z, vx, vz = y
    first = ((x + MU) ** 2 + z**2) ** 1.5
    second = ((x - 1 + MU) ** 2 + z**2) ** 1.5
    ax = x + 2 * vz - (1 - MU) * (x + MU) / first - MU * (x - 1 + MU) / second
    az = z - 2 * vx - (1 - MU) * z / first - MU * z / second
    return np.array([vx, vz, ax, az])


def pleiades(t: float, y: np.ndarray) -> np.ndarray:
    """Seven stars in a plane, of masses 1 to 7."""
    x, z, vx, vz = y.reshape(4, 7)
    dx, dz = x - x[:, None], z - z[:, None]
    cubed = (dx**2 + dz**2 + np.eye(7)) ** 1.5
    masses = np.arange(1.0, 8.0)
    return np.concatenate([vx, vz, (masses * dx / cubed).sum(1), (masses * dz / cubed).sum(1)])


def kepler(t: float, y: np.ndarray) -> np.ndarray:
    """Two bodies."""
    place, speed = y[:2], y[2:]
    return np.concatenate([speed, -place / np.sqrt((place**2).sum()) ** 3])


def van_der_pol(t: float, y: np.ndarray) -> np.ndarray:
    """mu = 1."""
    return np.array([y[1], (1 - y[0] ** 2) * y[1] - y[0]])


STARS = [3, 3, -1, -3, 2, -2, 2, 3, -3, 2, 0, 0, -4, 4, 0, 0, 0, 0, 0, 1.75, -1.5, 0, 0, 0, -1.25, 1, 0, 0]
PROBLEMS: dict[str, tuple[Field, list[float], float]] = {
    "Arenstorf": (arenstorf, [0.994, 0.0, 0.0, -2.00158510637908252240537862224], 17.0652165601579625588917206249),
    "Pleiades": (pleiades, STARS, 3.0),
    "Kepler": (kepler, [0.5, 0.0, 0.0, math.sqrt(3.0)], 10 * math.pi),
    "van der Pol": (van_der_pol, [2.0, 0.0], 20.0),
}


def ours(
    field: Field, start: list[float], end: float, solver: DormandPrince853 | DormandPrince54, tolerance: float
) -> tuple[np.ndarray, int]:
    """State at the end and calls of f."""

    def f(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(field(float(t), y[0].numpy()))[None]

    y0 = torch.tensor([start], dtype=torch.float64)
    solution = solve(Equation(f), y0, solver, Adaptive(0.0, end, rtol=tolerance, atol=tolerance, max_evals=1_000_000))
    return solution.y[0].numpy(), solution.calls


def scipys(field: Field, start: list[float], end: float, method: str, tolerance: float) -> tuple[np.ndarray, int]:
    """The same by SciPy."""
    run = solve_ivp(field, (0.0, end), start, method=method, rtol=tolerance, atol=tolerance)
    return run.y[:, -1], int(run.nfev)


def ratio(a: list[tuple[float, float]], b: list[tuple[float, float]]) -> float:
    """Calls of a over calls of b at equal error: the geometric mean over the errors that both reach."""
    curves = [np.log(np.array(sorted(points))) for points in (a, b)]
    low, high = max(c[0, 0] for c in curves), min(c[-1, 0] for c in curves)
    at = np.linspace(low, high, 50)
    first, second = (np.interp(at, c[:, 0], c[:, 1]) for c in curves)
    return float(np.exp((first - second).mean()))


def measure(tolerances: list[float], names: list[str]) -> list[dict]:
    """A row a problem and pair of methods."""
    rows: list[dict] = []
    for name in names:
        field, start, end = PROBLEMS[name]
        exact, _ = scipys(field, start, end, "DOP853", 1e-13)
        for peer, solver in PAIRS:
            curves: list[list[tuple[float, float]]] = [[], []]
            for tolerance in tolerances:
                for curve, run in zip(curves, (ours, scipys), strict=True):
                    try:
                        found, calls = run(field, start, end, solver if run is ours else peer, tolerance)  # pyright: ignore
                    except SolveError:
                        continue  # a tolerance so loose that the orbit is lost
                    error = float(np.sqrt(((found - exact) ** 2).mean()))
                    if error > 0:
                        curve.append((error, float(calls)))
            rows.append(
                {
                    "problem": name,
                    "method": peer,
                    "ratio": ratio(*curves),
                    "calls": curves[0][-1][1],
                    "SciPy's": curves[1][-1][1],
                    "error": curves[0][-1][0],
                    "SciPy's error": curves[1][-1][0],
                }
            )
    return rows


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="two loose tolerances, nothing stored")
    tiny = parser.parse_args().tiny
    rows = measure([1e-5, 1e-6] if tiny else [10.0**-k for k in range(4, 11)], list(PROBLEMS))
    show("calls at equal error, ours over SciPy's; calls and errors at the smallest tolerance", rows)
    mean = math.exp(sum(math.log(row["ratio"]) for row in rows) / len(rows))
    print(f"\ngeometric mean {mean:.2f}, worst {max(row['ratio'] for row in rows):.2f}")
    if not tiny:
        save("ode_problems", rows, torch.float64, mean=mean)


if __name__ == "__main__":
    main()

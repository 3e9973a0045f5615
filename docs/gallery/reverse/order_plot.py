r"""
Strong orders of three solvers
==============================

Geometric Brownian motion :math:`dy = a y\, dt + b y\, dW` has the solution
:math:`y_t = y_0 \exp((a - b^2/2)\, t + b W_t)`. A solver of strong order p makes N steps with the same Brownian path
:math:`W`, and ends at :math:`y_N`. Its error is

.. math:: \sqrt{E\, |y_N - y(1)|^2} = O(N^{-p}).

All solvers and all step numbers use the same fine paths, held by a :class:`~solvers.brownian.GridPath`. The gray lines
have the slopes -1/2, -1 and -3/2. Each solver follows the gray line of its strong order, which the legend states.
"""

import matplotlib.pyplot as plt
import torch

from solvers import SRI1, Equation, EulerMaruyama, GridPath, Milstein, solve

A, B = 0.5, 0.8
COUNTS = [4, 8, 16, 32, 64, 128, 256]  # numbers of steps N

fine = torch.linspace(0, 1, COUNTS[-1] + 1, dtype=torch.float64)
start = torch.ones(4000, 1, dtype=torch.float64)
path = GridPath(start, fine, torch.Generator().manual_seed(0))

equation = Equation(lambda t, y: A * y, lambda t, y: B * y)
exact = start * torch.exp(A - B**2 / 2 + B * path(fine[0], fine[-1]))

fig, ax = plt.subplots(figsize=(6.5, 4.2))
for solver, marker in ((EulerMaruyama(), "o"), (Milstein(), "s"), (SRI1(), "^")):
    grids = [fine[:: COUNTS[-1] // n] for n in COUNTS]
    errors = [(solve(equation, start, solver, grid, noise=path).y - exact).square().mean().sqrt() for grid in grids]
    ax.loglog(COUNTS, errors, marker + "-", label=f"{type(solver).__name__}: strong order {solver.strong_order:g}")
    ax.loglog(
        COUNTS, [errors[-1] * (COUNTS[-1] / n) ** solver.strong_order for n in COUNTS], color="0.7", lw=4, zorder=0
    )

ax.set(xlabel="number of steps N", ylabel="root mean square error at t = 1")
ax.set_xticks(COUNTS, COUNTS)
ax.minorticks_off()
legend = ax.legend()

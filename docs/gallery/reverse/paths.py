r"""
Paths of the reverse SDE and of the probability flow
====================================================

Both equations carry :math:`\mathcal{N}(0, 1)` at t = 1 to the data at t = 0. They have the same density :math:`p_t(z)`
at each time, drawn in blue:

.. math::

   dz = \left[f z - g^2 \nabla\log p_t(z)\right] dt + g\, dw
   \qquad\text{and}\qquad
   dz = \left[f z - \tfrac{1}{2}\, g^2 \nabla\log p_t(z)\right] dt.

The six paths start at the same points on both sides. Those of the SDE, by
:class:`~solvers.sde_diagonal.EulerMaruyama`, cross one another and forget where they started. Those of the ODE never
cross, so their order stays the same.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, exact
from solvers import EulerMaruyama, Heun, SeededNoise, solve

sde = VPSDE()
data = exact.GaussianMixture(torch.tensor([[-1.5], [1.0]]), 0.2**2, torch.tensor([0.3, 0.7]))
t = torch.linspace(1.0, sde.t_min, 501, dtype=torch.float64)
start = torch.linspace(-1.5, 1.5, 6, dtype=torch.float64)[:, None]

paths = {
    "reverse SDE": solve(sde.reverse(data), start, EulerMaruyama(), t, noise=SeededNoise(0), save=t).ys,
    "probability-flow ODE": solve(sde.probability_flow(data), start, Heun(), t, save=t).ys,
}

z = torch.linspace(-3, 3, 300)[:, None]
density = torch.stack([data.log_prob(z, sde.alpha(s), sde.sigma(s)).exp() for s in t])

fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True)
for ax, (name, path) in zip(axes, paths.items(), strict=True):
    ax.pcolormesh(t, z.flatten(), density.T, vmax=0.8, cmap="Blues", rasterized=True)
    ax.plot(t, path[:, :, 0], color="black", lw=0.8)
    ax.set(title=name, xlabel="time t (noise on the left)", xlim=(1, 0), ylim=(-3, 3))

axes[0].set_ylabel("state z")

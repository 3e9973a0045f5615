r"""
One starting noise, three values of eta
=======================================

All equations of the family

.. math:: dz = \left[f z - \tfrac{1}{2} (1 + \eta^2)\, g^2\, \nabla\log p_t(z)\right] dt + \eta\, g\, dw

have the same marginals. :math:`\eta = 0` is the probability-flow ODE, and :math:`\eta = 1` the reverse SDE.
:func:`~scoresde.samplers.published.chains.ddim` takes eta as an argument.

In each panel 150 paths start at the same noise, the black square. Four paths are drawn as lines. The black dots are the
ends of all 150. With :math:`\eta = 0` all paths are equal: each starting noise has exactly one sample. With noise in
the equation the paths end in all components of the mixture, which is drawn in gray.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, catalogue, exact, sampling
from solvers import SeededNoise

PATHS = 150  # of which four are drawn
STEPS = 200

sde = VPSDE()
means = torch.tensor([[-1.4, -0.8], [1.4, -0.8], [0.0, 1.5]])
data = exact.GaussianMixture(means, 0.25**2, process=sde)
start = torch.tensor([[0.8, 1.0]], dtype=torch.float64).repeat(PATHS, 1)

axis = torch.linspace(-2.7, 2.7, 120)
density = data.log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(120, 120)

fig, axes = plt.subplots(1, 3, figsize=(8.5, 3.2), sharey=True)
for ax, eta in zip(axes, (0.0, 0.5, 1.0), strict=True):
    noise = SeededNoise(0) if eta > 0 else None
    paths = sampling.transport(data, start, catalogue.ddim(STEPS, eta), sde, 1.0, sde.t_min, noise, save=True).ys

    ax.contourf(axis, axis, density.T, levels=8, cmap="Greys", alpha=0.6)
    ax.plot(*paths[:, :4].permute(2, 0, 1), lw=0.7)
    ax.plot(*paths[-1].T, "o", ms=2.5, color="black")
    ax.plot(*start[0], "ks", ms=5)
    ax.set(title=f"$\\eta$ = {eta:g}", xlabel="$z_1$", aspect="equal", xlim=(-2.7, 2.7), ylim=(-2.7, 2.7))

axes[0].set_ylabel("$z_2$")

r"""
The score field at three noise levels
=====================================

The score :math:`\nabla\log p_t(z)` points towards higher density. The picture shows it as arrows over the density
:math:`p_t` of a mixture of three Gaussians, at three times of :class:`~scoresde.processes.forward.VPSDE`. At t = 0.8
all arrows point to the origin. At t = 0.25 the three components can be seen. At t = 0.05 each component has a region of
its own, in which the arrows point to this component.

In each panel the arrows are divided by the length of the longest one, which the title states. At small noise the scores
are long.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, exact

sde = VPSDE()
data = exact.GaussianMixture(torch.tensor([[-1.2, -0.7], [1.2, -0.7], [0.0, 1.3]]), 0.3**2)
score = data.score(sde)

axis = torch.linspace(-2.5, 2.5, 120)
grid = torch.cartesian_prod(axis, axis)
points = torch.cartesian_prod(axis[4::8], axis[4::8])

fig, axes = plt.subplots(1, 3, figsize=(8.5, 3.2), sharey=True)
for ax, t in zip(axes, (0.8, 0.25, 0.05), strict=True):
    density = data.log_prob(grid, sde.alpha(t), sde.sigma(t)).exp().reshape(120, 120)
    arrows = score(points, torch.tensor(t))
    longest = arrows.norm(dim=1).max()

    ax.contourf(axis, axis, density.T, levels=12, cmap="Blues")
    ax.quiver(*points.T, *(arrows / longest).T, angles="xy", scale=14, width=0.005)
    ax.set(title=f"t = {t:g}, longest arrow {longest:.1f}", xlabel="$z_1$", aspect="equal")

axes[0].set_ylabel("$z_2$")

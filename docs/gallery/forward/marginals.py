r"""
The marginals of a density over time
====================================

The data have two narrow peaks, of weights 0.3 and 0.7. The picture in the middle shows the density of
:math:`z_t = \alpha(t)\, x + \sigma(t)\, \epsilon` at each time of a variance-preserving process, computed exactly:

.. math:: q(z_t) = \sum_k w_k\, \mathcal{N}(z_t;\, \alpha m_k,\, \alpha^2 s^2 + \sigma^2).

Here :math:`w_k` and :math:`m_k` are the weights and the means of the peaks, and s is their standard deviation. On the
left is the density of the data, on the right the density at t = 1. The peaks move to 0, become wider, and merge. At
t = 1 the density agrees with :math:`\mathcal{N}(0, 1)`, the dashed line.
"""

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

from scoresde import VPSDE, exact

process = VPSDE()
data = exact.GaussianMixture(torch.tensor([[-1.5], [1.0]]), 0.2**2, torch.tensor([0.3, 0.7]))

t = torch.linspace(process.t_min, 1.0, 300)
z = torch.linspace(-3.5, 3.5, 400)[:, None]
density = torch.stack([data.log_prob(z, process.alpha(s), process.sigma(s)).exp() for s in t])

fig, (left, ax, right) = plt.subplots(1, 3, figsize=(8, 3.4), sharey=True, width_ratios=[1, 5, 1])
left.plot(-data.log_prob(z).exp(), z, color="tab:blue")
right.plot(density[-1], z, color="tab:blue")
right.plot(Normal(0, 1).log_prob(z).exp(), z, color="black", ls="--")
image = ax.pcolormesh(t, z.flatten(), density.T, vmax=0.7, rasterized=True)

left.set(title="data", xticks=[], ylabel=r"state $z_t$")
ax.set(title=r"the density $q(z_t)$", xlabel="time t")
right.set(title="t = 1", xticks=[])
bar = fig.colorbar(image, ax=right, extend="max", label="density", pad=0.1)

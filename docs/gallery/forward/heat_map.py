r"""
The kernel as a heat map
========================

One data point :math:`x^*` becomes noise along :class:`~scoresde.processes.forward.VPSDE`. At each time the state has
the density :math:`q(z_t \mid x^*) = \mathcal{N}(\alpha(t)\, x^*, \sigma(t)^2)`.

Each column of the picture is this density, divided by its largest value. The solid line is the mean
:math:`\alpha(t)\, x^*`, and the dashed lines are two standard deviations away from it. The mean goes to 0 and
:math:`\sigma` to 1. So the last column hardly depends on :math:`x^*`.
"""

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

from scoresde import VPSDE

DATUM = 2.0

process = VPSDE()
t = torch.linspace(process.t_min, 1.0, 400)
z = torch.linspace(-3.2, 3.2, 400)
mean, sigma = process.alpha(t) * DATUM, process.sigma(t)
density = Normal(mean, sigma).log_prob(z[:, None]).exp()

fig, ax = plt.subplots(figsize=(7, 3.6))
image = ax.pcolormesh(t, z, density / density.amax(0), rasterized=True)
ax.plot(t, mean, color="tab:blue", lw=2, label=r"$\alpha(t)\, x^*$")
ax.plot(t, mean + 2 * sigma, color="white", ls="--", lw=1, label=r"$\alpha(t)\, x^* \pm 2\, \sigma(t)$")
ax.plot(t, mean - 2 * sigma, color="white", ls="--", lw=1)

ax.set(xlabel="time t", ylabel=r"state $z_t$", title=f"$q(z_t\\,|\\,x^*)$ at $x^* = {DATUM:g}$")
ax.legend(loc="lower left", labelcolor="white")
bar = fig.colorbar(image, label="density / its maximum at t")

r"""
A density carried by the probability flow
=========================================

Particles of :math:`\mathcal{N}(0, 1)` move along the probability-flow ODE :math:`dz = F(z, t)\, dt` from t = 1 to
smaller times. Their density obeys the continuity equation, which is the Fokker-Planck equation without noise:

.. math:: \partial_t p_t = -\nabla\cdot(F p_t), \qquad\text{so that along a path}\qquad
   \frac{d}{dt} \log p_t(z_t) = -\nabla\cdot F(z_t, t).

The picture compares three densities at four times: the histogram of the particles, the exact density of the noisy
mixture, and the density by the second equation, which :func:`~scoresde.evaluation.likelihood.log_likelihood` integrates
along the flow (change of variables).
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, exact
from scoresde.evaluation.likelihood import log_likelihood
from solvers import Heun, solve

TIMES = (0.6, 0.3, 0.15, 0.01)

sde = VPSDE()
data = exact.GaussianMixture(torch.tensor([[-1.5], [1.0]]), 0.25**2, torch.tensor([0.3, 0.7]))
steps = torch.linspace(1.0, 0.01, 100, dtype=torch.float64)  # all times of TIMES are among them
noise = sde.prior((20_000, 1), seed=0, dtype=torch.float64)
particles = solve(sde.probability_flow(data), noise, Heun(), steps, save=torch.tensor(TIMES)).ys

z = torch.linspace(-3, 3, 301, dtype=torch.float64)[:, None]
points = z[::12]

fig, axes = plt.subplots(1, 4, figsize=(8.5, 3), sharey=True)
for ax, t, cloud in zip(axes, TIMES, particles, strict=True):
    truth = data.log_prob(z, sde.alpha(t), sde.sigma(t)).exp()
    carried = log_likelihood(data, points, process=VPSDE(t_min=t)).log_prob.exp()

    ax.hist(cloud.flatten(), bins=60, range=(-3, 3), density=True, color="0.8", label="particles")
    ax.plot(z, truth, color="tab:blue", label="exact density")
    ax.plot(points, carried, "k.", label="change of variables along the flow")
    ax.set(title=f"t = {t:g}", xlabel="state z")

axes[0].set_ylabel("density")
legend = fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

r"""
An exact posterior and two methods
==================================

The prior is a mixture of nine Gaussians in the plane. One number is measured, :math:`y = a \cdot x + s \eta` with
standard normal :math:`\eta` and :math:`s = 0.3`. The posterior is again a mixture, with new weights, means and
covariances. The gray contours show its density in each panel, and the orange points are samples.

:func:`~scoresde.inverse.particles.twisted` moves particles and weights them: its samples follow the posterior.
:func:`~scoresde.inverse.denoisers.dps` moves each sample along an approximate gradient of :math:`\log p(y \mid z_t)`.
Its samples lie too close to the dashed line, as if :math:`s` were smaller.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, catalogue, exact, inverse, sample

STD = 0.3
COUNT = 500

axis = torch.tensor([-1.5, 0.0, 1.5], dtype=torch.float64)
prior = exact.GaussianMixture(torch.cartesian_prod(axis, axis), 0.04, process=VPSDE())
operator = inverse.Matrix(torch.tensor([[1.0, 0.6]], dtype=torch.float64))
measurement = inverse.Measurement(operator, torch.tensor([0.5], dtype=torch.float64), STD)
posterior = exact.posterior(prior, measurement)

twisted = inverse.twisted(prior, measurement, (COUNT, 2), catalogue.ddpm(100), particles=2048)
sets = {
    "prior": prior.sample(COUNT),
    "posterior": posterior.sample(COUNT),
    "twisted": twisted.x,
    "dps": sample(inverse.dps(prior, measurement), (COUNT, 2), catalogue.unipc(100)),
}

# %%
# The dashed line holds the points :math:`x` with :math:`a \cdot x = y`.
line = torch.linspace(-2.4, 2.4, 120, dtype=torch.float64)
grid = torch.cartesian_prod(line, line)
density = posterior.log_prob(grid).exp().reshape(120, 120).T

fig, axes = plt.subplots(1, 4, figsize=(8, 2.5), sharex=True, sharey=True)

for ax, (name, x) in zip(axes, sets.items(), strict=True):
    ax.contour(line, line, density, levels=density.max() * torch.tensor([0.05, 0.3]), colors="0.4", linewidths=0.7)
    ax.plot(line, (0.5 - line) / 0.6, "--", color="C0", linewidth=0.8)
    ax.scatter(*x.T, s=2, color="C1")
    ax.set(title=name, aspect="equal", xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), xlabel="$x_1$", ylabel="$x_2$")
    ax.label_outer()

r"""
Divergence: particles that leave
================================

The probability flow :math:`dz = F(z, t)\, dt` of a mixture of three Gaussians carries a small disc of particles from
data to noise. Where the divergence of F is positive, particles leave each small region, and the disc grows. Let
:math:`z_s` be the position of the centre at time s. Then the area of a small disc obeys

.. math:: \frac{\text{area}(t)}{\text{area}(0)} = \exp \int_0^t \nabla\cdot F(z_s, s)\, ds.

On the left is the disc at four times, over the density of the data. On the right are both sides of this equation. The
area is proportional to the root of the determinant of the particles' covariance. From about t = 0.18 to t = 0.26 the
area falls: there the divergence is negative.
"""

import matplotlib.pyplot as plt
import torch
from torch.autograd.functional import jacobian

from scoresde import VPSDE, exact
from solvers import RK4, solve

sde = VPSDE()
data = exact.GaussianMixture(torch.tensor([[-1.0, -0.5], [1.0, -0.5], [0.0, 1.0]]), 0.15**2)
flow = sde.probability_flow(data)
t = torch.linspace(sde.t_min, 1.0, 161, dtype=torch.float64)

uniform = torch.rand(2, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
radius, angle = 0.06 * uniform[0].sqrt(), 2 * torch.pi * uniform[1]
disc = torch.stack([0.9 + radius * angle.cos(), -0.4 + radius * angle.sin()], 1)
disc[0] = torch.tensor([0.9, -0.4])  # its centre
states = solve(flow, disc, RK4(), t, save=t).ys

area = torch.stack([cloud.T.cov().det().sqrt() for cloud in states])
jacobians = [jacobian(lambda z, s=s: flow.drift(s, z), state[:1])[0, :, 0] for s, state in zip(t, states, strict=True)]
integral = torch.cumulative_trapezoid(torch.stack([j.trace() for j in jacobians]), t)

axis = torch.linspace(-1.5, 1.5, 150)
grid = torch.cartesian_prod(axis, axis)

fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.8))
left.contourf(axis, axis, data.log_prob(grid).exp().reshape(150, 150).T, cmap="Greys", levels=8, alpha=0.5)
for k, color in ((160, "gold"), (24, "tab:cyan"), (12, "tab:blue"), (0, "black")):
    left.scatter(*states[k].T, s=1.5, color=color, label=f"t = {t[k]:.2g}")

left.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
left.legend(markerscale=5)

right.plot(t, area / area[0], color="0.7", lw=5, label="area of the disc / area at the start")
right.plot(t[1:], integral.exp(), "k--", label="exp of the integrated divergence")
right.set(xlabel="time t", ylabel="ratio of areas")
legend = right.legend()

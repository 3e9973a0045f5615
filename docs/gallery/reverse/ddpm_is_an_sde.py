r"""
DDPM is a discretised SDE
=========================

The sampler of DDPM makes T steps. As T grows, the law (distribution) of its samples tends to that of the reverse SDE.
The picture shows the distance between the two laws for Gaussian data, as the Wasserstein distance :math:`W_2`.

No samples are drawn. On Gaussian data a step is affine in the state and in the noise. So the law at the end is a
Gaussian, and :func:`~scoresde.evaluation.affine_laws.affine` computes it exactly. The reverse SDE starts from the
marginal law of the forward process at t = 1. Then it has the marginal law of the forward process at each t.
Euler-Maruyama on the reverse SDE converges at the same rate as DDPM: both lines approach the slope -1.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, catalogue, exact, sampling
from scoresde.evaluation.affine_laws import affine, w2

COUNTS = [20, 50, 100, 200, 500, 1000]  # steps T

sde = VPSDE()
data = exact.Gaussian(torch.tensor([1.0]), 0.25)
mean, variance = data.law()


def marginal(t):
    """Mean and covariance of the state at time t."""
    return sde.alpha(t) * mean, sde.alpha(t) ** 2 * variance + sde.sigma(t) ** 2


def distance(method):
    """W2 between what the method ends in and what the reverse SDE ends in."""
    ends = affine(lambda z, noise: sampling.transport(data, z, method, sde, 1.0, sde.t_min, noise).y, 1)
    return w2(ends.law(*marginal(1.0)), marginal(sde.t_min))


fig, ax = plt.subplots(figsize=(6.5, 4))
for make, style, name in ((catalogue.ddpm, "o-", "DDPM"), (catalogue.euler_maruyama, "s-", "Euler-Maruyama")):
    distances = [distance(make(steps)) for steps in COUNTS]
    ax.loglog(COUNTS, distances, style, label=name)
    ax.loglog(COUNTS, [distances[-1] * COUNTS[-1] / steps for steps in COUNTS], color="0.8", lw=4, zorder=0)

ax.set(xlabel="number of steps T", ylabel="$W_2$ to the law of the reverse SDE")
ax.set_xticks(COUNTS, COUNTS)
ax.minorticks_off()
legend = ax.legend(title="gray: slope -1")

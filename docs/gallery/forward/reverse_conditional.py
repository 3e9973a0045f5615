r"""
Why many small steps: the reverse conditional
=============================================

A reverse step draws :math:`z_s` from :math:`q(z_s \mid z_t)` with s < t. By Bayes' rule

.. math:: q(z_s \mid z_t) \propto q(z_t \mid z_s)\, q(z_s),

where :math:`q(z_t \mid z_s)` is Gaussian and :math:`q(z_s)` is the density of the noisy data, here of a mixture.
Samplers use a Gaussian instead of :math:`q(z_s \mid z_t)`. The picture compares the exact density with the Gaussian of
the same mean and variance. The total variation above each panel is half the area between the two.

After a small step the two agree. After a large step the exact density has two peaks, which no Gaussian has.
"""

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

from scoresde import VPSDE, exact

END = 0.4  # the time t
STATE = 0.1  # the state z_t

process = VPSDE()
data = exact.GaussianMixture(torch.tensor([[-1.0], [1.0]]), 0.2**2)
z = torch.linspace(-2.5, 2.5, 4001, dtype=torch.float64)
cell = z[1] - z[0]

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharex=True)
for ax, start, name in zip(axes, (0.39, 0.05), ("small", "large"), strict=True):
    ratio = process.alpha(END) / process.alpha(start)
    spread = (process.sigma(END) ** 2 - ratio**2 * process.sigma(start) ** 2).sqrt()
    marginal = data.log_prob(z[:, None], process.alpha(start), process.sigma(start)).exp()
    posterior = Normal(ratio * z, spread).log_prob(torch.tensor(STATE)).exp() * marginal
    posterior = posterior / (posterior.sum() * cell)

    mean = (z * posterior).sum() * cell
    std = (((z - mean) ** 2 * posterior).sum() * cell).sqrt()
    gaussian = Normal(mean, std).log_prob(z).exp()
    distance = 0.5 * (posterior - gaussian).abs().sum() * cell  # total variation

    ax.fill_between(z, posterior, color="tab:blue", alpha=0.35, lw=0, label=r"exact $q(z_s\,|\,z_t)$")
    ax.plot(z, gaussian, color="black", ls="--", label="Gaussian of the same moments")
    ax.axvline(STATE, color="0.6", ls=":", label=r"$z_t$")
    ax.set(xlabel="state $z_s$", ylabel="density", ylim=(0, None))
    ax.set_title(f"a {name} step, t = {END:g} to s = {start:g}\ntotal variation {distance:.2g}")

axes[0].set_xlim(-2, 2)
legend = fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

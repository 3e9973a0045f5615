r"""
A learnt score beside the exact one
===================================

Data are two Gaussians on a line. The exact score of their noised density, :math:`\nabla \log p_t(z)`, is known, and a
small network learns it by denoising score matching from samples.

The two agree where there are data. The gray area shows the density :math:`p_t`. With little noise there are no data in
the tails and between the peaks. There the network extrapolates, and its score is wrong.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, Denoiser, V, exact
from scoresde.data import Dataset
from scoresde.networks import MLP
from scoresde.training import Training, fit

TIMES = (0.02, 0.15, 0.5)

process = VPSDE()
mixture = exact.GaussianMixture(torch.tensor([[-1.0], [0.8]]), torch.tensor([0.04, 0.01]), process=process)
data = Dataset(mixture.sample(10_000).float(), name="two peaks")

learnt = Denoiser(MLP(1, width=64), process, V(), time=lambda lam: 1000 * process.time(lam))
losses = [step.loss for step in fit(learnt, data, Training(steps=1500, batch=512, lr=5e-3, seed=0))]

z = torch.linspace(-2.5, 2.5, 400)[:, None]
fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharex=True)

for ax, t in zip(axes, TIMES, strict=True):
    alpha, sigma = process.alpha(t), process.sigma(t)
    density = mixture.log_prob(z, alpha, sigma).exp()
    true = mixture.score(process)(z, torch.tensor(t))
    with torch.no_grad():
        found = learnt.score(process)(z, torch.tensor(t))

    ax.plot(z, true, color="C0", linewidth=2.5, label="exact")
    ax.plot(z, found, "--", color="C1", label="learnt")
    low, high = ax.get_ylim()
    ax.fill_between(z[:, 0], low, low + 0.4 * (high - low) * density / density.max(), color="0.85", zorder=0)
    ax.set(title=rf"t = {t}, $\sigma$ = {sigma:.2f}", xlabel="z", ylim=(low, high))

axes[0].set_ylabel("score")
_ = axes[0].legend()

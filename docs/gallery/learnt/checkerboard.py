r"""
A checkerboard and the paths to it
==================================

A network trained by denoising score matching makes a flow: each noise :math:`z_1 \sim \mathcal{N}(0, I)` is carried to
a sample along :math:`dz = [f z - \tfrac{1}{2} g^2 \nabla \log p_t(z)]\, dt`.

The picture shows data, samples, and the paths of 60 samples, each from a circle (noise) to a dot (sample). Two paths
are never at the same point at the same time. The flow deforms the plane until the noise fills the squares of the data.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, Denoiser, V, catalogue, data, sample, sampling
from scoresde.networks import MLP
from scoresde.training import Training, fit

PATHS = 60

process = VPSDE()
board = data.checkerboard()
denoiser = Denoiser(MLP(2, fourier=64), process, V(), time=lambda lam: 1000 * process.time(lam))
losses = [step.loss for step in fit(denoiser, board, Training(steps=1800, batch=512, lr=5e-3, seed=0))]

# %%
# :func:`~scoresde.samplers.sampling.trajectory` gives the states along the paths. With the same seed, its last state is
# the sample of :func:`~scoresde.samplers.sampling.sample`.
method = catalogue.unipc(40)
x = sample(denoiser, (3000, 2), method, seed=0)
path = torch.stack([state for lam, state in sampling.trajectory(denoiser, (PATHS, 2), method, seed=0)])

fig, axes = plt.subplots(1, 3, figsize=(8, 3), sharex=True, sharey=True)
axes[0].scatter(*board.x[:3000].T, s=1, color="C0")
axes[0].set_title("data")
axes[1].scatter(*x.T, s=1, color="C1")
axes[1].set_title("samples, 40 network calls each")

axes[2].plot(path[..., 0], path[..., 1], color="0.5", linewidth=0.6)
axes[2].scatter(*path[0].T, s=12, facecolor="none", edgecolor="C0", linewidth=0.8, label="noise")
axes[2].scatter(*path[-1].T, s=8, color="C1", zorder=3, label="sample")
axes[2].set_title(f"paths of {PATHS} samples")
axes[2].legend(loc="upper right", ncols=2, fontsize=7)

for ax in axes:
    ax.set(aspect="equal", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xlabel="$x_1$", ylabel="$x_2$")
    ax.label_outer()

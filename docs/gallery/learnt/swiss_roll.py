r"""
A spiral and its score
======================

A small network learns the spiral by denoising score matching. It gets :math:`z_t = \alpha x + \sigma \epsilon` and
estimates :math:`\epsilon`. The estimate gives the score,
:math:`\nabla \log p_t(z) = -E[\epsilon \mid z_t = z] / \sigma`.

The picture shows data, samples of the network, and the direction of the learnt score at :math:`\sigma = 0.15`. The
arrows point towards the nearest arm of the spiral. They are darker where the score is larger: far from the spiral.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, Denoiser, V, catalogue, data, sample
from scoresde.networks import MLP
from scoresde.training import Training, fit

SIGMA = 0.15  # noise level of the arrows

# %%
# The network predicts v, a combination of data and noise, and is told the noise level as a number between 0 and 1000.
# :func:`~scoresde.training.fit.fit` trains it in place, here with seed 0.
process = VPSDE()
points = data.swiss_roll()
denoiser = Denoiser(MLP(2, fourier=64), process, V(), time=lambda lam: 1000 * process.time(lam))
losses = [step.loss for step in fit(denoiser, points, Training(steps=1800, batch=512, lr=5e-3, seed=0))]

x = sample(denoiser, (2000, 2), catalogue.unipc(20), seed=0)

# %%
# The score is computed on a grid of points, at the time at which the noise has the wanted standard deviation.
axis = torch.linspace(-1.65, 1.65, 20)
grid = torch.cartesian_prod(axis, axis)
t = process.time(torch.tensor((1 - SIGMA**2) ** 0.5 / SIGMA).log())
with torch.no_grad():
    score = denoiser.score(process)(grid, t)

size = score.norm(dim=1)
direction = score / size[:, None]

fig, axes = plt.subplots(1, 3, figsize=(8, 3), sharex=True, sharey=True)
axes[0].scatter(*points.x[:2000].T, s=1, color="C0")
axes[0].set_title("data")
axes[1].scatter(*x.T, s=1, color="C1")
axes[1].set_title("samples, 20 network calls each")
axes[2].scatter(*points.x[:2000].T, s=1, color="0.8")
axes[2].quiver(*grid.T, *direction.T, size.log(), cmap="viridis_r", scale=26, width=0.006)
axes[2].set_title(rf"learnt score at $\sigma$ = {SIGMA}")

for ax in axes:
    ax.set(aspect="equal", xlim=(-1.8, 1.8), ylim=(-1.8, 1.8), xlabel="$x_1$", ylabel="$x_2$")
    ax.label_outer()

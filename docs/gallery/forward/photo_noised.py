r"""
A photo becomes noise
=====================

A photo is the start of a discrete chain of 500 steps, :math:`z_t = \sqrt{1 - \beta_t}\, z_{t-1} + \sqrt{\beta_t}\,
\epsilon_t`, with the betas of :func:`~scoresde.processes.ddpm.linear` and fresh noise in each step. After t steps the
state is :math:`z_t = \alpha_t x + \sigma_t \epsilon`, where the standard normal :math:`\epsilon` combines the noise of
all steps.

The curve shows the mean over all pixels of :math:`(\epsilon - z_t)^2`. Its expectation is
:math:`\alpha_t^2\, \overline{x^2} + (1 - \sigma_t)^2`, where :math:`\overline{x^2}` is the mean of the squared pixels.
It goes to 0: the last state is almost equal to the noise.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import ddpm
from scoresde.data import photos

STEPS = 500
SHOWN = (0, 50, 100, 200, 500)  # the pictures

photo = photos(256).x[1, :, ::2, ::2]  # a square of scikit-learn's china.jpg, (3, 128, 128) in [-1, 1]
chain = ddpm.linear(STEPS)
alpha = chain.alpha(torch.arange(1, STEPS + 1) / STEPS)
sigma = (1 - alpha**2).sqrt()

# %%
# The chain adds fresh noise in each step. All noise that :math:`z_t` has received, scaled to unit variance, is
# :math:`\epsilon = (z_t - \alpha_t x)/\sigma_t`.

generator = torch.Generator().manual_seed(0)
z = photo
states, distances = [photo], []

for step, beta in enumerate(chain.betas):
    fresh = torch.randn(photo.shape, generator=generator)
    z = (1 - beta).sqrt() * z + beta.sqrt() * fresh
    states.append(z)

    noise = (z - alpha[step] * photo) / sigma[step]
    distances.append((noise - z).square().mean())

expected = alpha**2 * photo.square().mean() + (1 - sigma) ** 2

# %%
# The curve of this one photo agrees with the expectation, because it is a mean over 49,152 numbers.

fig, axes = plt.subplot_mosaic([list(range(len(SHOWN))), ["curve"] * len(SHOWN)], figsize=(8, 4.6))
for column, t in enumerate(SHOWN):
    axes[column].imshow(((states[t] + 1) / 2).clamp(0, 1).permute(1, 2, 0))
    axes[column].set(title=f"t = {t}")
    axes[column].set_axis_off()

curve = axes["curve"]
curve.semilogy(range(1, STEPS + 1), expected, color="0.7", lw=5, label="expectation")
curve.semilogy(range(1, STEPS + 1), distances, color="tab:blue", lw=1.2, label="estimate from this photo")
curve.set(xlabel="step t", ylabel=r"mean of $(\epsilon - z_t)^2$", xlim=(0, STEPS))
legend = curve.legend()

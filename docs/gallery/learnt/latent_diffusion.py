r"""
Digits from a latent space
==========================

An autoencoder maps a digit :math:`x` of 64 pixels to a latent of 32 numbers, :math:`u \sim q(u \mid x)`. Its decoder
maps the latent back, :math:`x \approx D(u)`. A diffusion model is trained on the latents. To sample a digit, it samples
a latent :math:`u`, and the decoder gives :math:`D(u)`.

The picture shows real digits, their reconstructions, and two rows of samples with the labels 0 to 9. The samples cannot
be better than the reconstructions.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, data, runs, sample
from scoresde.reports.images import tiled

COLUMNS = 10

model = runs.load("../../runs/latent")
x = data.digits().x[:COLUMNS]

# %%
# A reconstruction is the decoded mean of :math:`q(u \mid x)`. Samples start from the noise of seed 0.
mean, std = model.space.posterior(x)
latents = sample(model.denoiser, (2 * COLUMNS, *model.shape), catalogue.unipc(20), seed=0, cond=torch.arange(20) % 10)
images = torch.cat([x, model.decoded(mean), model.decoded(latents)])

fig, ax = plt.subplots(figsize=(7, 2.8))
ax.imshow(tiled(images, COLUMNS), extent=(0, COLUMNS, 4, 0))
ax.set_yticks([0.5, 1.5, 3], ["real", "reconstructed", "sampled"])
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

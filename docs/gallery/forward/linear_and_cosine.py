r"""
One image, two schedules
========================

The upper row follows the linear schedule of :func:`~scoresde.processes.ddpm.linear`, the lower row the cosine schedule
of :func:`~scoresde.processes.ddpm.cosine`. Both have 1000 steps. The pictures are
:math:`z_t = \alpha_t x + \sigma_t \epsilon`, all with the same noise :math:`\epsilon`. The number above a picture is
its signal rate :math:`\alpha_t`.

In the last quarter of the linear schedule the signal rate is at most 0.06: these pictures are nearly pure noise. The
cosine schedule removes the signal more evenly.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import ddpm
from scoresde.data import photos

SHOWN = (1, 125, 250, 375, 500, 625, 750, 875, 1000)  # the steps t

photo = photos(256).x[10:11]  # a square of scikit-learn's flower.jpg, (1, 3, 256, 256) in [-1, 1]
noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))

fig, axes = plt.subplots(2, len(SHOWN), figsize=(8.5, 2.5))
for row, (name, chain) in zip(axes, {"linear": ddpm.linear(1000), "cosine": ddpm.cosine(1000)}.items(), strict=True):
    for ax, t in zip(row, SHOWN, strict=True):
        z = chain.perturb(photo, t / 1000, noise)[0]
        ax.imshow(((z + 1) / 2).clamp(0, 1).permute(1, 2, 0))
        ax.set_title(f"{chain.alpha(t / 1000):.2f}", fontsize=8)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)

    row[0].set_ylabel(name)

for ax, t in zip(axes[1], SHOWN, strict=True):
    ax.set_xlabel(f"t = {t}", fontsize=8)

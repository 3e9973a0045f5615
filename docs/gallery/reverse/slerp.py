r"""
Spherical interpolation of latents
==================================

Latents of the probability flow are draws of :math:`\mathcal{N}(0, I)` in d = 64 dimensions. Their norm is close to
:math:`\sqrt{d} = 8`. The midpoint of the straight line between two draws has a norm that is smaller by about the factor
:math:`1/\sqrt{2}`. Draws hardly ever have such a small norm. Spherical interpolation,
:func:`~scoresde.samplers.sampling.interpolate`, keeps the norm:

.. math:: z_w = \frac{\sin((1 - w)\theta)}{\sin\theta}\, z_0 + \frac{\sin(w\theta)}{\sin\theta}\, z_1,

where :math:`\theta` is the angle between :math:`z_0` and :math:`z_1`. The gray band in the lower panel holds 99 % of
the norms of draws.

The two rows of images show the digits that the flow makes of the latents. Those in the middle of the linear row are a
little fainter. The title of each row states the standard deviation of the pixels of its middle image: it is smaller in
the linear row.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, runs, sampling
from scoresde.reports.images import tiled

WEIGHTS = torch.linspace(0, 1, 11)

model = runs.load(Path("../../runs/digits")).denoiser
first, last = torch.randn(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(2))
latents = {
    "linear": torch.cat([(1 - w) * first + w * last for w in WEIGHTS]),
    "spherical": torch.cat([sampling.interpolate(first, last, float(w)) for w in WEIGHTS]),
}

fig, axes = plt.subplots(3, 1, figsize=(8, 4.6), height_ratios=[1, 1, 2])
for ax, (name, z), dashes in zip(axes, latents.items(), ["--", "-"], strict=False):
    x = sampling.decode(model, z, catalogue.unipc(12))
    ax.imshow(tiled(x, len(x)))
    ax.set_title(f"{name}: standard deviation of the middle image {x[len(x) // 2].std():.2f}")
    ax.set_axis_off()
    axes[2].plot(WEIGHTS, z.flatten(1).norm(dim=1), color="black", ls=dashes, label=name)

draws = torch.randn(10_000, 64, generator=torch.Generator().manual_seed(0)).norm(dim=1)
low, high = draws.quantile(torch.tensor([0.005, 0.995])).tolist()
axes[2].axhspan(low, high, color="0.9")
axes[2].set(xlabel="weight w", ylabel="norm of the latent", ylim=(4, 11), xlim=(0, 1))
legend = axes[2].legend()

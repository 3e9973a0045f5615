r"""
Photos by a cascade
===================

The first model samples photos :math:`x_{low}` of 8 x 8 pixels. The second model gets such a photo with a little noise,
:math:`\sqrt{1 - s^2}\, x_{low} + s\, \epsilon` with :math:`s = 0.1`. It samples a photo of 32 x 32 pixels. The noise
hides the errors of the first model.

Upper row: samples of 8 x 8 pixels. Lower row: the samples of 32 x 32 pixels that belong to them. Colours and coarse
shapes stay about the same, and texture is added. The data are small pieces of two photos, of a temple and of a flower.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, runs, sample
from scoresde.data.low_resolution import condition
from scoresde.reports.images import tiled

COLUMNS = 10
LEVEL = 0.1  # of the noise of the photos that are enlarged
FACTOR = 4  # by which they are enlarged

small = runs.load(Path("../../runs/small"))
large = runs.load(Path("../../runs/large"))
low = sample(small.denoiser, (COLUMNS, *small.shape), catalogue.unipc(20), seed=1)

# %%
# :func:`~scoresde.data.low_resolution.condition` adds the noise and enlarges the photo by interpolation. The result is
# the input of the second model.
torch.manual_seed(0)
given = condition(low, torch.full((COLUMNS,), LEVEL), torch.randn_like(low), FACTOR)
high = sample(large.denoiser, (COLUMNS, *large.shape), catalogue.ddpm(30), seed=2, cond=given)

fig, axes = plt.subplots(2, 1, figsize=(8, 1.9))
axes[0].imshow(tiled(low, COLUMNS, side=64))
axes[1].imshow(tiled(high, COLUMNS, side=64))

for ax, name in zip(axes, ("8 x 8", "32 x 32"), strict=True):
    ax.set(ylabel=name, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)

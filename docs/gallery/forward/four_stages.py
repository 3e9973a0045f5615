r"""
What each stage of generation decides
=====================================

Five digits are sampled by :func:`~scoresde.samplers.published.chains.ddpm` over 56 of the 1000 levels of a chain, one
digit in each row. On the left are the states :math:`z_t`. On the right is the expected digit
:math:`E[x \mid z_t]`, the answer of the network at the same states. It is a mean over all digits that are still
possible.

At t = 1000 the expected digit is the mean of all digits, the same in each row. At t = 500 it is a blurred shape.
Between t = 500 and t = 100 it is decided which digit it will be. From t = 100 on, only shades of single pixels change.
The last steps remove noise that is too weak to be seen.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, grids, runs, sampling
from scoresde.reports.images import tiled

SHOWN = (1000, 500, 300, 100, 45, 3)  # the levels t, of 1000

model = runs.load(Path("../../runs/digits")).denoiser
levels = sorted({*range(1, 1000, 20), *SHOWN}, reverse=True)
method = catalogue.ddpm(len(levels), grids.from_list([level / 1000 for level in levels], model.process))
states, answers = [], []

for level, (lam, z) in zip(levels, sampling.trajectory(model, (5, 1, 8, 8), method, seed=9), strict=True):
    if level in SHOWN:
        t = model.process.time(lam)
        states.append(z)
        answers.append(model(z, model.process.alpha(t), model.process.sigma(t)).x0.detach())

fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.9))
for ax, columns, name in zip(axes, (states, answers), ("state $z_t$", "expected digit $E[x\\,|\\,z_t]$"), strict=True):
    rows = torch.stack(columns, 1).flatten(0, 1)  # a sample's pictures side by side
    ax.imshow(tiled(rows, len(SHOWN)))
    ax.set_title(name)
    ax.set_xticks([18 + 33 * k for k in range(len(SHOWN))], [f"t = {t}" for t in SHOWN], fontsize=8)
    ax.set(yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)

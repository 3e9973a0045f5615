r"""
Redrawing a digit
=================

:func:`~scoresde.samplers.editing.edit` adds noise to a given image up to time t,
:math:`z_t = \alpha(t) x + \sigma(t) \epsilon`, and samples from this state (SDEdit).

The given images are in the first row. Each row below starts at a larger t, with more noise. At :math:`t = 0.1` only
details of the strokes change. From about :math:`t = 0.3` on, some digits become other digits. The label is not used.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, data, runs, sampling
from scoresde.reports.images import tiled

TIMES = (0.1, 0.2, 0.3, 0.4, 0.6)
COLUMNS = 10

denoiser = runs.load(Path("../../runs/digits")).denoiser
x = data.digits().x[:COLUMNS]
rows = [x] + [sampling.edit(denoiser, x, t, catalogue.unipc(20), seed=0) for t in TIMES]

fig, ax = plt.subplots(figsize=(6.5, 4))
ax.imshow(tiled(torch.cat(rows), COLUMNS), extent=(0, COLUMNS, len(rows), 0))
ax.set_yticks([row + 0.5 for row in range(len(rows))], ["given", *(f"t = {t}" for t in TIMES)])
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

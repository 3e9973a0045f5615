r"""
Digits at five guidance scales
==============================

Classifier-free guidance moves the denoiser away from the model without a label:
:math:`D_w = D_\emptyset + w\,(D_c - D_\emptyset)`.

Here :math:`D_c` is the denoiser with the label c, and :math:`D_\emptyset` the denoiser without a label. All images of a
column start from the same noise. The label is 3 in all rows. At :math:`w = 0` the label is ignored. :math:`w = 1` is
the conditional model. At the largest scales every image is a 3, the images look more alike, and their contrast is
larger than that of the data.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, guidance, runs, sample
from scoresde.reports.images import tiled

LABEL, COLUMNS = 3, 14
SCALES = (0.0, 1.0, 2.0, 4.0, 8.0)

model = runs.load(Path("../../runs/digits"))
shape = (COLUMNS, *model.shape)
rows = []

for scale in SCALES:
    guided = guidance.ClassifierFree(model.denoiser, scale)
    rows.append(sample(guided, shape, catalogue.unipc(20), seed=1, cond=LABEL))

fig, ax = plt.subplots(figsize=(8, 3))
ax.imshow(tiled(torch.cat(rows), COLUMNS), extent=(0, COLUMNS, len(rows), 0))
ax.set_yticks([row + 0.5 for row in range(len(rows))], [f"w = {scale:g}" for scale in SCALES])
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

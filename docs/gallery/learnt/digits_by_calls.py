r"""
Digits in 3 to 20 calls
=======================

All images of a column start from the same noise. Each row has another number of network calls for a sample. The method
is :func:`~scoresde.samplers.recommend.recommended`, which solves the probability flow.

The last row is the solution of an adaptive solver with a tolerance of :math:`10^{-4}`. With more calls the images come
closer to it, and the last rows almost agree. So the noise determines the digit, and the method determines only the
error.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, recommended, runs, sample
from scoresde.reports.images import tiled

COLUMNS = 14

model = runs.load(Path("../../runs/digits"))
methods = {f"{n} calls": recommended(model.denoiser, n) for n in (3, 5, 10, 20)}
methods["converged"] = catalogue.probability_flow(1e-4)

rows = [sample(model.denoiser, (COLUMNS, *model.shape), method, seed=0) for method in methods.values()]

fig, ax = plt.subplots(figsize=(8, 3))
ax.imshow(tiled(torch.cat(rows), COLUMNS), extent=(0, COLUMNS, len(rows), 0))
ax.set_yticks([row + 0.5 for row in range(len(rows))], list(methods))
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

r"""
Real digits encoded, interpolated, decoded
==========================================

The probability-flow ODE runs in both directions. :func:`~scoresde.samplers.transport.encode` carries a real digit to
its latent, and :func:`~scoresde.samplers.transport.decode` carries a latent back to a digit. Spherical interpolation of
two latents gives latents between them. They are decoded to digits that change from one to the other.

Each row has two real digits at its ends, marked "real". Between them are the decoded latents. At w = 0 and w = 1 these
are the latents of the real digits, and the decoded images agree with the real ones.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, runs, sampling
from scoresde.data import digits
from scoresde.reports.images import tiled

WEIGHTS = torch.linspace(0, 1, 8)
PAIRS = [(0, 6), (3, 8), (1, 7)]  # of digits

data = digits()
model = runs.load(Path("../../runs/digits")).denoiser
method = catalogue.probability_flow(1e-3)

left, right = (torch.stack([data.x[data.labels == pair[k]][0] for pair in PAIRS]) for k in (0, 1))
codes = sampling.encode(model, torch.cat([left, right]), method).chunk(2)
between = torch.cat([sampling.interpolate(*codes, float(w)) for w in WEIGHTS])
decoded = sampling.decode(model, between, method).split(len(PAIRS))
rows = torch.stack([left, *decoded, right], 1).flatten(0, 1)

fig, ax = plt.subplots(figsize=(8, 2.8))
ax.imshow(tiled(rows, 2 + len(WEIGHTS)))
names = ["real", *[f"w = {w:.2f}" for w in WEIGHTS], "real"]
ax.set_xticks([17 + 33 * k for k in range(len(names))], names, fontsize=8)
ax.set(yticks=[])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

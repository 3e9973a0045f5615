r"""
Blurred digits restored
=======================

Each digit :math:`x` is blurred, and noise is added: :math:`y = A x + s \eta`. The kernel of :math:`A` has 5 x 5 pixels,
:math:`\eta` is standard normal, and :math:`s = 0.05`. The model of digits is the prior.
:func:`~scoresde.inverse.denoisers.pigdm` adds the gradient of an approximate :math:`\log p(y \mid z_t)` to the
denoiser. :func:`~scoresde.inverse.chains.ddrm` works in the singular directions of :math:`A`. In each direction it
takes the measurement or the prior, whichever is more precise.

The number beside each row is the root mean square error of a pixel. Pixels lie between -1 and 1.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, data, inverse, runs, sample
from scoresde.reports.images import tiled

STD = 0.05  # of the measurement's noise
DIGITS = 10

denoiser = runs.load(Path("../../runs/digits")).denoiser
x = data.digits().x[:DIGITS]
profile = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
blur = inverse.Blur(torch.outer(profile, profile))
torch.manual_seed(0)

# %%
# One measurement belongs to one digit, so that digits are restored one by one.
shape = (1, *x[0].shape)
rows = {"digit": [], "blurred": [], "pigdm": [], "ddrm": []}

for clean, y in zip(x, blur(x) + STD * torch.randn_like(x), strict=True):
    measurement = inverse.Measurement(blur, y, STD)
    rows["digit"].append(clean[None])
    rows["blurred"].append(y[None])
    rows["pigdm"].append(sample(inverse.pigdm(denoiser, measurement), shape, catalogue.unipc(20), seed=0))
    rows["ddrm"].append(inverse.ddrm(denoiser, measurement, shape, catalogue.ddim(20), seed=0))

images = {name: torch.cat(row) for name, row in rows.items()}
names = [f"{name}: {(row - x).square().mean().sqrt():.2f}" for name, row in images.items()]

fig, ax = plt.subplots(figsize=(7, 2.8))
ax.imshow(tiled(torch.cat(list(images.values())), DIGITS), extent=(0, DIGITS, len(rows), 0))
ax.set_yticks([row + 0.5 for row in range(len(rows))], ["digit", *names[1:]])
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

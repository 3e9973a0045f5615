r"""
Blurred digits restored
=======================

Each digit is blurred and noised, :math:`y = A x + s \eta` with a kernel of 5 x 5 pixels and :math:`s = 0.1`. The model
of digits is the prior, and two methods change its denoiser so that samples explain :math:`y`. ``dps`` takes
:math:`p(y \mid z_t)` for a Gaussian about the blurred estimate, ``pigdm`` also counts the uncertainty of the estimate.
The number at each row is the root mean square error of a pixel, whose range is -1 to 1.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, data, inverse, runs, sample
from scoresde.reports.images import tiled

STD = 0.1  # of the measurement's noise
DIGITS = 10

denoiser = runs.load(Path("../../runs/digits")).denoiser
x = data.digits().x[:DIGITS]
profile = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
blur = inverse.Blur(torch.outer(profile, profile))
torch.manual_seed(0)
y = blur(x) + STD * torch.randn_like(x)

rows = {"digit": x, "blurred": y}
for name, led in {"dps": inverse.dps, "pigdm": inverse.pigdm}.items():
    made = [
        sample(led(denoiser, inverse.Measurement(blur, one, STD)), (1, 1, 8, 8), catalogue.unipc(30), seed=0) for one in y
    ]
    rows[name] = torch.cat(made)

names = [f"{name}: {(row - x).square().mean().sqrt():.2f}" for name, row in rows.items()]

fig, ax = plt.subplots(figsize=(7, 2.8))
ax.imshow(tiled(torch.cat(list(rows.values())), DIGITS), extent=(0, DIGITS, len(rows), 0))
ax.set_yticks([row + 0.5 for row in range(len(rows))], ["digit", *names[1:]])
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

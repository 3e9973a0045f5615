r"""
Half of a digit
===============

The upper half of each digit :math:`x` is measured: :math:`y = A x + s \eta`, where :math:`A` takes the upper half,
:math:`\eta` is standard normal, and :math:`s = 0.05`. The lower half is unknown. The prior is the model of digits.
:func:`~scoresde.inverse.denoisers.pigdm` adds a step along :math:`\nabla_z \log p(y \mid z_t)` to the denoiser. It
approximates :math:`p(y \mid z_t)` by a Gaussian.

Each row shows a digit, its measured half, and eight completions from different noise. An upper half fits several
digits, so the completions differ.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, data, inverse, runs, sample
from scoresde.reports.images import tiled

COMPLETIONS = 8
DIGITS = (0, 3, 5, 9)  # positions in the data
STD = 0.05  # of the measurement's noise

denoiser = runs.load(Path("../../runs/digits")).denoiser
x = data.digits().x[list(DIGITS)]
seen = torch.zeros(1, 8, 8, dtype=torch.bool)
seen[:, :4] = True
operator = inverse.Mask(seen)
torch.manual_seed(0)
rows = []

for digit in x:
    y = operator(digit[None])[0] + STD * torch.randn(32)
    led = inverse.pigdm(denoiser, inverse.Measurement(operator, y, STD))
    made = sample(led, (COMPLETIONS, *digit.shape), catalogue.unipc(30), seed=0)
    measured = torch.where(seen, operator.adjoint(y[None])[0], 0)
    rows += [digit[None], measured[None], made]

fig, ax = plt.subplots(figsize=(7, 3.2))
ax.imshow(tiled(torch.cat(rows), COMPLETIONS + 2), extent=(0, COMPLETIONS + 2, len(x), 0))
ax.set_xticks([0.5, 1.5, 2 + COMPLETIONS / 2], ["digit", "measured", "completions"])
ax.set_yticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

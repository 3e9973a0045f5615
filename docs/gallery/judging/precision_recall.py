r"""
Precision and recall by guidance scale
======================================

Precision is the share of samples that lie near a real digit. Recall is the share of real digits that lie near a sample.
An image A lies near an image B if their distance is at most that from B to the third nearest image in the set of B.

Guidance uses the denoiser :math:`D_w = D_\emptyset + w\,(D_c - D_\emptyset)`. With a larger scale :math:`w` the samples
are typical of their label and vary less. So recall falls, and precision stays high. The dashed line is the value for
two sets of real digits, 0.95 for both precision and recall. Bars are 95 % intervals. They are wide because each set has
only 160 images.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import data, guidance, recommended, runs, sample
from scoresde.evaluation.sample_sets import fidelity

SCALES = (1.0, 1.5, 2.0, 3.0, 4.0)
CALLS, COUNT = 8, 160

model = runs.load(Path("../../runs/digits"))
real = data.digits().batch(step=0, size=COUNT, seed=0)[0]  # moved by up to a pixel, as in training
labels = torch.arange(COUNT) % 10
found = []

for scale in SCALES:
    guided = guidance.ClassifierFree(model.denoiser, scale)
    x = sample(guided, real.shape, recommended(guided, CALLS), seed=0, cond=labels)
    found.append(fidelity(real, x, k=3))

floor = fidelity(real, data.digits().batch(step=1, size=COUNT, seed=0)[0], k=3)
fig, ax = plt.subplots(figsize=(6, 3.2))

for name, style, colour, shift in (("precision", "o-", "C0", 0.98), ("recall", "s-", "C1", 1.02)):
    each = [getattr(one, name) for one in found]
    value = torch.tensor([one.value for one in each])
    error = [one.high - one.value for one in each]
    at = shift * torch.tensor(SCALES)  # beside each other, so that both bars are seen
    ax.errorbar(at, value, error, fmt=style, color=colour, capsize=3, label=name)
    ax.axhline(getattr(floor, name).value, color=colour, linestyle="--", linewidth=0.8)

ax.set(xlabel="guidance scale w", ylabel="share", xscale="log", ylim=(0.5, 1.02))
ax.set_xticks(SCALES, [f"{scale:g}" for scale in SCALES])
ax.minorticks_off()
_ = ax.legend()

r"""
A classifier as a test
======================

Do two sets of samples have the same distribution? A classifier is trained to distinguish them (C2ST). An accuracy of
0.5 means that it cannot. Here the sets are 500 samples of :math:`\mathcal{N}(0, I)` and 500 of :math:`\mathcal{N}(d
e_1, I)` in the plane, where :math:`e_1` is the first unit vector.

The best possible classifier has the accuracy :math:`\Phi(d / 2)`, the dashed line, where :math:`\Phi` is the normal
distribution function. The trained classifier is a small network. For d > 0 it stays a little below the line. Bars are
95 % intervals.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import exact
from scoresde.evaluation.two_sample import c2st

COUNT = 500
DISTANCES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)

normal = exact.Gaussian(torch.zeros(2), torch.eye(2))
found = []

for distance in DISTANCES:
    other = normal.sample(COUNT, seed=1) + torch.tensor([distance, 0.0])
    found.append(c2st(normal.sample(COUNT, seed=0), other))

accuracy = torch.tensor([f.value for f in found])
error = torch.tensor([f.high - f.value for f in found])
d = torch.linspace(0, 3.2, 100)
best = torch.special.ndtr(d / 2)

fig, ax = plt.subplots(figsize=(6, 3.2))
ax.plot(d, best, "--", color="C0", label=r"best possible, $\Phi(d/2)$")
ax.errorbar(DISTANCES, accuracy, error, fmt="o", color="C1", capsize=3, label="trained classifier")
ax.axhline(0.5, color="0.6", linewidth=0.8)
ax.set(xlabel="distance d of the means (standard deviations)", ylabel="accuracy")
_ = ax.legend(loc="lower right")

r"""
Guidance and the tails of a class
=================================

The data are two trees in the plane, each of them a class. They are made of Gaussians along their branches. So the
denoiser :math:`D_c` of a class c and the denoiser :math:`D_\emptyset` of all data are exact. Gray: data of the other
class. Blue: data of the class. Orange: samples of the class.

Without guidance the samples follow the class. Classifier-free guidance,
:math:`D_w = D_\emptyset + w\,(D_c - D_\emptyset)` with :math:`w = 4`, moves the samples away from the other class. No
samples are left in the branches near it: a part of the class is lost. In the last panel guidance is applied only in an
interval of noise levels. It is not applied at high noise, where a sample chooses its branch. So more branches are kept.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, catalogue, exact, guidance, sample

SPLITS = 6  # how often a branch divides
COUNT = 800

means, stds, weights, labels = [], [], [], []
tips = torch.tensor([[-0.1, 0.0], [0.1, 0.0]])
angles = torch.tensor([2.1, 1.04])  # of the two trunks, in radians
label = torch.tensor([0, 1])

for split in range(SPLITS):
    step = 0.75 * 0.7**split * torch.stack([angles.cos(), angles.sin()], 1)
    along = torch.linspace(0, 1, 5)[:, None, None]
    means.append((tips + along * step).flatten(0, 1))
    stds.append(torch.full((len(means[-1]),), 0.06 * 0.7**split))
    weights.append(torch.full((len(means[-1]),), 0.5**split))
    labels.append(label.repeat(5))

    tips, label = (tips + step).repeat(2, 1), label.repeat(2)
    angles = torch.cat([angles - 0.45, angles + 0.45])

mixture = exact.GaussianMixture(torch.cat(means), torch.cat(stds) ** 2, torch.cat(weights), process=VPSDE())
denoiser = exact.Labelled(mixture, torch.cat(labels))

guided = {
    "no guidance": denoiser,
    "guidance, w = 4": guidance.ClassifierFree(denoiser, 4.0),
    "the same, in an interval": guidance.ClassifierFree(denoiser, 4.0, interval=(0.5, 3.0)),
}

fig, axes = plt.subplots(1, 3, figsize=(8, 2.1), sharex=True, sharey=True)

for ax, (name, model) in zip(axes, guided.items(), strict=True):
    x = sample(model, (COUNT, 2), catalogue.unipc(20), seed=0, cond=1)
    for which, colour in ((0, "0.8"), (1, "lightskyblue")):
        ax.scatter(*denoiser.of(which).sample(4000, seed=1).T, s=0.5, color=colour)
    ax.scatter(*x.T, s=2, color="C1")
    ax.set(title=name, aspect="equal", xlabel="$x_1$")

_ = axes[0].set_ylabel("$x_2$")

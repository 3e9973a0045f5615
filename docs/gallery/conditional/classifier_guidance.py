r"""
Guidance by a classifier
========================

Bayes' rule for scores is :math:`\nabla \log p_t(z \mid c) = \nabla \log p_t(z) + \nabla \log p_t(c \mid z)`. So a model
without labels and a classifier of noisy states together make a model of a class c. Here both are exact. The data, in
gray, are eight Gaussians in four classes.

The first panel shows :math:`p_t(c \mid z)` of the upper right class at :math:`t = 0.25`. The other panels show samples,
in orange, with w times the gradient of the classifier. With :math:`w = 0` the samples follow all data, and with
:math:`w = 1` the class. With :math:`w = 4` they move to the side of the class that is farthest from the other classes.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, catalogue, exact, guidance, sample

CLASS = 0
T = 0.25  # time at which the classifier is shown

process = VPSDE()
angle = torch.arange(8) * torch.pi / 4 + torch.pi / 8
mixture = exact.GaussianMixture(1.4 * torch.stack([angle.cos(), angle.sin()], 1), 0.04, process=process)
labels = torch.arange(8) // 2
of_class = exact.Labelled(mixture, labels).of(CLASS)


def log_prob(z, alpha, sigma, cond):
    """The logarithm of p(c | z), up to the constant log p(c)."""
    return of_class.log_prob(z, alpha, sigma) - mixture.log_prob(z, alpha, sigma)


# %%
# :class:`~scoresde.guidance.gradients.Classifier` adds w times the classifier's gradient to the score.
axis = torch.linspace(-2.2, 2.2, 150)
grid = torch.cartesian_prod(axis, axis).double()
chance = log_prob(grid, process.alpha(T), process.sigma(T), CLASS).exp() / 4  # p(c) = 1/4

fig, axes = plt.subplots(1, 4, figsize=(8, 2.5), sharex=True, sharey=True)
axes[0].pcolormesh(axis, axis, chance.reshape(150, 150).T, cmap="Blues", vmin=0, vmax=1, rasterized=True)
axes[0].set_title(rf"$p_t(c \mid z)$, t = {T}")

for ax, scale in zip(axes[1:], (0.0, 1.0, 4.0), strict=True):
    guided = guidance.Classifier(mixture, log_prob, scale)
    x = sample(guided, (1000, 2), catalogue.unipc(30), seed=0, cond=CLASS)
    ax.scatter(*mixture.sample(1000, seed=1).T, s=1, color="0.8")
    ax.scatter(*x.T, s=1, color="C1")
    ax.set_title(f"samples, w = {scale:g}")

for ax in axes:
    ax.set(aspect="equal", xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), xlabel="$x_1$", ylabel="$x_2$")
    ax.label_outer()

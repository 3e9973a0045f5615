r"""
Guidance is not tempering
=========================

Classifier-free guidance uses the score of :math:`p_t(z)\, p_t(c \mid z)^w` at each noise level. At :math:`t = 0` that
is the score of the tempered density, which is proportional to :math:`p(x)\, p(c \mid x)^w`. But the guided flow does
not sample this density. Here everything is known: the data are three Gaussians on a line, and two of them are the class
c. In one dimension a flow keeps the order of points. So the density of its samples follows from the points to which it
carries a grid of latents.

At :math:`w = 1` all three curves agree. At :math:`w = 4` the guided law has almost lost the left mode of the class,
which the tempered density keeps.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, catalogue, exact, guidance, sampling

CLASS = 1
SCALES = (1.0, 2.0, 4.0)

means = torch.tensor([[-0.8], [0.0], [1.5]])
mixture = exact.GaussianMixture(means, 0.25, process=VPSDE())
denoiser = exact.Labelled(mixture, torch.tensor([0, CLASS, CLASS]))

x = torch.linspace(-3, 4, 701, dtype=torch.float64)[:, None]
p = mixture.log_prob(x)
p_class = denoiser.of(CLASS).log_prob(x)

# %%
# The latents are a grid :math:`z`. The density at :math:`x(z)` is the normal density of :math:`z` over the slope
# :math:`dx/dz`.
z = torch.linspace(-4, 4, 801, dtype=torch.float64)[:, None]
normal = torch.distributions.Normal(0, 1).log_prob(z).exp()

fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharex=True)

for ax, scale in zip(axes, SCALES, strict=True):
    guided = guidance.ClassifierFree(denoiser, scale)
    carried = sampling.decode(guided, z, catalogue.probability_flow(1e-6), cond=CLASS)
    density = normal / torch.gradient(carried, spacing=(z[1] - z[0]).item(), dim=0)[0]
    tempered = (p + scale * (p_class - p)).exp()

    ax.fill_between(x[:, 0], p_class.exp(), color="0.8", label="class")
    ax.plot(x, tempered / torch.trapezoid(tempered, x[:, 0]), "--", color="C0", label="tempered")
    ax.plot(carried, density, color="C1", label="guided")
    ax.set(title=f"w = {scale:g}", xlabel="x", xlim=(-2, 4), ylim=(0, None))

axes[0].set_ylabel("density")
_ = axes[2].legend(loc="upper left")

r"""
The loss at each noise level
============================

The left panel shows the denoising loss :math:`E|\hat\epsilon(z_t) - \epsilon|^2` per pixel at each noise level. With
little noise (right) it is hard to distinguish noise and image, and the loss is high. With much noise (left)
:math:`z_t` is almost the noise itself, and the loss is low.

The model of digits is compared with the best Gaussian: the exact denoiser of :math:`\mathcal{N}(\mu, \Sigma)` with the
mean and the covariance of the data. The right panel shows the ratio of the two losses. Below 1, the network knows more
about digits than their mean and covariance. At :math:`\lambda < -1` it knows nothing more. Near :math:`\lambda = 1.5`
its loss is half of the Gaussian's. Both losses are measured on digits that the network was trained on.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, data, exact, runs
from scoresde.training.losses import DSM

DIGITS = 256

process = VPSDE()
network = runs.load(Path("../../runs/digits")).denoiser
images = data.digits().batch(step=0, size=1797, seed=0)[0]  # moved by up to a pixel, as in training
flat = images.flatten(1).double()
gaussian = exact.Gaussian(flat.mean(0), flat.T.cov(), process=process)

# %%
# Both denoisers get the same noisy digits. ``lams`` are values of :math:`\lambda = \log(\alpha / \sigma)`.
lams = torch.linspace(-4, 4, 17)
x = images[:DIGITS]
torch.manual_seed(0)
eps = torch.randn_like(x)
losses = {"best Gaussian": [], "network": []}

for t in process.time(lams):
    for name, denoiser in zip(losses, (gaussian, network), strict=True):
        with torch.no_grad():
            each = DSM()(denoiser, x, t, eps)
        losses[name].append(each.mean() / x[0].numel())

ratio = torch.stack(losses["network"]) / torch.stack(losses["best Gaussian"])

fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3), sharex=True)
left.plot(lams, losses["best Gaussian"], "--", color="C0", label="best Gaussian")
left.plot(lams, losses["network"], "-", color="C1", label="network")
left.set(ylabel="denoising loss per pixel", yscale="log")
left.legend()
right.axhline(1, color="C0", linestyle="--")
right.plot(lams, ratio, color="C1")
right.set(ylabel="network over best Gaussian", ylim=(0, 1.2))

for ax in (left, right):
    ax.set_xlabel(r"noise level $\lambda = \log(\alpha / \sigma)$")

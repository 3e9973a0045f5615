r"""
The loss at each noise level
============================

The denoising loss :math:`E|\hat\epsilon(z_t) - \epsilon|^2` of one pixel, by the noise level. At little noise (right)
the noise is hard to tell from the image and the loss is high; at much noise (left) :math:`z_t` is almost the noise
itself.

The model of digits is compared with the best Gaussian: the exact denoiser of :math:`\mathcal{N}(\mu, \Sigma)` with the
mean and the covariance of the data. The gap between the two curves is what the network knows of digits beyond mean and
covariance. It is nothing at :math:`\lambda < -1`, and near :math:`\lambda = 1.5` it halves the loss. Both curves are of
digits that the network was trained on.
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
# Both are asked at the same noisy digits. lam is the logarithm of the signal-to-noise ratio :math:`\alpha / \sigma`.
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

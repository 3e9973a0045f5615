r"""
The parts of one DDIM step
==========================

Noise is added to a real digit, up to t = 0.2. The network answers with the expected digit :math:`\hat{x}` and the
expected noise :math:`\hat\epsilon`. For these, :math:`z_t = \alpha_t \hat{x} + \sigma_t \hat\epsilon`. A step of DDIM
to s = 0.08 combines both again, with the rates of s:

.. math:: z_s = \alpha_s\, \hat{x} + \sigma_s\, \hat\epsilon.

The same step by :func:`~scoresde.samplers.transport.transport` with ``catalogue.ddim(1)`` gives the same image. The
script prints the largest difference.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import catalogue, runs, sampling
from scoresde.data import digits

T, S = 0.2, 0.08

model = runs.load(Path("../../runs/digits")).denoiser
process = model.process
digit = digits().x[0:1]
noise = torch.randn(digit.shape, generator=torch.Generator().manual_seed(0))
z = process.perturb(digit, T, noise)

# %%
# The step by hand, and by the package:

with torch.no_grad():
    answer = model(z, process.alpha(T), process.sigma(T))

after = process.alpha(S) * answer.x0 + process.sigma(S) * answer.eps
again = sampling.transport(model, z, catalogue.ddim(1), process, T, S).y
print(f"largest difference: {(after - again).abs().max():.1e}")

# %%
# The noisy digit, the two answers of the network, and the next state:

a, b = process.alpha(S), process.sigma(S)
pictures = {
    f"$z_t$, t = {T:g}": z,
    r"expected digit $\hat{x}$": answer.x0,
    r"expected noise $\hat\epsilon$": answer.eps,
    f"$z_s$ = {a:.2f} $\\hat{{x}}$ + {b:.2f} $\\hat\\epsilon$, s = {S:g}": after,
}

fig, axes = plt.subplots(1, 4, figsize=(8.5, 2.5))
for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture[0, 0], cmap="gray", vmin=-2, vmax=2)
    ax.set_title(name, fontsize=9)
    ax.set_axis_off()

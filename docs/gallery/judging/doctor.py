r"""
A model that is declared wrongly
================================

The network of the digits predicts :math:`v = \alpha \epsilon - \sigma x`. If it is declared to predict
:math:`\epsilon`, no error is raised, but the denoised images are wrong. :func:`~scoresde.evaluation.doctor.doctor`
reads the output in several ways and compares the denoising losses. It finds nothing wrong with the right declaration,
and it names the fault of the wrong one.

The picture shows digits, the same digits with noise, and the answers of both denoisers with the root mean square error
of a pixel.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import Denoiser, Eps, data, doctor, runs
from scoresde.reports.images import tiled

T = 0.3  # time of the noise
COLUMNS = 10

right = runs.load(Path("../../runs/digits")).denoiser
process = right.process
wrong = Denoiser(right.network, process, Eps(), time=right.time)

images = data.digits().batch(step=0, size=32, seed=0)[0]  # moved by up to a pixel, as in training
for name, denoiser in {"read as v": right, "read as eps": wrong}.items():
    print(name, "->", *(doctor(denoiser, process, images) or ["nothing found"]))

# %%
# The same noisy digits are denoised with both declarations.
x = images[:COLUMNS]
torch.manual_seed(0)
noisy = process.perturb(x, T, torch.randn_like(x))
with torch.no_grad():
    x0 = [denoiser(noisy, process.alpha(T), process.sigma(T)).x0 for denoiser in (right, wrong)]

errors = [(made - x).square().mean().sqrt() for made in x0]
names = ["digit", f"noisy, t = {T}", f"read as v: {errors[0]:.2f}", f"read as eps: {errors[1]:.2f}"]

fig, ax = plt.subplots(figsize=(7, 2.8))
ax.imshow(tiled(torch.cat([x, noisy, *x0]), COLUMNS), extent=(0, COLUMNS, len(names), 0))
ax.set_yticks([row + 0.5 for row in range(len(names))], names)
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

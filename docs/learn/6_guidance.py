r"""
6. Guidance and posteriors
==========================

At the end of this page you can guide an unconditional sampler toward a class and toward a measurement. You also know
which distribution (law) the guided samples really have, because the examples have exact answers.

Both tasks start from Bayes' rule. For any condition :math:`c` and at every time,

.. math:: \nabla \log p_t(z \mid c) = \nabla \log p_t(z) + \nabla \log p_t(c \mid z).

The first term is the score that we have. The second term must be supplied: by a classifier, by a second answer of the
network, or by a model of the measurement.
"""

# %%
# Guidance by a classifier, and without one
# -----------------------------------------
#
# **Classifier guidance** trains a classifier on noisy samples and adds :math:`w\, \nabla \log p_t(c \mid z)` to the
# score. **Classifier-free guidance** trains one network with labels, and hides the label of some samples. The network
# then has two answers: :math:`D_c` with the label, and :math:`D` without it. By Bayes' rule their difference is the
# gradient of a classifier:
#
# .. math:: \nabla \log p_t(c \mid z) = \frac{\alpha}{\sigma^2} (D_c - D), \qquad D_w = D + w\, (D_c - D).
#
# :math:`w = 0` gives the unconditional model, :math:`w = 1` the conditional one, and :math:`w > 1` goes beyond it.
# (Some papers write :math:`1 + w` for this :math:`w`.) A guided denoiser is again a denoiser, so every sampler can use
# it. Here are two classes of two Gaussians each. Both answers are exact.

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, catalogue, exact, grids, guidance, inverse, runs, sample
from scoresde.evaluation.distances import sliced
from scoresde.reports.images import tiled
from scoresde.samplers.sampling import transport

plt.style.use("tableau-colorblind10")

process = VPSDE()
means = torch.tensor([[1.0, 1.0], [-1.0, 1.5], [1.0, -1.0], [-1.5, -1.0]])
mixture = exact.GaussianMixture(means, torch.tensor([0.3, 0.15, 0.3, 0.4]), process=process)
model = exact.Labelled(mixture, torch.tensor([0, 0, 1, 1]))


def draw(guided):
    """1000 samples of class 0."""
    return sample(guided, (1000, 2), catalogue.unipc(30), seed=0, cond=torch.zeros(1000, dtype=torch.int64))


def log_class(z, alpha, sigma, cond):
    """log p(class 0 | z) at any noise level: an exact classifier."""
    return model.of(0).log_prob(z, alpha, sigma) - mixture.log_prob(z, alpha, sigma)


ways = {f"w = {w:g}": guidance.ClassifierFree(model, w) for w in (1.0, 2.0, 5.0)}
ways["w = 5, interval"] = guidance.ClassifierFree(model, 5.0, interval=(0.0, 2.0))
data, of_class = mixture.sample(1000, seed=1), model.of(0).sample(1000, seed=2)
fig, axes = plt.subplots(1, 4, figsize=(8, 2.5), sharey=True)

for ax, (name, guided) in zip(axes, ways.items(), strict=True):
    samples = draw(guided)
    ax.plot(*data.T, ".", markersize=1, color="0.8")
    ax.plot(*samples.T, ".", markersize=2)
    ax.set(title=name, xlabel="$x_1$", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    print(f"{name:15}  distance from the class (sliced W2): {sliced(samples, of_class):.2f}")

axes[0].set_ylabel("$x_2$")
difference = draw(guidance.ClassifierFree(model, 2.0)) - draw(guidance.Classifier(mixture, log_class, 2.0))
print(f"classifier-free against an exact classifier, w = 2: largest difference {difference.abs().max():.0e}")

# %%
# The grey points are data of both classes, and the blue points are guided samples of the upper class. A larger scale
# :math:`w` moves the samples away from the other class, and beyond the region of their own class. In the last panel the
# guidance is applied only in an **interval** of levels, :math:`0 < \lambda < 2`. Outside of it the model is the
# conditional one. The samples stay closer to their class. Outside of the interval a step needs one evaluation of the
# network instead of two.
#
# Which law is it?
# ----------------
#
# One often reads that guidance samples the **tilted** density, proportional to :math:`p(x)\, p(c \mid x)^w`. It does
# not. The tilted density with noise added has another score than the guided one: adding noise and tilting do not
# commute. An example shows how large the difference is. Let the data be :math:`N(0, 1)`, and the class :math:`N(m, v)`
# with :math:`m = 1.5`, :math:`v = 1/4`. Along :math:`\alpha = 1`, :math:`\sigma = t` the guided flow is linear,
#
# .. math::
#
#     \frac{dz}{d\sigma} = \frac{z - D_w(z)}{\sigma}
#     = (1 - w)\, \frac{\sigma z}{1 + \sigma^2} + w\, \frac{\sigma (z - m)}{v + \sigma^2} .
#
# Its solution multiplies differences of starting states by :math:`(1 + \sigma^2)^{(w - 1)/2} \big(v/(v +
# \sigma^2)\big)^{w/2}`, where :math:`\sigma` is the first noise level. For large :math:`\sigma` the guided law is
# Gaussian with variance :math:`v^w`. The tilted density has variance :math:`1/(1 - w + w/v)`. The title of each panel
# shows the variance of the guided law, then that of the tilted density.

data_law = exact.Gaussian(torch.zeros(1), 1.0, process=process)
class_law = exact.Gaussian(torch.tensor([1.5]), 0.25, process=process)
starts = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
x = torch.linspace(-1, 3.5, 600)
fig, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True)

for ax, w in zip(axes, (1.0, 2.0, 3.0), strict=True):
    guided = guidance.AutoGuidance(class_law, data_law, w)  # the same formula, for two models
    low, high = transport(guided, starts, catalogue.probability_flow(1e-8), process, 1.0, process.t_min).y
    law = torch.distributions.Normal(low, high - low)  # the flow is affine: two starts tell all
    precision = 1 - w + w / 0.25
    tilted = torch.distributions.Normal(w * 1.5 / 0.25 / precision, precision**-0.5)

    ax.plot(x, law.log_prob(x).exp(), label="guided flow")
    ax.plot(x, tilted.log_prob(x).exp(), "--", label="tilted density")
    ax.set(xlabel="x", title=f"w = {w:g}: variance {law.variance.item():.3f}, {tilted.variance:.3f}")

axes[0].set_ylabel("density")
axes[0].legend()

# %%
# At :math:`w = 1` both are the law of the class. For :math:`w > 1` the guided law is narrower than the tilted
# density, and its mean is farther from the data's mean 0. In practice this is often wanted: the samples fit the label
# better, and vary less. But guidance does not sample a density that was chosen beforehand.
#
# Digits
# ------
#
# Now the denoiser is a network that was trained on handwritten digits of 8 x 8 pixels. A part of the labels was hidden
# in training. All images of a column start from the same noise. The label is 3 in all rows.

network = runs.load(Path("../runs/digits")).denoiser
fig, axes = plt.subplots(4, 1, figsize=(7, 2.6))

for ax, w in zip(axes, (0.0, 1.0, 3.0, 8.0), strict=True):
    guided = guidance.ClassifierFree(network, w)
    images = sample(guided, (16, 1, 8, 8), catalogue.best(12), seed=1, cond=torch.full((16,), 3))
    ax.imshow(tiled(images, columns=16))
    ax.set_axis_off()
    ax.text(-10, 16, f"w = {w:g}", ha="right", va="center")

# %%
# At :math:`w = 0` the label has no effect. At :math:`w = 1` most images are threes, at :math:`w = 3` nearly all. At
# :math:`w = 8` the images are more alike and too bright.
#
# Inverse problems
# ----------------
#
# Now the condition is a **measurement** :math:`y = A x + s\, \eta` with noise :math:`\eta \sim N(0, I)`. It is, for
# example, a blurred, masked or smaller image. We want samples of the posterior :math:`p(x \mid y)`. The score needs the
# gradient of the logarithm of
#
# .. math:: p_t(y \mid z) = \int p(y \mid x)\, p(x \mid z)\, dx .
#
# Here :math:`p(y \mid x) = N(y; A x, s^2 I)` is known. But :math:`p(x \mid z)` is unknown: the denoiser gives only its
# mean. The methods differ in their approximation of :math:`p(x \mid z)`:
#
# * **DPS** takes one point, :math:`x = D(z)`. Then :math:`p_t(y | z) \approx N(y; A D, s^2)`.
# * **PiGDM** takes a Gaussian around :math:`D(z)` of variance :math:`r^2 = \sigma^2/(\alpha^2 + \sigma^2)`. Then
#   :math:`p_t(y | z) \approx N(y; A D, r^2 A A^T + s^2)`.
# * **TMPD** takes the Gaussian with the true covariance, :math:`C = (\sigma^2/\alpha)\, \partial D/\partial z`. Then
#   :math:`p_t(y | z) \approx N(y; A D, A C A^T + s^2)`.
#
# For a mixture the posterior is a mixture again, :func:`~scoresde.denoisers.posterior.posterior`. So
# :math:`p_t(y | z) \propto p_t(z | y)/p_t(z)` is known exactly. The picture has two peaks, at -1.5 and 1, and a
# measurement :math:`y = 0` with :math:`s = 0.3`, at three levels. For the approximations the exponential factor of the
# Gaussian is drawn, without its normalisation. All curves are scaled to the same maximum.

peaks = exact.GaussianMixture(torch.tensor([[-1.5], [1.0]]), 0.04, torch.tensor([0.4, 0.6]), process=process)
measurement = inverse.Measurement(inverse.Matrix(torch.eye(1)), torch.tensor([0.0]), std=0.3)
truth = exact.posterior(peaks, measurement)
z = torch.linspace(-3, 3, 300, dtype=torch.float64)[:, None]
fig, axes = plt.subplots(1, 3, figsize=(8, 2.7), sharey=True)

for ax, lam in zip(axes, (-1.0, 0.0, 1.0), strict=True):
    alpha, sigma = process.alpha(process.time(lam)), process.sigma(process.time(lam))
    curves = {
        "exact": truth.log_prob(z, alpha, sigma) - peaks.log_prob(z, alpha, sigma),
        "DPS": measurement.log_prob(peaks(z, alpha, sigma).x0),
        "PiGDM": inverse.pigdm(peaks, measurement).led(z, alpha, sigma).fit,
        "TMPD": inverse.tmpd(peaks, measurement).led(z, alpha, sigma).fit,
    }
    for name, curve in curves.items():
        ax.plot(z, (curve - curve.max()).exp(), color="black" if name == "exact" else None, label=name)
    ax.set(xlabel="noisy state z", title=rf"$\lambda$ = {lam:g}")

axes[0].set_ylabel(r"$p_t(y\,|\,z)$, scaled")
axes[2].legend(loc="upper left", bbox_to_anchor=(0, 0.95))

# %%
# At :math:`\lambda = -1` the exact curve has its maximum on the right: the peak at 1 is nearer to :math:`y = 0` and
# explains it better. All three approximations have their maximum where :math:`D(z) = 0`. There are no data at 0, but
# the mean of the two peaks can be 0. The curve of DPS is much too narrow. More levels or calls do not remove these
# errors.
#
# Samples of the posterior
# ------------------------
#
# The prior is a mixture of nine Gaussians in the plane with different weights. One number is measured, :math:`y = x_1 +
# 0.3\, x_2 + 0.3\, \eta`, with the result 0.6. The grey line holds the points with :math:`x_1 + 0.3\, x_2 = 0.6`. DPS,
# PiGDM and TMPD are denoisers, so any sampler can run them. The fourth method,
# :func:`~scoresde.inverse.particles.twisted`, is a **particle filter**. It moves 4096 samples, the particles, by the
# steps of PiGDM, and gives them weights that correct the error of these steps. When a few particles hold most of the
# weight, all particles are drawn anew by their weights. As the number of particles grows, the samples become exact.

means = torch.cartesian_prod(torch.tensor([-1.5, 0.0, 1.5]), torch.tensor([-1.5, 0.0, 1.5]))
weights = torch.tensor([1.0, 4.0, 1.0, 4.0, 1.0, 2.0, 3.0, 1.0, 1.0])
prior = exact.GaussianMixture(means, 0.02, weights, process=process)
measurement = inverse.Measurement(inverse.Matrix(torch.tensor([[1.0, 0.3]])), torch.tensor([0.6]), std=0.3)
shape, method = (1000, 2), catalogue.unipc(40)

truth = exact.posterior(prior, measurement).sample(1000, seed=1)
found = {"exact posterior": exact.posterior(prior, measurement).sample(1000, seed=2)}
for name, make in {"DPS": inverse.dps, "PiGDM": inverse.pigdm, "TMPD": inverse.tmpd}.items():
    found[name] = sample(make(prior, measurement), shape, method, seed=0)
levels = catalogue.ddpm(100, grid=grids.quadratic)
particles = inverse.twisted(prior, measurement, shape, levels, particles=4096)
found["particles"] = particles.x
print(f"effective particles at the end: {particles.ess[-1]:.0f} of 4096")

fig, axes = plt.subplots(1, 5, figsize=(8, 2.2), sharey=True)
for ax, (name, samples) in zip(axes, found.items(), strict=True):
    ax.plot(*samples.T, ".", markersize=1.5)
    ax.axline((0.6, 0.0), (0.0, 2.0), color="0.7", linewidth=0.8)
    ax.set(title=f"{name}\n{sliced(samples, truth):.2f}", xlabel="$x_1$", xlim=(-2.3, 2.3), ylim=(-2.3, 2.3))
axes[0].set_ylabel("$x_2$")

# %%
# The number above each panel is the distance to a set of exact posterior samples (sliced W2). In the first panel it
# is the distance between two exact sets, so a good method has about this number. DPS, PiGDM and TMPD give the Gaussians
# wrong weights. PiGDM and TMPD also put samples at Gaussians that hardly explain the measurement. The particles are as
# near as a second set of exact samples.
#
# A short guide:
#
# * Several modes: particles.
# * One mode and correlated data: TMPD.
# * An operator that is not linear: DPS, TMPD or :func:`~scoresde.inverse.chains.daps`.
# * A quick result, without derivatives of the network: :func:`~scoresde.inverse.chains.ddrm`.
#
# :doc:`/inverse` has the measurements behind this.
#
# Try next
# --------
#
# * :doc:`/generated/gallery/conditional/inpainting`: an image with a hole, restored by a trained network.
# * :doc:`/inverse`: ten posterior samplers, measured against exact posteriors.
#
# References
# ----------
#
# * Dhariwal, Nichol 2021, *Diffusion models beat GANs on image synthesis*, arXiv:2105.05233.
# * Ho, Salimans 2022, *Classifier-free diffusion guidance*, arXiv:2207.12598.
# * Bradley, Nakkiran 2024, *Classifier-free guidance is a predictor-corrector*, arXiv:2408.09000.
# * Kynkäänniemi, Aittala, Karras, Laine, Aila, Lehtinen 2024, *Applying guidance in a limited interval improves sample
#   and distribution quality in diffusion models*, arXiv:2404.07724.
# * Karras, Aittala, Kynkäänniemi, Lehtinen, Aila, Laine 2024, *Guiding a diffusion model with a bad version of itself*,
#   arXiv:2406.02507.
# * Chung, Kim, McCann, Klasky, Ye 2023, *Diffusion posterior sampling for general noisy inverse problems*,
#   arXiv:2209.14687.
# * Jiaming Song, Vahdat, Mardani, Kautz 2023, *Pseudoinverse-guided diffusion models for inverse problems*, ICLR.
# * Boys, Girolami, Pidstrigach, Reich, Mosca, Akyildiz 2023, *Tweedie moment projected diffusions for inverse
#   problems*, arXiv:2310.06721.
# * Wu, Trippe, Naesseth, Blei, Cunningham 2023, *Practical and asymptotically exact conditional sampling in diffusion
#   models*, arXiv:2306.17775.

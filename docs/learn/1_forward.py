r"""
1. The forward process and its kernel
=====================================

At the end of this page you can write down the forward process of any diffusion model, as an equation and as a kernel.
You also know why all these processes are the same process, up to a change of time and a change of scale.

A diffusion model needs a path from data to noise. The path is chosen by hand: nothing about it is learned. Two
functions of time describe it, the **signal** :math:`\alpha(t)` and the **noise** :math:`\sigma(t)`:

.. math:: z_t = \alpha(t)\, x + \sigma(t)\, \epsilon, \qquad \epsilon \sim N(0, I).
"""

# %%
# The stochastic differential equation
# ------------------------------------
#
# The forward process is a linear stochastic differential equation (SDE), started at a sample :math:`x` of the data:
#
# .. math:: dz = f(t)\, z\, dt + g(t)\, dw, \qquad z_0 = x.
#
# Here :math:`w` is a Wiener process (Brownian motion). The term :math:`f(t) z\, dt` shrinks the signal. The term
# :math:`g(t)\, dw` adds white noise. In the variance-preserving process,
# :class:`~scoresde.processes.forward.VPSDE`, both come from one rate :math:`\beta(t)`: :math:`f = -\beta/2` and
# :math:`g = \sqrt\beta`, where :math:`\beta` rises linearly from 0.1 to 20.
#
# Here are paths that start at one number, :math:`x = 2`. They are computed step by step with the Euler-Maruyama
# method, see :doc:`page 3 <3_reverse>`.

import matplotlib.pyplot as plt
import torch

from scoresde import EDM, VESDE, VPSDE, CosineVP, RectifiedFlow, SubVPSDE, data
from solvers import EulerMaruyama, SeededNoise, solve

plt.style.use("tableau-colorblind10")

process = VPSDE()
times = torch.linspace(0, 1, 501, dtype=torch.float64)
start = torch.full((5000, 1), 2.0)
paths = solve(process.forward(), start, EulerMaruyama(), times, noise=SeededNoise(0), save=times)

fig, ax = plt.subplots(figsize=(7, 3))
ax.plot(paths.ts, paths.ys[:, :12, 0], linewidth=0.7)
ax.set(xlabel="time t", ylabel="state $z_t$", title="Twelve paths of the forward process from x = 2")

# %%
# The kernel
# ----------
#
# We never need the steps, because the distribution (the *law*) of :math:`z_t` is known. The equation is linear, so
# :math:`z_t` is Gaussian. Two ordinary differential equations give its mean :math:`\alpha(t) x` and its variance
# :math:`\sigma(t)^2`:
#
# .. math:: \alpha' = f \alpha, \qquad (\sigma^2)' = 2 f \sigma^2 + g^2, \qquad \alpha(0) = 1,\ \sigma(0) = 0.
#
# The first equation is the expectation of the SDE. The second follows from Itô's formula for :math:`z^2`. The result is
# the **kernel**
#
# .. math:: q(z_t \mid x) = N\big(\alpha(t)\, x,\ \sigma(t)^2 I\big).
#
# For the variance-preserving process :math:`\alpha = \exp(-\tfrac12 \int_0^t \beta)` and
# :math:`\sigma^2 = 1 - \alpha^2`. The histograms show the 5000 paths from above, the lines show the kernel.

fig, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharex=True)
z = torch.linspace(-4, 4, 300)

for ax, step in zip(axes, (100, 200, 500), strict=True):
    t = paths.ts[step]
    kernel = torch.distributions.Normal(2.0 * process.alpha(t), process.sigma(t))

    ax.hist(paths.ys[step, :, 0], 50, density=True, alpha=0.4, label="5000 paths")
    ax.plot(z, kernel.log_prob(z).exp(), color="black", label="kernel $q(z_t|x)$")
    ax.set(xlabel="$z_t$", title=f"t = {t:.1f}")

axes[0].set_ylabel("density")
axes[0].legend(loc="upper left")

# %%
# This is why training is cheap: no path is simulated. One line gives a noisy sample at any time,
# :meth:`process.perturb <scoresde.processes.base.Process.perturb>`. At :math:`t = 1` almost nothing of the data is
# left, and the state is close to :math:`N(0, \sigma(1)^2)`. This Gaussian is the **prior**. Sampling starts from it.

x = torch.tensor([[2.0], [2.0]])
noisy = process.perturb(x, 0.4, torch.randn(2, 1))
print("two noisy copies at t = 0.4:", noisy.flatten().tolist())
print(f"at t = 1: signal {process.alpha(1.0):.4f}, noise {process.sigma(1.0):.5f}")

# %%
# Which processes there are
# -------------------------
#
# The coefficients of the SDE follow from :math:`\alpha` and :math:`\sigma`. So one may choose either pair:
#
# .. math:: f = \frac{\alpha'}{\alpha}, \qquad g^2 = (\sigma^2)' - 2 f \sigma^2.
#
# ======================================================  ===================================  =============
# process                                                 signal                               noise
# ======================================================  ===================================  =============
# :class:`~scoresde.processes.forward.VPSDE`              :math:`e^{-\frac12\int_0^t\beta}`    :math:`\sqrt{1-\alpha^2}`
# :class:`~scoresde.processes.forward.SubVPSDE`           the same                             :math:`1-\alpha^2`
# :class:`~scoresde.processes.forward.VESDE`              1                                    :math:`\sigma_0 c^t`
# :class:`~scoresde.processes.forward.CosineVP`           :math:`\cos(\pi t/2)`, with offset   :math:`\sqrt{1-\alpha^2}`
# :class:`~scoresde.processes.forward.RectifiedFlow`      :math:`1-t`                          :math:`t`
# :class:`~scoresde.processes.coordinates.EDM`            1                                    :math:`t`
# ======================================================  ===================================  =============
#
# In the row of VESDE, :math:`\sigma_0` is the noise at :math:`t = 0`, and :math:`c` is the factor by which it grows
# until :math:`t = 1`. For a process of your own, give the two functions to
# :class:`~scoresde.processes.custom.CustomProcess`.
#
# The picture shows five of the processes. VPSDE and SubVPSDE have the same signal, so one curve hides the other in the
# left panel.

processes = {  # the first two have one signal, so that one curve hides the other
    "VPSDE": VPSDE(),
    "SubVPSDE": SubVPSDE(),
    "CosineVP": CosineVP(),
    "RectifiedFlow": RectifiedFlow(),
    "VESDE": VESDE(),
}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.8))

for name, each in processes.items():
    t = torch.linspace(each.t_min, min(each.t_max, 0.999), 300)
    axes[0].plot(t, each.alpha(t))
    axes[1].plot(t, each.sigma(t), label=name)
    axes[2].plot(t, each.lam(t))

axes[0].set(xlabel="time t", title=r"signal $\alpha$")
axes[1].set(xlabel="time t", title=r"noise $\sigma$ (log scale)", yscale="log")
axes[2].set(xlabel="time t", title=r"level $\lambda = \log(\alpha/\sigma)$")
axes[1].legend(loc="lower right")

# %%
# One number names the noise level
# --------------------------------
#
# The right panel above shows the quantity that matters,
#
# .. math:: \lambda = \log\frac{\alpha}{\sigma},
#
# half the logarithm of the signal-to-noise ratio :math:`\alpha^2/\sigma^2`. It falls along every forward process. At
# :math:`\lambda = 4` the sample is almost clean. At :math:`\lambda = 0` signal and noise are equally large. At
# :math:`\lambda = -4` almost only noise is left. ``process.time(lam)`` is the time at which a process has the level
# ``lam``.

photo = data.photos(64).x[120:121]  # colours in [-1, 1]
eps = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
fig, axes = plt.subplots(1, 7, figsize=(8, 1.6))

for ax, lam in zip(axes, (4.0, 2.0, 1.0, 0.0, -1.0, -2.0, -4.0), strict=True):
    t = process.time(lam)
    noisy = process.perturb(photo, t, eps)[0].permute(1, 2, 0)
    ax.imshow((noisy / 2 + 0.5).clamp(0, 1))
    ax.set_title(rf"$\lambda$ = {lam:g}" + f"\nt = {t:.3f}")
    ax.set_axis_off()

# %%
# All processes are one
# ---------------------
#
# Choose a value of :math:`\lambda`. Each of two processes reaches it at a time of its own. The states at these times,
#
# .. math:: \alpha_1 x + \sigma_1 \epsilon \quad\text{and}\quad \alpha_2 x + \sigma_2 \epsilon
#
# have the same ratio of signal to noise, so one is a multiple of the other. Therefore two processes differ only in
# **time** (when a level is reached) and in **scale** (the factor of the state).
#
# The left panel shows the state of one sample with one noise in five processes. In the right panel the time is replaced
# by :math:`\lambda`, and the state is divided by :math:`r = \sqrt{\alpha^2 + \sigma^2}`. The five curves become one.

five = {name: each for name, each in processes.items() if name != "VESDE"} | {"EDM": EDM()}
lam = torch.linspace(-1.5, 5, 200)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3))

for k, (name, each) in enumerate(five.items()):
    t = each.time(lam)
    state = 2.0 * each.alpha(t) - 0.7 * each.sigma(t)  # x = 2, epsilon = -0.7
    r = (each.alpha(t) ** 2 + each.sigma(t) ** 2).sqrt()

    left.semilogx(t, state, label=name)
    right.plot(lam, state / r, linewidth=9 - 2 * k)

left.set(xlabel="time t of the process (log scale)", ylabel="state $z_t$", title="Five processes ...")
right.set(xlabel=r"level $\lambda$", ylabel="state / r", title="... are one")
left.legend()

# %%
# This fact has three uses, and the package is built on it.
#
# * A model that was trained along one process can be sampled along any other. A trained denoiser is called with a state
#   and the pair :math:`(\alpha, \sigma)`. It scales the state to the process of its training, which is possible because
#   only the ratio of :math:`\alpha` and :math:`\sigma` matters.
# * A process with convenient formulas can replace the one of training. EDM is the choice
#   :math:`\alpha = 1, \sigma = t`: its time is the standard deviation of the noise.
# * Two papers with different processes are compared at equal :math:`\lambda`.
#
# In practice the processes still differ in two ways. Equal time steps lie at different noise levels, and training at
# uniform times sees some levels more often. Both can be chosen separately from the process.
#
# Try next
# --------
#
# * :doc:`2_score`: what a network learns about the noisy data.
# * :doc:`/generated/gallery/forward/marginals`: the whole density at each time, not one sample.
#
# References
# ----------
#
# * Yang Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole 2021, *Score-based generative modeling through stochastic
#   differential equations*, arXiv:2011.13456.
# * Ho, Jain, Abbeel 2020, *Denoising diffusion probabilistic models*, arXiv:2006.11239.
# * Kingma, Salimans, Poole, Ho 2021, *Variational diffusion models*, arXiv:2107.00630.
# * Karras, Aittala, Aila, Laine 2022, *Elucidating the design space of diffusion-based generative models*,
#   arXiv:2206.00364.
# * Nichol, Dhariwal 2021, *Improved denoising diffusion probabilistic models*, arXiv:2102.09672.
# * Lipman, Chen, Ben-Hamu, Nickel, Le 2023, *Flow matching for generative modeling*, arXiv:2210.02747.
# * Liu, Gong, Liu 2023, *Flow straight and fast*, arXiv:2209.03003.

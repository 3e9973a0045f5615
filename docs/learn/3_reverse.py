r"""
3. The reverse SDE and the probability flow
===========================================

At the end of this page you know the equations that turn noise into data and why they form a family. You also know why a
model can be sampled along a process that it was not trained on, and you can write the simplest sampler in four lines.

The forward process of :doc:`page 1 <1_forward>` is :math:`dz = f z\, dt + g\, dw`, and :math:`s = \nabla \log p_t` is
the score of :doc:`page 2 <2_score>`. Run from :math:`t = 1` down to :math:`t = 0`, the following equation has the same
density :math:`p_t` at every time, for every number :math:`\eta \ge 0`:

.. math::

    dz = \Big[ f z - \frac{1 + \eta^2}{2}\, g^2\, s(z, t) \Big] dt + \eta\, g\, dW.

Here :math:`W` is a Wiener process that runs backward in time. :math:`\eta = 1` is the **reverse SDE** of Anderson
(1982). :math:`\eta = 0` has no noise and is called the **probability flow**.
"""

# %%
# Paths
# -----
#
# The data have two peaks: 40 % lie at -1.5 and 60 % at 1. In the picture the blue colour is darker where the density
# :math:`p_t` is larger. The orange paths of both panels start from the same six draws of the prior, at the right end.
# Sampling runs to the left.

from itertools import pairwise

import matplotlib.pyplot as plt
import torch

from scoresde import EDM, VPSDE, Angle, LogSNR, Method, RectifiedFlow, Split, UnitNoise, catalogue, exact, grids, sample
from scoresde.samplers.reverse import reverse
from scoresde.samplers.sampling import transport
from solvers import RK4, Euler, EulerMaruyama, ExpEuler, SeededNoise, solve

plt.style.use("tableau-colorblind10")

process = VPSDE()
means, weights = torch.tensor([[-1.5], [1.0]]), torch.tensor([0.4, 0.6])
model = exact.GaussianMixture(means, 0.04, weights, process=process)
score = model.score(process)

times = torch.linspace(1, process.t_min, 501, dtype=torch.float64)
start = process.prior((4000, 1), seed=5, dtype=torch.float64)
runs = {}
for eta in (0.0, 1.0, 2.0):
    noise = SeededNoise(0) if eta > 0 else None
    runs[eta] = solve(process.reverse(score, eta), start, EulerMaruyama(), times, noise=noise, save=times[::5])

z = torch.linspace(-3, 3, 200, dtype=torch.float64)[:, None]
density = torch.stack([model.log_prob(z, process.alpha(t), process.sigma(t)).exp() for t in times[::5]], 1)
fig, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)

for ax, eta in zip(axes, (0.0, 1.0), strict=True):
    ax.pcolormesh(times[::5], z[:, 0], density.sqrt(), cmap="Blues")
    ax.plot(runs[eta].ts, runs[eta].ys[:, :6, 0], color="#c85200", linewidth=0.9)
    ax.set(xlabel="time t (sampling runs to the left)", title=rf"$\eta$ = {eta:g}")

axes[0].set_ylabel("state z")

# %%
# The single paths differ, but their law (their distribution) at each time is the same. At every time the histogram
# of the states agrees with :math:`p_t`, also for :math:`\eta = 2`.

fig, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True)

for ax, step in zip(axes, (60, 80, 100), strict=True):
    t = runs[0.0].ts[step]
    for eta, run in runs.items():
        ax.hist(run.ys[step, :, 0], 40, range=(-3, 3), density=True, histtype="step", label=rf"$\eta$ = {eta:g}")
    ax.plot(z, model.log_prob(z, process.alpha(t), process.sigma(t)).exp(), color="black", label="$p_t$")
    ax.set(xlabel="z", title=f"t = {t:.2f}")

axes[0].set_ylabel("density")
axes[0].legend()

# %%
# Why: the Fokker-Planck equation
# -------------------------------
#
# The density of the forward process obeys the Fokker-Planck equation. Its last term can be written with the score,
# because :math:`\nabla p = p\, \nabla \log p = p\, s`:
#
# .. math::
#
#     \partial_t p = -\nabla \cdot (f z\, p) + \tfrac{1}{2} g^2 \Delta p
#     = -\nabla \cdot \Big( \big[ f z - \tfrac{1}{2} g^2 s \big]\, p \Big).
#
# The right side describes transport with the velocity :math:`v = f z - \frac12 g^2 s`, without any noise. So
# :math:`dz = v\, dt` moves the density in the same way. This is the flow, :math:`\eta = 0`. It can be run in either
# direction.
#
# Now run backward, and add two things: the noise :math:`\eta g\, dW`, and a drift toward higher density. Their
# contributions to the change of :math:`p` cancel, by the same identity:
#
# .. math:: \tfrac{1}{2} \eta^2 g^2 \Delta p - \nabla \cdot \big( \tfrac{1}{2} \eta^2 g^2 s\, p \big) = 0.
#
# Such a pair of noise and drift is called Langevin dynamics. The family above is the flow plus any amount of Langevin
# dynamics.
#
# What is the use of :math:`\eta`? With the exact score and tiny steps it does not change the law. With a learned score
# the noise helps to forget earlier errors. With few steps the noise costs accuracy, because it makes the paths rough.
#
# Euler-Maruyama
# --------------
#
# The simplest solver keeps the drift and the size of the noise constant over a step :math:`h`. Here it is written by
# hand, and called from the package.

torch.manual_seed(0)
hand = process.prior((10_000, 1), seed=1)
for t0, t1 in pairwise(torch.linspace(1, process.t_min, 101)):
    h = t1 - t0  # below 0
    drift = process.drift(hand, t0) - process.g2(t0) * score(hand, t0)
    hand = hand + h * drift + (h.abs() * process.g2(t0)).sqrt() * torch.randn_like(hand)

methods = {f"{n} calls": catalogue.euler_maruyama(n) for n in (10, 30, 100)}
samples = {name: sample(model, (10_000, 1), method, seed=1) for name, method in methods.items()}
samples["by hand, 100 steps"] = hand

fig, axes = plt.subplots(1, 4, figsize=(8, 2.3), sharey=True)
for ax, (name, x) in zip(axes, samples.items(), strict=True):
    ax.hist(x[:, 0], 60, range=(-3, 3), density=True, alpha=0.5)
    ax.plot(z, model.log_prob(z).exp(), color="black", linewidth=1)
    ax.set(xlabel="x", title=name)
axes[0].set_ylabel("density")

# %%
# The black line is the exact density. With ten calls the peaks are much too wide. With 30 and 100 calls the histogram
# approaches the line. Euler-Maruyama has a low order, see :doc:`page 5 <5_solvers>`, which has better solvers.
#
# Coordinates: a model is sampled along any process
# -------------------------------------------------
#
# All processes agree up to time and scale, see :doc:`page 1 <1_forward>`. So the flow of one process is the flow of
# another in other coordinates, and the samples are the same. A **latent** is a starting noise of the flow. Here eight
# latents are carried to data along five processes, by a solver with a small tolerance.

latents = process.prior((8, 1), seed=3, dtype=torch.float64)
along = {"VPSDE": VPSDE(), "EDM": EDM(), "LogSNR": LogSNR(), "Angle": Angle(), "RectifiedFlow": RectifiedFlow()}
ends = {}
for name, each in along.items():
    method = catalogue.probability_flow(1e-8, process=each)
    ends[name] = transport(model, latents, method, process, 1.0, process.t_min).y
    print(f"{name:14} largest difference to VPSDE: {(ends[name] - ends['VPSDE']).abs().max():.1e}")

# %%
# But the shape of the paths changes. Euler's method follows a straight line in each step, so its error is large where
# paths bend. Below are the eight paths in four coordinates, from :math:`\lambda = -3.5` to 3.5. Above each panel is the
# error of ten Euler steps of equal length in the time of that process.

fig, axes = plt.subplots(1, 4, figsize=(8, 2.4))

for ax, name in zip(axes, ("VPSDE", "EDM", "Angle", "RectifiedFlow"), strict=True):
    each = along[name]
    t = torch.linspace(float(each.time(-3.5)), float(each.time(3.5)), 201, dtype=torch.float64)
    flow = each.probability_flow(model.score(each))
    first = latents * (each.alpha(t[0]) ** 2 + each.sigma(t[0]) ** 2).sqrt()  # into the scale of this process

    path = solve(flow, first, RK4(), t, save=t)
    euler = solve(flow, first, Euler(), t[::20])
    ax.plot(path.ts, path.ys[:, :, 0], linewidth=0.9)
    ax.set(xlabel=f"t of {name}", title=f"error {(euler.y - path.y).square().mean().sqrt():.2f}")

axes[0].set_ylabel("state")

# %%
# The paths of EDM are straight at high noise, and bend only below about t = 2. Of ten equal steps, nine lie on the
# straight part, where they are not needed. So EDM is used with steps that become shorter toward the data. Coordinates
# and the grid of levels are chosen together.
#
# Splits: which part is handled exactly
# -------------------------------------
#
# Along one process the same drift can be written with the denoiser :math:`D`, with the predicted noise
# :math:`\hat\epsilon = -\sigma s`, or with both. For the flow, with :math:`' = d/dt` and
# :math:`\lambda' = \alpha'/\alpha - \sigma'/\sigma`:
#
# ============  ====================================================================  =====================
# split         drift                                                                 linear part
# ============  ====================================================================  =====================
# x0            :math:`(\sigma'/\sigma)\, z + \lambda' \alpha\, D`                    :math:`\sigma'/\sigma`
# eps           :math:`(\alpha'/\alpha)\, z - \lambda' \sigma\, \hat\epsilon`         :math:`\alpha'/\alpha`
# flow          :math:`\alpha' D + \sigma' \hat\epsilon`                              none
# ============  ====================================================================  =====================
#
# Insert :math:`z = \alpha D + \sigma \hat\epsilon` to see that they are equal:

point, t = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
for split in Split:
    equation = reverse(LogSNR(), model, 0.0, split)
    print(f"{split.name:5} drift {equation.drift(t, point).item():.6f}, linear part a = {equation.a:g}")

# %%
# The split matters for an **exponential** solver. It solves the linear part :math:`dz = a z\, dt` exactly, and keeps
# only the other term constant over a step. In the x0 split the other term is the denoiser, which changes little over a
# step. Along :class:`~scoresde.processes.coordinates.LogSNR`, where :math:`a = -1`, this solver is the well-known DDIM.
# Here are ten steps of Euler and of exponential Euler along the same process on the same levels:

lines = {
    "Euler": Method(LogSNR(), Split.FLOW, Euler(), grids.uniform_lambda, 10),
    "exponential Euler, x0 split (DDIM)": Method(LogSNR(), Split.X0, ExpEuler(), grids.uniform_lambda, 10),
    "converged": catalogue.exp_adams(200),
}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True)

for ax, (name, method) in zip(axes, lines.items(), strict=True):
    found = transport(model, latents, method, process, 1.0, process.t_min, save=True)
    ax.plot(process.lam(found.ts), found.ys[:, :, 0], "-" if method.n > 100 else ".-", linewidth=0.9)
    ax.set(xlabel=r"level $\lambda$", title=name, ylim=(-2.6, 2.6))

axes[0].set_ylabel("state z")

# %%
# Along LogSNR the flow contains :math:`dz = -z\, dt`, which multiplies :math:`z` by :math:`e^{-h}` over a step. Euler
# multiplies by :math:`1 - h` instead. With steps of 0.96 this factor is nearly zero: the latents are forgotten, and all
# paths end at one peak. Exponential Euler multiplies by :math:`e^{-h}` itself.
#
# DDIM has three descriptions. They look different and give the same numbers, up to rounding:

descriptions = [
    Method(LogSNR(), Split.X0, ExpEuler(), grids.karras, 10),
    Method(UnitNoise(), Split.EPS, ExpEuler(), grids.karras, 10),
    Method(EDM(), Split.EPS, Euler(), grids.karras, 10),
]
first, *others = [sample(model, (100, 1), method, seed=0) for method in descriptions]
print("largest differences:", [f"{(first - other).abs().max():.0e}" for other in others])

# %%
# So a sampler consists of five choices: a process to integrate along, a split, a solver, a grid of levels, and
# :math:`\eta`. The class :class:`~scoresde.samplers.method.Method` holds them. :doc:`The catalogue </catalogue>` lists
# the choices that make each published sampler.
#
# Try next
# --------
#
# * :doc:`/generated/gallery/reverse/eta`: paths from one starting noise, with three values of eta.
# * :doc:`4_ddpm`: a sampler for the same SDE, derived from a chain of latent variables.
#
# References
# ----------
#
# * Anderson 1982, *Reverse-time diffusion equation models*, Stochastic Processes and their Applications 12.
# * Yang Song et al. 2021, *Score-based generative modeling through stochastic differential equations*,
#   arXiv:2011.13456.
# * Jiaming Song, Meng, Ermon 2021, *Denoising diffusion implicit models*, arXiv:2010.02502.
# * Karras et al. 2022, *Elucidating the design space of diffusion-based generative models*, arXiv:2206.00364.
# * Lu et al. 2022, *DPM-Solver++*, arXiv:2211.01095.
# * Lu, Yang Song 2024, *Simplifying, stabilizing and scaling continuous-time consistency models*, arXiv:2410.11081 (the
#   angle as a time).

r"""
3. The reverse SDE and the probability flow
===========================================

At the end of this page you know the equations that turn noise into data, why they are a family, and why a model may be
sampled along another process than the one of its training. You can also write the simplest sampler in four lines.

The forward process of :doc:`page 1 <1_forward>` is :math:`dz = f z\, dt + g\, dw`, and :math:`s = \nabla \log p_t` is
the score of :doc:`page 2 <2_score>`. Run from :math:`t = 1` down to :math:`t = 0`, the following equation has the same
density :math:`p_t` at every time, for every number :math:`\eta \ge 0`:

.. math::

    dz = \Big[ f z - \frac{1 + \eta^2}{2}\, g^2\, s(z, t) \Big] dt + \eta\, g\, dW.

:math:`\eta = 1` is the **reverse SDE** of Anderson (1982). :math:`\eta = 0` has no noise and is called the
**probability flow**.
"""

# %%
# Paths
# -----
#
# The data are two peaks, 40 % at -1.5 and 60 % at 1. In the picture blue is the density :math:`p_t` at each time. Both
# panels start from the same six draws of the prior, at the right end, and run to the left.

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
# The single paths differ. Their law does not: at every time the histogram of the states is the same density, also at
# :math:`\eta = 2`.

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
# The right side is transport with the velocity :math:`v = f z - \frac12 g^2 s`, without any noise. So
# :math:`dz = v\, dt` moves the density in the same way: this is the flow, :math:`\eta = 0`, and it may be run in either
# direction.
#
# Now add noise :math:`\eta g\, dW` while running backward, and a drift toward higher density with it. Their two
# contributions cancel, by the same identity:
#
# .. math:: \tfrac{1}{2} \eta^2 g^2 \Delta p - \nabla \cdot \big( \tfrac{1}{2} \eta^2 g^2 s\, p \big) = 0.
#
# Such a pair of noise and drift is called Langevin dynamics. The flow plus any amount of it is the family above.
#
# What is :math:`\eta` good for? With the exact score and tiny steps it makes no difference. With a learned score the
# noise helps to forget earlier errors. With few steps it costs accuracy, because noise makes paths rough.
#
# Euler-Maruyama
# --------------
#
# The simplest solver freezes drift and noise over a step :math:`h`. Here it is by hand, and by the package.

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
# Black is the exact density. With ten calls much noise is left. More calls cure it, slowly: Euler-Maruyama is the
# baseline against which the solvers of :doc:`page 5 <5_solvers>` are measured.
#
# Coordinates: a model is sampled along any process
# -------------------------------------------------
#
# All processes are one up to time and scale, see page 1. So the flow of one process is the flow of another in other
# coordinates, and the samples are the same. Here eight latents are carried to data along five processes, by a solver
# with tight tolerance.

latents = process.prior((8, 1), seed=3, dtype=torch.float64)
along = {"VPSDE": VPSDE(), "EDM": EDM(), "LogSNR": LogSNR(), "Angle": Angle(), "RectifiedFlow": RectifiedFlow()}
ends = {}
for name, each in along.items():
    method = catalogue.probability_flow(1e-8, process=each)
    ends[name] = transport(model, latents, method, process, 1.0, process.t_min).y
    print(f"{name:14} largest difference to VPSDE: {(ends[name] - ends['VPSDE']).abs().max():.1e}")

# %%
# What does change is the shape of the paths. A solver follows straight lines over each step, so it errs where paths
# bend. Below are the eight paths in four coordinates, and the error of ten Euler steps that are equal in the time of
# each, from :math:`\lambda = -3.5` to 3.5.

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
# The paths of EDM are straight at high noise, and bend only below t = 2. Ten equal steps waste nine of them on the
# straight part. So EDM is used with steps that shrink toward the data: coordinates and grid are chosen together.
#
# Splits: which part is handled exactly
# -------------------------------------
#
# Along one process the same drift can be written with the denoiser :math:`D`, with the predicted noise
# :math:`\hat\epsilon = -\sigma s`, or with both. For the flow, and with :math:`' = d/dt`:
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
# The split matters to an **exponential** solver. It solves :math:`dz = a z\, dt` exactly and freezes only the rest. In
# the x0 split the rest is the denoiser, which changes little over a step. Along
# :class:`~scoresde.processes.coordinates.LogSNR`, where :math:`a = -1`, this is the well-known DDIM. Here are ten steps
# of Euler and of exponential Euler along the same process on the same levels:

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
# Along LogSNR the flow contains :math:`dz = -z\, dt`, which shrinks :math:`z` by a factor :math:`e^{-h}` over a step.
# Euler takes :math:`1 - h` for it. With steps of 0.96 that is nearly zero: all latents are forgotten, and all end at
# one peak. Exponential Euler takes :math:`e^{-h}` itself.
#
# DDIM has three descriptions. They look different and give the same numbers:

descriptions = [
    Method(LogSNR(), Split.X0, ExpEuler(), grids.karras, 10),
    Method(UnitNoise(), Split.EPS, ExpEuler(), grids.karras, 10),
    Method(EDM(), Split.EPS, Euler(), grids.karras, 10),
]
first, *others = [sample(model, (100, 1), method, seed=0) for method in descriptions]
print("largest differences:", [f"{(first - other).abs().max():.0e}" for other in others])

# %%
# So a sampler is five choices: a process to integrate along, a split, a solver, a grid of levels, and :math:`\eta`. The
# class :class:`~scoresde.samplers.method.Method` holds them, and :doc:`the catalogue </catalogue>` lists which choices
# the published samplers are.
#
# Try next
# --------
#
# * :doc:`/generated/gallery/reverse/eta`: paths from one starting noise, with three values of eta.
# * :doc:`4_ddpm`: the same sampler, found as a chain of latent variables.
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

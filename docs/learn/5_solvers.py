r"""
5. Solvers and their orders
===========================

At the end of this page you know what the order of a solver is, how to measure it, and what exponential and multistep
solvers gain. You can also choose a solver for a given number of network calls.

Sampling is the integration of an equation. The cost is counted in **calls** of the network, because everything else is
cheap. A solver of **order** :math:`p` has an error of about :math:`C h^p` with steps of length :math:`h`. Steps of half
the length divide the error by :math:`2^p`. Which solver is best depends on the order :math:`p`, on the constant
:math:`C`, and on the number of calls in a step.
"""

# %%
# Order of solvers for the flow
# -----------------------------
#
# We carry 200 latents to data by the probability flow of a known mixture. The error is the distance from a converged
# solution, one with a very small tolerance. The left panel has classical Runge-Kutta solvers, along
# :class:`~scoresde.processes.coordinates.Angle`. The right panel has exponential solvers, along
# :class:`~scoresde.processes.coordinates.LogSNR`. The number in each legend is the measured order.

from functools import partial

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, Angle, LogSNR, Method, Split, UnitNoise, catalogue, exact, grids, recommended
from scoresde.evaluation.affine_laws import affine, w2
from scoresde.samplers.reverse import reverse
from scoresde.samplers.sampling import transport
from solvers import RK4, SRA1, Euler, EulerMaruyama, ExpAdams, ExpAdamsPC, ExpEuler, ExpRK3, GridPath, Heun, solve

plt.style.use("tableau-colorblind10")

process = VPSDE()
means = torch.tensor([[-1.5, -1.0], [1.5, -1.0], [0.0, 1.5]])
model = exact.GaussianMixture(means, 0.1, process=process)
latents = process.prior((200, 2), seed=0, dtype=torch.float64)


def ends(method):
    """The latents carried to data."""
    return transport(model, latents, method, process, 1.0, process.t_min).y


converged = ends(catalogue.probability_flow(1e-9))


def error(method):
    """Root mean square distance from the converged flow."""
    return (ends(method) - converged).square().mean().sqrt().item()


classical = {"Euler": (Euler(), 1), "Heun": (Heun(), 2), "RK4": (RK4(), 4)}
exponential = {
    "ExpEuler (DDIM)": (ExpEuler(), 1),
    "ExpRK3": (ExpRK3(), 3),
    "ExpAdams(2)": (ExpAdams(2), 1),
    "ExpAdams(3)": (ExpAdams(3, start=ExpRK3()), 1),
}
even = grids.UniformTime(Angle(1.0))  # the same levels for all
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)

for ax, solvers, along, split in (
    (axes[0], classical, Angle(1.0), Split.FLOW),
    (axes[1], exponential, LogSNR(), Split.X0),
):
    for name, (solver, calls) in solvers.items():
        errors = [error(Method(along, split, solver, even, n)) for n in (24, 48, 96, 192)]
        slope = torch.tensor(errors[-2] / errors[-1]).log2()
        ax.loglog([n * calls for n in (24, 48, 96, 192)], errors, "o-", label=f"{name}: order {slope:.1f}")
    ax.set_xticks([25, 50, 100, 200, 400, 800], ["25", "50", "100", "200", "400", "800"])
    ax.minorticks_off()
    ax.set_xlabel("calls of the model")
    ax.legend()

axes[0].set_ylabel("error")

# %%
# The slopes agree with the orders: 1 for Euler and for DDIM, 2 for Heun and ExpAdams(2), 3 for ExpRK3 and
# ExpAdams(3), 4 for RK4. The horizontal axis counts calls. RK4 needs four calls in a step, and still has the smallest
# error from about a hundred calls on. With few calls the order says little, because :math:`h` is not small.
#
# Multistep solvers use earlier calls
# -----------------------------------
#
# ExpRK3 calls the model three times in a step, and forgets the answers. An **Adams** solver puts a polynomial through
# the answers at earlier levels. It reaches the same order with one call in a step.
#
# DDIM, DPM-Solver++(2M), UniPC and DEIS are exponential Adams solvers. DDIM uses one answer, the others use two to
# four. Below they run as published, with the numbers of calls that are used in practice. ``best`` and
# :func:`~scoresde.samplers.recommend.recommended` are choices of this package: Adams solvers along ``Angle``.
# ``recommended`` also uses the mean and the standard deviations of the data.

budgets = (5, 7, 10, 14, 20, 28)
lines = {
    "ddim": catalogue.ddim,
    "dpm_solver_pp_2m": catalogue.dpm_solver_pp_2m,
    "unipc": catalogue.unipc,
    "deis": catalogue.deis,
    "best": catalogue.best,
}
fig, ax = plt.subplots(figsize=(6, 3.4))

for name, line in lines.items():
    ax.loglog(budgets, [error(line(n)) for n in budgets], "o-", label=name)

ax.loglog(budgets, [error(recommended(model, n)) for n in budgets], "s--", color="black", label="recommended")
ax.set_xticks(budgets, [str(n) for n in budgets])
ax.minorticks_off()
ax.set(xlabel="calls of the model", ylabel="error", title="Error against calls on one mixture")
ax.legend(ncols=2)

# %%
# What exponential solvers and coordinates do
# -------------------------------------------
#
# The flow along LogSNR is :math:`dz = (-z + D(z))\, dt`. Variation of constants solves the linear part exactly:
#
# .. math:: z(t + h) = e^{-h} z(t) + \int_0^h e^{-(h - u)}\, D\big(z(t + u)\big)\, du .
#
# Only :math:`D` is approximated: by a constant (DDIM), or by a polynomial (Adams). The factor :math:`e^{-h}` is exact
# for steps of any length. If :math:`D` is constant, as for data at one point, one step of any length is exact.
#
# A choice of coordinates can have the same effect. For Gaussian data of standard deviation :math:`c` the state does not
# move along ``Angle(c)``, and every solver is exact. The picture shows the error of ten steps, for three methods, on
# Gaussian data with standard deviations from 0 (one point) to 2.

widths = torch.linspace(0, 2, 21, dtype=torch.float64)
start = torch.ones(1, 1, dtype=torch.float64)  # a flow of Gaussian data multiplies it by a number
fig, ax = plt.subplots(figsize=(6, 3))

for name, method in {
    "Euler along VPSDE": Method(VPSDE(), Split.FLOW, Euler(), even, 10),
    "Euler along Angle(1)": Method(Angle(1.0), Split.FLOW, Euler(), even, 10),
    "exponential Euler (DDIM)": Method(LogSNR(), Split.X0, ExpEuler(), even, 10),
}.items():
    errors = []
    for width in widths:
        gaussian = exact.Gaussian(torch.zeros(1), width**2, process=process)
        end = transport(gaussian, start, method, process, 1.0, process.t_min).y
        scale_1, scale_0 = ((process.alpha(t) * width) ** 2 + process.sigma(t) ** 2 for t in (1.0, process.t_min))
        errors.append((end.item() - (scale_0 / scale_1).sqrt()).abs())
    ax.plot(widths, errors, ".-", label=name)

ax.set(xlabel="standard deviation of the data", ylabel="error", title="Ten steps on Gaussian data")
ax.legend()

# %%
# DDIM is exact where the standard deviation is 0. Euler along ``Angle(1)`` is exact where it is 1. So is Euler along
# VPSDE, which preserves the variance 1. Images are between these two cases: they lie close to a thin set, and they have
# a known standard deviation as a whole. For this reason ``best`` and ``recommended`` take ``Angle`` with the standard
# deviation of the data, and a solver of higher order.
#
# SDEs: strong and weak order
# ---------------------------
#
# With noise there are two errors. The **strong** error compares single paths that are driven by the same noise. The
# **weak** error compares laws, that is, distributions. Sampling needs only a small weak error. In the left panel all
# solvers use the same Brownian paths, :class:`~solvers.brownian.GridPath`. In the right panel the data are Gaussian.
# Then :func:`~scoresde.evaluation.affine_laws.affine` computes the law of a solver's result exactly, without samples.
# The error is the Wasserstein distance :math:`W_2` of the laws. The numbers in the legends are the measured orders.

fine = torch.linspace(-3, 2, 513, dtype=torch.float64)  # times of UnitNoise are levels lambda
equation = reverse(UnitNoise(), model, 1.0, Split.EPS)
path = GridPath(latents, fine, torch.Generator().manual_seed(1))
reference = solve(equation, latents, SRA1(), fine, noise=path).y
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))

counts = (16, 32, 64, 128)

for name, solver in {"Euler-Maruyama": EulerMaruyama(), "ExpEuler": ExpEuler(), "SRA1": SRA1()}.items():
    finals = [solve(equation, latents, solver, fine[:: 512 // n], noise=path).y for n in counts]
    strong = [(final - reference).norm(dim=1).median() for final in finals]
    left.loglog(counts, strong, "o-", label=f"{name}: {(strong[0] / strong[-1]).log2() / 3:.1f}")

gaussian = exact.Gaussian(torch.zeros(1), 0.25, process=process)
reverse_sde = reverse(LogSNR(), gaussian, 1.0, Split.X0)
levels = torch.linspace(-5, 3, 129, dtype=torch.float64)
mean = torch.zeros(1, dtype=torch.float64)
first, last = (0.25 + torch.exp(-2 * lam).reshape(1, 1) for lam in levels[[0, -1]])  # exact variances, alpha = 1

for name, solver in {"ExpEuler (DDPM)": ExpEuler(), "ExpAdamsPC(1)": ExpAdamsPC(1), "ExpAdams(2)": ExpAdams(2)}.items():
    weak = []
    for n in counts:
        run = partial(solve, reverse_sde, solver=solver, steps=levels[:: 128 // n])
        found = affine(lambda x, noise, run=run: run(x, noise=noise).y, 1).law(mean, first)
        weak.append(w2(found, (mean, last)))
    right.loglog(counts, weak, "o-", label=f"{name}: {torch.tensor(weak[-2] / weak[-1]).log2():.1f}")

left.set(ylabel="median distance of paths", title="strong error and order")
right.set(ylabel="W2 of the laws", title="weak error and order")
for ax in (left, right):
    ax.set_xlabel("steps")
    ax.set_xticks(counts, [str(n) for n in counts])
    ax.minorticks_off()
    ax.set_ylim(top=6 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper right")

# %%
# The reverse SDE has additive noise: :math:`g` does not depend on the state. So Euler-Maruyama has strong order 1 here,
# not 1/2. SRA1 has strong order 3/2. On the right, exponential Euler (the ancestral step of DDPM) has weak order 1. The
# two Adams solvers have weak order 2, with one call in a step.
#
# Adaptive steps
# --------------
#
# An adaptive solver computes two answers of different order in each step, and takes their difference as an estimate of
# the error. It shortens the step where the estimate is above a tolerance. In this package each sample has its own
# steps. A tolerance controls the error. It does not give the smallest number of calls:

print("tolerance   calls   error")
for tolerance in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
    method = catalogue.probability_flow(tolerance)
    solution = transport(model, latents, method, process, 1.0, process.t_min)
    print(f"{tolerance:9.0e}   {solution.evals.double().mean():5.1f}   {error(method):.1e}")

# %%
# Grids: where the calls go
# -------------------------
#
# A fixed grid needs a choice of levels. The left panel shows the error of a single DDIM step that starts on the exact
# path, for steps of equal length in :math:`\lambda`. The right panel shows the levels of ten steps on six grids. The
# number beside each grid is the error of one and the same solver on it.

method = Method(Angle(1.0), Split.FLOW, RK4(), grids.uniform_lambda, 40)
exact_path = transport(model, latents, method, process, 1.0, process.t_min, save=True)
states, alpha, sigma = exact_path.ys, process.alpha(exact_path.ts), process.sigma(exact_path.ts)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))

local = []
for k in range(len(states) - 1):
    answer = model(states[k], alpha[k], sigma[k])
    ddim_step = alpha[k + 1] * answer.x0 + sigma[k + 1] * answer.eps
    local.append((ddim_step - states[k + 1]).square().mean().sqrt())

left.semilogy(process.lam(exact_path.ts[1:]), local, "o-", markersize=3)
left.set(xlabel=r"level $\lambda$", ylabel="error", title="error of one DDIM step")

choices = {
    "uniform time": grids.uniform_time,
    "quadratic": grids.quadratic,
    "cosine": grids.cosine,
    r"uniform $\lambda$": grids.uniform_lambda,
    "Karras": grids.karras,
    "best(10)": catalogue.best(10).grid,
}
for row, grid in enumerate(choices.values()):
    found = error(Method(LogSNR(), Split.X0, ExpAdams(2), grid, 10))
    right.plot(grid(11, -5.0, 4.6), [row] * 11, "o")
    right.text(5.2, row, f"{found:.3f}", va="center")

right.set_yticks(range(len(choices)), list(choices))
right.set(xlabel=r"level $\lambda$", title="ten steps, and the error", ylim=(-0.7, 5.7))

# %%
# Steps in the middle make the largest errors, around :math:`\lambda = 0`, where the denoiser decides between the three
# Gaussians. The two best grids, ``best(10)`` and quadratic, have many levels there. At both ends the denoiser is nearly
# linear, and a long step makes a small error. But the last step must not begin too early: it begins at
# :math:`\lambda = 1.1` in uniform time, and at 1.8 in the cosine grid. With few calls the grid matters more than the
# order of the solver. The levels at which the denoiser decides depend on the data, so no grid is best for all data.
#
# How to pick
# -----------
#
# * **A given number of calls:** ``recommended(model, n)`` where mean and deviation of the data are known, as for a
#   trained run. Otherwise ``catalogue.best(n)``.
# * **A comparison with the literature:** the line of :doc:`the catalogue </catalogue>` with the name of the paper.
# * **Latents, likelihoods, a reference:** ``catalogue.probability_flow(1e-5)``. It is deterministic and invertible.
# * **Noise in the steps:** ``catalogue.ddpm(n)`` with a hundred calls or more, ``catalogue.sa_solver(n)`` with fewer.
# * **Accurate single paths for a given noise:** SRA1.
# * **The same model and budget many times:** a tuned sampler, :doc:`/tuning`.
#
# All errors above are for exact denoisers. A trained network is not a smooth function of the level. So from about 20
# calls on, the errors of the good solvers differ only by small factors.
#
# Try next
# --------
#
# * :doc:`/generated/gallery/reverse/work_precision`: error against calls for one problem.
# * :doc:`/write-your-own-solver`: a solver fits in a page, and the tests measure its order.
#
# References
# ----------
#
# * Hairer, Nørsett, Wanner 1993, *Solving ordinary differential equations I*, Springer.
# * Hochbruck, Ostermann 2010, *Exponential integrators*, Acta Numerica 19.
# * Rößler 2010, *Runge-Kutta methods for the strong approximation of solutions of stochastic differential equations*,
#   SIAM J. Numer. Anal. 48(3).
# * Jiaming Song, Meng, Ermon 2021, *Denoising diffusion implicit models*, arXiv:2010.02502.
# * Karras, Aittala, Aila, Laine 2022, arXiv:2206.00364.
# * Lu, Zhou, Bao, Chen, Li, Zhu 2022, *DPM-Solver++*, arXiv:2211.01095.
# * Zhang, Chen 2022, *Fast sampling of diffusion models with exponential integrator* (DEIS), arXiv:2204.13902.
# * Zhao, Bai, Rao, Zhou, Lu 2023, *UniPC*, arXiv:2302.04867.

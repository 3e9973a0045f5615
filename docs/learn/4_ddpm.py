r"""
4. DDPM as a discretised SDE, and the bound
===========================================

At the end of this page you can read the chain of Ho et al. (2020) in two ways: as an SDE in :math:`T` steps, and as a
variational autoencoder with :math:`T` layers of latents. You can compute its bound on :math:`\log p(x)` term by term.
You also know how far the bound is from :math:`\log p(x)` on data for which the exact value is known.

DDPM defines a Markov chain of :math:`T` steps that turns data into noise,

.. math:: q(x_i \mid x_{i-1}) = N\big(\sqrt{1 - \beta_i}\, x_{i-1},\ \beta_i I\big), \qquad i = 1, \dots, T.

The steps are composed into a kernel, with :math:`\bar\alpha_i = \prod_{j \le i} (1 - \beta_j)`:

.. math:: q(x_i \mid x_0) = N\big(\sqrt{\bar\alpha_i}\, x_0,\ (1 - \bar\alpha_i) I\big).

So the signal of :doc:`page 1 <1_forward>` is :math:`\alpha = \sqrt{\bar\alpha_i}`, and the noise is
:math:`\sigma = \sqrt{1 - \bar\alpha_i}`.
"""

# %%
# The limit of many steps
# -----------------------
#
# Choose :math:`\beta_i = \beta(i/T)/T` from a function :math:`\beta(t)`. For small :math:`\beta_i` the root is
# :math:`\sqrt{1 - \beta_i} \approx 1 - \beta_i/2`, so one step of the chain is
#
# .. math::
#
#     x_i - x_{i-1} \approx -\tfrac12 \beta(t)\, x_{i-1}\, \tfrac1T
#     + \sqrt{\beta(t)}\, \sqrt{\tfrac1T}\, \epsilon_i, \qquad \epsilon_i \sim N(0, I).
#
# This is a step of Euler-Maruyama of length :math:`1/T` for :math:`dx = -\frac12 \beta x\, dt + \sqrt\beta\, dw`, the
# variance-preserving SDE. The difference between the signal of the chain and that of the SDE falls like :math:`1/T`.

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, catalogue, ddpm, exact, grids, sample
from scoresde.evaluation.elbo import elbo

plt.style.use("tableau-colorblind10")

sde = VPSDE()
counts = (25, 100, 400, 1600, 6400)
gaps = []
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3))

for count in counts:
    t = torch.arange(1, count + 1, dtype=torch.float64) / count
    chain = ddpm.chain(sde.rate(t) / count)
    gaps.append((chain.alpha(t) - sde.alpha(t)).abs().max())
    if count < 400:
        left.plot(t, chain.alpha(t), ".", markersize=4, label=f"chain, T = {count}")

left.plot(t, sde.alpha(t), label="SDE")
left.set(xlabel="time t = i/T", ylabel=r"signal $\alpha$")
left.legend()
right.loglog(counts, gaps, "o-", label="largest difference of the signals")
right.loglog(counts, [1 / count for count in counts], "--", label="1/T")
right.set(xlabel="number of steps T")
right.legend()

# %%
# The package treats a chain as a process that agrees with the chain at :math:`t = i/T`. So every solver runs on it.
# ``ddpm.linear(1000)`` is the chain of Ho et al. In the other direction, ``ddpm.of(VPSDE(), T)`` makes a chain from an
# SDE: it has exactly the levels of the SDE.

print(ddpm.linear(1000), ddpm.linear(1000).betas[[0, -1]].tolist())
print(ddpm.of(sde, 50), "signal at the last level:", ddpm.of(sde, 50).alpha(1.0).item())

# %%
# The ancestral step
# ------------------
#
# If the clean sample :math:`x_0` is given, the step back from :math:`x_i` is known. By Bayes' rule it is Gaussian:
#
# .. math::
#
#     q(x_{i-1} \mid x_i, x_0) = N\big(c_0 x_0 + c_x x_i,\ \tilde\beta_i\big), \quad
#     c_0 = \frac{\sqrt{\bar\alpha_{i-1}}\, \beta_i}{1 - \bar\alpha_i}, \quad
#     c_x = \frac{\sqrt{1 - \beta_i}\, (1 - \bar\alpha_{i-1})}{1 - \bar\alpha_i}, \quad
#     \tilde\beta_i = \frac{1 - \bar\alpha_{i-1}}{1 - \bar\alpha_i}\, \beta_i .
#
# The sampler does not know :math:`x_0`, and takes the denoiser :math:`D(x_i)` instead. This is an approximation: the
# true step is a mixture of these Gaussians over all possible :math:`x_0`. The picture compares the true step and the
# approximation. The state :math:`x_i = -0.1` lies between the two peaks of the data. The steps become shorter from left
# to right.

means, weights = torch.tensor([[-1.5], [1.0]]), torch.tensor([0.4, 0.6])
model = exact.GaussianMixture(means, 0.04, weights, process=sde)
z = torch.linspace(-2.5, 2.5, 1000, dtype=torch.float64)
fig, axes = plt.subplots(1, 3, figsize=(8, 2.6))

state = torch.tensor([[-0.1]], dtype=torch.float64)

for ax, (count, i) in zip(axes, ((4, 2), (20, 6), (100, 26)), strict=True):
    chain = ddpm.of(sde, count)
    beta = chain.betas[i - 1]
    log_before = model.log_prob(z[:, None], chain.alpha((i - 1) / count), chain.sigma((i - 1) / count))
    log_true = log_before - (state[0] - (1 - beta).sqrt() * z) ** 2 / (2 * beta)  # Bayes, up to a constant
    ax.plot(z, log_true.softmax(0) / (z[1] - z[0]), label="true step")

    c_0, c_x, variance = ddpm.posterior(chain, i)
    mean = c_0 * model(state, chain.alpha(i / count), chain.sigma(i / count)).x0 + c_x * state
    ancestral = torch.distributions.Normal(mean[0], variance**0.5)
    ax.plot(z, ancestral.log_prob(z).exp(), "--", label="ancestral step")
    ax.set(xlabel="$x_{i-1}$", title=f"T = {count}, i = {i}")

axes[0].set_ylabel("density")
axes[0].legend()

# %%
# In a chain of four steps the true step has two peaks, and a Gaussian has only one. In a chain of a hundred steps
# the true step is nearly Gaussian, and the ancestral step has its mean and nearly its variance. So DDPM needs many
# steps, and with many steps Gaussians are good enough. A loop over such steps is the whole sampler:

chain = ddpm.of(sde, 100)
torch.manual_seed(0)
x = torch.randn(10_000, 1, dtype=torch.float64)

for i in range(chain.steps, 1, -1):
    c_0, c_x, variance = ddpm.posterior(chain, i)
    denoised = model(x, chain.alpha(i / chain.steps), chain.sigma(i / chain.steps)).x0
    x = c_0 * denoised + c_x * x + variance**0.5 * torch.randn_like(x)

x = model(x, chain.alpha(1 / chain.steps), chain.sigma(1 / chain.steps)).x0  # the last step adds no noise
packaged = sample(model, (10_000, 1), catalogue.ddpm(100, grid=grids.Trailing(chain)), seed=0)

fig, ax = plt.subplots(figsize=(6, 2.6))
ax.hist(x[:, 0], 80, range=(-2.5, 2.5), density=True, alpha=0.5, label="the loop")
ax.hist(packaged[:, 0], 80, range=(-2.5, 2.5), density=True, histtype="step", label="catalogue.ddpm(100)")
ax.plot(z, model.log_prob(z[:, None]).exp(), color="black", label="exact")
ax.set(xlabel="x", ylabel="density", title="Ancestral samples")
ax.legend()

# %%
# The two histograms agree up to chance. Their peaks are narrower than the exact ones, because the variance of each step
# is a little too small.
#
# The hierarchical variational autoencoder
# ----------------------------------------
#
# Read :math:`x_1, \dots, x_T` as latent variables. The forward chain is the **encoder**: it is fixed, nothing is
# learned. The ancestral steps :math:`p(x_{i-1} | x_i)` are the **decoder**. As for every variational autoencoder,
# Jensen's inequality gives a bound,
#
# .. math:: -\log p(x_0) \le E_q\Big[ -\log \frac{p(x_0, \dots, x_T)}{q(x_1, \dots, x_T \mid x_0)} \Big],
#
# and the Markov property splits it into a sum:
#
# .. math::
#
#     \underbrace{KL\big(q(x_T | x_0) \,\|\, N(0, I)\big)}_{L_T}
#     + \sum_{i=2}^{T} \underbrace{KL\big(q(x_{i-1} | x_i, x_0) \,\|\, p(x_{i-1} | x_i)\big)}_{L_{i-1}}
#     + \underbrace{\big(-\log p(x_0 | x_1)\big)}_{L_0} .
#
# All three kinds of terms have closed forms, because all these distributions are Gaussian:
#
# * :math:`L_T`: the **prior** term. It compares the last state with noise. It has no parameters.
# * :math:`L_{i-1}`: the **denoising** terms. Both Gaussians have the same variance, so only the means differ:
#   :math:`L_{i-1} = c_0^2\, |x_0 - D(x_i)|^2 / (2 \tilde\beta_i)`.
# * :math:`L_0`: the **reconstruction** term, :math:`-\log N(x_0; D(x_1), \beta_1)`.
#
# With the signal-to-noise ratio :math:`SNR(i) = \bar\alpha_i / (1 - \bar\alpha_i)` a short computation gives
#
# .. math:: L_{i-1} = \tfrac12 \big( SNR(i-1) - SNR(i) \big)\, |x_0 - D(x_i)|^2 .
#
# So the bound is a weighted denoising loss. Ho et al. write it with :math:`\epsilon` and leave out the weights: this is
# their "simple" loss.
#
# :func:`~scoresde.evaluation.elbo.elbo` computes all terms, each with one draw of :math:`x_i`. The table shows their
# means over 500 samples, in nats, with the exact denoiser. For this mixture the exact :math:`-\log p` is known.

x = model.sample(500, seed=1)
exact_nats = -model.log_prob(x).mean()
counts = (10, 30, 100, 300, 1000)
by_time = [elbo(model, ddpm.of(sde, count), x) for count in counts]

print("   T        L_T   sum of L_i     L_0    total")
for count, bound in zip(counts, by_time, strict=True):
    sizes = f"{bound.prior.mean():.1e}   {bound.steps.sum(0).mean():10.3f}  {bound.reconstruction.mean():6.3f}"
    print(f"{count:4}    {sizes}   {bound.total.mean():6.3f}")
print(f"exact -log p: {exact_nats:.3f}")

# %%
# The prior term is nearly zero, because the chain ends in noise. :math:`L_0` falls as :math:`T` grows, because the
# first level has less and less noise. From :math:`T = 30` on, the sum of the denoising terms rises. The total stays
# above the exact value.
#
# Why does an excess remain, with an exact denoiser and a thousand steps? It arises at the clean end. With levels that
# are uniform in time, the second level has at least twice the noise variance of the first, for every :math:`T`. So the
# first steps never become short. With levels uniform in :math:`\lambda` all steps become short, and the excess falls
# about like :math:`1/T`.


def uniform_chain(count):
    """The chain of levels that are uniform in lambda, from 4.6 to -5, the range of the SDE."""
    lam = torch.linspace(4.6, -5.0, count, dtype=torch.float64)
    abar = torch.cat([torch.ones(1, dtype=torch.float64), torch.sigmoid(2 * lam)])  # alpha^2 of each level
    return ddpm.chain(1 - abar[1:] / abar[:-1])


by_level = [elbo(model, uniform_chain(count), x) for count in counts]
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3))

for name, bounds in {"uniform in time": by_time, r"uniform in $\lambda$": by_level}.items():
    left.loglog(counts, [bound.total.mean() - exact_nats for bound in bounds], "o-", label=name)

for chain, bounds in ((ddpm.of(sde, 1000), by_time), (uniform_chain(1000), by_level)):
    lam = chain.lam(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    right.plot(lam[1:], bounds[-1].steps.mean(1) / -lam.diff(), ".-", markersize=3, linewidth=0.7)

left.set(xlabel="number of steps T", ylabel="bound - exact, in nats", title="Excess of the bound")
left.legend()
right.set(xlabel=r"level $\lambda$", title=r"$L_{i-1}$ per unit of $\lambda$, T = 1000", ylim=(0, 2))

# %%
# The right panel shows at which levels the nats arise. At high noise, :math:`\lambda < -3`, there are nearly none. The
# peak near :math:`\lambda = 0` belongs to the levels at which it is decided to which peak of the data a sample belongs.
# At low noise one unit of :math:`\lambda` costs one nat per dimension, in the limit of short steps. The levels that are
# uniform in time cost more at the right end.
#
# Finally, here is the bound for single values of :math:`x`, a mean over 100 draws, with levels uniform in
# :math:`\lambda`.

x = torch.linspace(-2.3, 1.8, 50, dtype=torch.float64)
fig, ax = plt.subplots(figsize=(6, 3))

for count in (30, 100, 300):
    nats = elbo(model, uniform_chain(count), x.repeat(100)[:, None]).total
    ax.plot(x, nats.reshape(100, 50).mean(0), label=f"bound, T = {count}")

ax.plot(x, -model.log_prob(x[:, None]), color="black", label=r"exact $-\log p(x)$")
ax.set(xlabel="x", ylabel="nats")
ax.legend()

# %%
# A network may also learn the variance of its steps, between :math:`\tilde\beta_i` and :math:`\beta_i`
# (:class:`~scoresde.denoisers.parameterisations.LearnedRange`). On Gaussian data the bound is then exact, up to
# :math:`L_T`, with any number of steps. The probability flow gives :math:`\log p` itself, without a bound:
# :func:`~scoresde.evaluation.likelihood.log_likelihood`.
#
# Try next
# --------
#
# * :doc:`/generated/gallery/reverse/ddpm_is_an_sde`: the law of the samples as T grows, on Gaussian data.
# * :doc:`/ddpm`: the samplers and the bound compared, also on a trained network.
#
# References
# ----------
#
# * Sohl-Dickstein, Weiss, Maheswaranathan, Ganguli 2015, *Deep unsupervised learning using nonequilibrium
#   thermodynamics*, arXiv:1503.03585.
# * Ho, Jain, Abbeel 2020, *Denoising diffusion probabilistic models*, arXiv:2006.11239.
# * Kingma, Salimans, Poole, Ho 2021, *Variational diffusion models*, arXiv:2107.00630.
# * Nichol, Dhariwal 2021, *Improved denoising diffusion probabilistic models*, arXiv:2102.09672.
# * Yang Song, Durkan, Murray, Ermon 2021, *Maximum likelihood training of score-based diffusion models*,
#   arXiv:2101.09258.

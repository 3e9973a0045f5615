r"""
2. Score and denoiser
=====================

At the end of this page you know three quantities that hold the same information: the score of the noisy data, the
denoiser, and the predicted noise. You can prove the identity that connects them, and you know why a network learns them
by regression.

The reverse process of :doc:`page 3 <3_reverse>` needs one unknown function, the **score** of the noisy data at every
time,

.. math:: s(z, t) = \nabla_z \log p_t(z),

where :math:`p_t` is the density of :math:`z = \alpha x + \sigma \epsilon` with :math:`x` from the data. It is a vector
field: at each point it says in which direction the density grows fastest.
"""

# %%
# The score is a vector field
# ---------------------------
#
# The data here are a mixture of three Gaussians in the plane. For a mixture everything is known in closed form:
# :class:`~scoresde.denoisers.mixture.GaussianMixture` has the density ``log_prob(z, alpha, sigma)`` and the score
# along any process.

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, X0, Denoiser, Eps, Score, V, data, exact
from scoresde.denoisers.noise_conditioning import NoiseConditioning
from scoresde.networks import MLP
from scoresde.training import Training, fit
from scoresde.training.losses import DSM

plt.style.use("tableau-colorblind10")

process = VPSDE()
means = torch.tensor([[-1.5, -1.0], [1.5, -1.0], [0.0, 1.5]])
plane = exact.GaussianMixture(means, 0.1, process=process)
score = plane.score(process)

side = torch.linspace(-3, 3, 15)
fine = torch.linspace(-3, 3, 120)
coarse_points = torch.cartesian_prod(side, side)
fine_points = torch.cartesian_prod(fine, fine)
fig, axes = plt.subplots(1, 3, figsize=(8, 3.3), sharey=True)

for ax, t in zip(axes, (0.05, 0.25, 0.6), strict=True):
    density = plane.log_prob(fine_points, process.alpha(t), process.sigma(t)).exp()
    ax.pcolormesh(fine, fine, density.reshape(120, 120).T.sqrt(), cmap="Blues")

    arrows = score(coarse_points, torch.tensor(t))
    arrows = arrows / (1 + arrows.norm(dim=1, keepdim=True))  # long arrows are shortened
    ax.quiver(*coarse_points.T, *arrows.T, color="#c85200")
    ax.set(title=f"t = {t}", xlabel="$z_1$", aspect="equal")

axes[0].set_ylabel("$z_2$")

# %%
# Blue shows the square root of the density, and the arrows show the score. Long arrows are shortened. With little noise
# each arrow points to a Gaussian near it. With much noise all arrows point to the centre.
#
# The denoiser
# ------------
#
# The **denoiser** is the best estimate of the clean sample: the mean of the clean samples, given :math:`z`,
#
# .. math:: D(z) = E[x \mid z].
#
# The **predicted noise** follows from it, :math:`E[\epsilon \mid z] = (z - \alpha D(z))/\sigma`. To draw the denoiser
# we take data that are numbers instead of points. Their density has two narrow peaks, at -1 and 1.

line = exact.GaussianMixture(torch.tensor([[-1.0], [1.0]]), 0.01, process=process)
z = torch.linspace(-3, 3, 400, dtype=torch.float64)[:, None]
fig, ax = plt.subplots(figsize=(6, 3))

for sigma in (0.1, 0.5, 1.0, 2.0):
    ax.plot(z, line(z, torch.tensor(1.0), torch.tensor(sigma)).x0, label=rf"$\sigma$ = {sigma:g}")

ax.set(xlabel="noisy number $z$, with $\\alpha$ = 1", ylabel="D(z)", title="The denoiser of two narrow peaks")
ax.legend()

# %%
# With little noise the denoiser moves z toward the nearer peak. With much noise the peak is uncertain, and the denoiser
# returns a weighted mean of both.
#
# The identity
# ------------
#
# .. math:: \boxed{\ \nabla \log p_t(z) = \frac{\alpha D(z) - z}{\sigma^2} = -\frac{E[\epsilon \mid z]}{\sigma}\ }
#
# So a network that removes noise knows the score. This is called Tweedie's formula. Here are two proofs and a numerical
# check.
#
# **Proof 1: differentiate under the integral.** The density of the noisy data is a mean over clean samples,
# :math:`p_t(z) = \int p(x)\, q(z \mid x)\, dx` with the kernel :math:`q(z \mid x) = N(z; \alpha x, \sigma^2 I)`. The
# gradient of the kernel is :math:`\nabla q = q \cdot (\alpha x - z)/\sigma^2`. Therefore
#
# .. math::
#
#     \nabla \log p_t(z) = \frac{\nabla p_t(z)}{p_t(z)}
#     = \int \frac{p(x)\, q(z \mid x)}{p_t(z)}\, \frac{\alpha x - z}{\sigma^2}\, dx
#     = E\Big[\frac{\alpha x - z}{\sigma^2} \,\Big|\, z\Big] = \frac{\alpha D(z) - z}{\sigma^2},
#
# because :math:`p(x) q(z|x)/p_t(z)` is the posterior :math:`p(x \mid z)`, by Bayes.
#
# **Proof 2: integrate by parts.** For a Gaussian :math:`\epsilon` and a smooth function :math:`h`, integration by parts
# gives Stein's identity :math:`E[\epsilon\, h(\epsilon)] = E[\nabla h(\epsilon)]`. Apply it to
# :math:`h(\alpha x + \sigma \epsilon)` with :math:`x` fixed, then take the mean over :math:`x`:
#
# .. math:: E[\epsilon\, h(z)] = \sigma\, E[\nabla h(z)].
#
# The left side is :math:`\int p_t\, E[\epsilon | z]\, h\, dz`. The right side, again by parts, is
# :math:`\sigma \int p_t \nabla h\, dz = -\sigma \int p_t\, \nabla \log p_t\; h\, dz`. Both agree for every :math:`h`.
# Therefore :math:`E[\epsilon | z] = -\sigma \nabla \log p_t(z)`.
#
# **Numerical check: compute both sides.** The left side is the gradient of ``log_prob`` by automatic differentiation.
# The right side needs the posterior mean. We compute it as a weighted sum over a fine grid of clean numbers, with the
# weights :math:`p(x)\, q(z \mid x)`. The denoiser of the package is not used.

alpha, sigma = process.alpha(0.2), process.sigma(0.2)
leaf = z.clone().requires_grad_()
left = torch.autograd.grad(line.log_prob(leaf, alpha, sigma).sum(), leaf)[0]

x = torch.linspace(-2, 2, 2001, dtype=torch.float64)
log_weights = line.log_prob(x[:, None]) - 0.5 * ((z - alpha * x) / sigma) ** 2
posterior = log_weights.softmax(dim=1)  # one row for each z
right = (alpha * posterior @ x[:, None] - z) / sigma**2
print(f"largest difference: {(left - right).abs().max():.1e}")

fig, ax = plt.subplots(figsize=(6, 2.8))
ax.plot(z, left.detach(), label=r"$\nabla \log p_t$, by automatic differentiation")
ax.plot(z[::12], right[::12], "o", markersize=4, label=r"$(\alpha D - z)/\sigma^2$, D by a sum")
ax.set(xlabel="z", ylabel="score", title=f"t = 0.2: $\\alpha$ = {alpha:.2f}, $\\sigma$ = {sigma:.2f}")
ax.legend()

# %%
# The denoising loss has the score as its minimiser
# -------------------------------------------------
#
# We cannot train on the score itself, because it is unknown. We can train on noise that we added ourselves:
#
# .. math:: L(h) = E\, \| h(z, t) - \epsilon \|^2, \qquad z = \alpha x + \sigma \epsilon.
#
# Among all functions of :math:`z`, the conditional mean of a random target has the smallest mean squared error to it.
# The proof: split :math:`\epsilon` into :math:`E[\epsilon|z]` and a remainder. The remainder is uncorrelated with every
# function of :math:`z`, so the loss is a sum of two terms:
#
# .. math:: L(h) = E\, \| h(z, t) - E[\epsilon \mid z] \|^2 + \text{a constant}.
#
# So the minimiser is :math:`E[\epsilon | z] = -\sigma s`. The constant is the mean variance of the noise given
# :math:`z`. It does not vanish: **a training loss above zero does not mean that the network is bad.** The picture shows
# pairs :math:`(z, \epsilon)` in grey, the mean of :math:`\epsilon` in narrow bins as blue dots, and the exact
# :math:`-\sigma s` as an orange line.

torch.manual_seed(0)
x = line.sample(40_000)
eps = torch.randn_like(x)
noisy = process.perturb(x, 0.2, eps)

bins = torch.linspace(-2, 2, 41, dtype=torch.float64)
which = torch.bucketize(noisy[:, 0].contiguous(), bins)
bin_means = torch.stack([eps[which == k].mean() for k in range(1, 41)])
rest = (eps - line(noisy, alpha, sigma).eps).square().mean()
print(f"least possible loss at t = 0.2: {rest:.3f}")

fig, ax = plt.subplots(figsize=(6, 3))
ax.plot(noisy[:4000], eps[:4000], ".", markersize=1, color="0.7", label=r"pairs $(z, \epsilon)$")
ax.plot((bins[1:] + bins[:-1]) / 2, bin_means, "o", markersize=4, label="mean of each bin")
ax.plot(z, line(z, alpha, sigma).eps, label=r"$-\sigma s(z)$, exact")
ax.set(xlabel="z", ylabel=r"noise $\epsilon$", xlim=(-2.2, 2.2))
ax.legend(loc="upper left", markerscale=2)

# %%
# A network learns this function at all times together. Here :func:`~scoresde.training.fit.fit` trains a small
# multilayer perceptron for some seconds. It draws a time and a noise for each sample. The network never sees the exact
# score. The loss is :class:`~scoresde.training.losses.DSM`, denoising score matching: the :math:`L` from above.

torch.manual_seed(0)
network = Denoiser(MLP(1, width=64, fourier=16), process, Eps(), time=NoiseConditioning(process))
samples = data.Dataset(line.sample(10_000).float(), name="two peaks")
losses = [progress.loss for progress in fit(network, samples, Training(steps=600, batch=256, lr=5e-3))]

t = process.t_min + (process.t_max - process.t_min) * torch.rand(len(x), dtype=x.dtype)
least = DSM()(line, x, t, eps).mean()
print(f"loss of the network: {sum(losses[-100:]) / 100:.3f}, of the exact score: {least:.3f}")

fig, axes = plt.subplots(1, 3, figsize=(8, 2.6))

with torch.no_grad():
    for ax, at in zip(axes, (0.05, 0.2, 0.6), strict=True):
        alpha, sigma = process.alpha(at), process.sigma(at)
        ax.plot(z, line(z, alpha, sigma).eps, label="exact")
        ax.plot(z, network(z.float(), alpha, sigma).eps, "--", label="network")
        ax.set(xlabel="z", title=f"t = {at}", xlim=(-2, 2))

axes[0].set_ylabel("predicted noise")
axes[0].legend()

# %%
# The two losses are close. The network differs most from the exact answer between the peaks at t = 0.05, where there
# are hardly any samples.
#
# Four outputs of a network
# -------------------------
#
# A network may be trained to output any of four quantities. With :math:`\alpha^2 + \sigma^2 = 1` they are
#
# ========================  ===============================================  ====================================
# the network predicts      its target                                       the denoiser that follows
# ========================  ===============================================  ====================================
# eps                       :math:`\epsilon`                                 :math:`D = (z - \sigma F)/\alpha`
# x0                        :math:`x`                                        :math:`D = F`
# v                         :math:`v = \alpha \epsilon - \sigma x`           :math:`D = \alpha z - \sigma F`
# score                     :math:`-\epsilon/\sigma`                         :math:`D = (z + \sigma^2 F)/\alpha`
# ========================  ===============================================  ====================================
#
# where :math:`F` is the output of the network. Given :math:`z`, each target is a linear function of every other. So all
# four losses are minimised by the same denoiser. They differ by a weight that depends on the time alone. The answer of
# a denoiser, :class:`~scoresde.denoisers.prediction.Prediction`, can be read as each of the four:

answer = line(z[:1], process.alpha(0.2), process.sigma(0.2))
print(
    f"x0 {answer.x0.item():.3f}, eps {answer.eps.item():.3f}, v {answer.v.item():.3f}, score {answer.score.item():.3f}"
)

# %%
# The four outputs differ in the effect of an error :math:`e` of the network's output. The picture shows by which factor
# :math:`e` is multiplied in the denoiser, and in the predicted noise. The factors come from the classes themselves.

lam = torch.linspace(-4, 4, 100, dtype=torch.float64)
alpha, sigma = process.alpha(process.time(lam)), process.sigma(process.time(lam))
fig, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)

for name, table in {"eps": Eps(), "x0": X0(), "v": V(), "score": Score()}.items():
    _, to_x0 = table.to_x0(alpha, sigma)  # x0 = (first) z + (second) F
    _, to_eps = table.to_eps(alpha, sigma)
    axes[0].semilogy(lam, abs(to_x0) * torch.ones(100), label=name)
    axes[1].semilogy(lam, abs(to_eps) * torch.ones(100))

axes[0].set(xlabel=r"level $\lambda$", ylabel="factor of e", title="error of the denoiser")
axes[1].set(xlabel=r"level $\lambda$", title="error of the predicted noise")
axes[0].legend()

# %%
# A network that predicts eps says little about :math:`x` at high noise (left side of the left panel), because its error
# is multiplied by :math:`\sigma/\alpha`. A network that predicts x0 says little about :math:`\epsilon` at low noise
# (right side of the right panel). With v no factor is above 1.
#
# Try next
# --------
#
# * :doc:`3_reverse`: how samples are made from the score.
# * :doc:`/generated/gallery/learnt/loss_by_noise`: how the loss depends on the noise level.
#
# References
# ----------
#
# * Hyvärinen 2005, *Estimation of non-normalized statistical models by score matching*, JMLR 6.
# * Vincent 2011, *A connection between score matching and denoising autoencoders*, Neural Computation 23(7).
# * Efron 2011, *Tweedie's formula and selection bias*, JASA 106.
# * Yang Song, Ermon 2019, *Generative modeling by estimating gradients of the data distribution*, arXiv:1907.05600.
# * Ho, Jain, Abbeel 2020, *Denoising diffusion probabilistic models*, arXiv:2006.11239.
# * Salimans, Ho 2022, *Progressive distillation for fast sampling of diffusion models*, arXiv:2202.00512.

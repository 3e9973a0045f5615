r"""
The posterior given the datum
=============================

If the datum :math:`x^*` is known, the step from :math:`z_t` back to :math:`z_{t-1}` has a closed form. By Bayes' rule
:math:`q(z_{t-1} \mid z_t, x^*) \propto q(z_t \mid z_{t-1})\, q(z_{t-1} \mid x^*)`. This is a product of two Gaussians
in :math:`z_{t-1}`, and so a Gaussian:

.. math:: q(z_{t-1} \mid z_t, x^*) = \mathcal{N}(c_0\, x^* + c_z\, z_t,\; v).

:func:`~scoresde.processes.ddpm.posterior` returns :math:`c_0`, :math:`c_z` and v. The gray area is the posterior. It
lies between the two factors, nearer to the narrower one, and is narrower than both. The dots are the product of the two
factors, normalised by a sum over points.
"""

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

from scoresde import VPSDE, ddpm

STEPS = 20
LEVEL = 6  # t, counted in steps
DATUM, STATE = 1.5, -0.4  # x* and z_t

chain = ddpm.of(VPSDE(), STEPS)
before = (LEVEL - 1) / STEPS
beta = chain.betas[LEVEL - 1]
z = torch.linspace(-2.5, 3.5, 601, dtype=torch.float64)

prior = Normal(chain.alpha(before) * DATUM, chain.sigma(before)).log_prob(z).exp()
likelihood = Normal(STATE / (1 - beta).sqrt(), (beta / (1 - beta)).sqrt()).log_prob(z).exp()
product = prior * likelihood / (prior * likelihood).sum() / (z[1] - z[0])

c_datum, c_state, variance = ddpm.posterior(chain, LEVEL)
posterior = Normal(c_datum * DATUM + c_state * STATE, variance**0.5).log_prob(z).exp()

fig, ax = plt.subplots(figsize=(7, 3.6))
ax.plot(z, prior, color="tab:blue", ls="--", label=r"$q(z_{t-1}\,|\,x^*)$")
ax.plot(z, likelihood, color="tab:orange", ls="-.", label=r"$q(z_t\,|\,z_{t-1})$, normalised in $z_{t-1}$")
ax.fill_between(z, posterior, color="0.75", lw=0, label=r"$q(z_{t-1}\,|\,z_t, x^*)$, closed form")
ax.plot(z[::12], product[::12], "k.", label="product of the two")
ax.set(xlabel="state $z_{t-1}$", ylabel="density", ylim=(0, None))
ax.set_title(f"level {LEVEL} of {STEPS}, $x^* = {DATUM:g}$, $z_t = {STATE:g}$")
legend = ax.legend(loc="upper right")

r"""
Log-likelihood with its error bar
=================================

Along the probability flow :math:`dz = F\, dt` the log-density changes by
:math:`d \log p_t(z_t) = -\operatorname{tr}(\partial F / \partial z)\, dt`. So a denoiser gives the density of any
point. The trace is computed exactly, or estimated by random probes :math:`v` as :math:`v^T (\partial F/\partial z) v`.

The model is an exact mixture in ten dimensions, so the true log-density is known. The estimates with four probes
scatter around it. The bars are two standard errors, which are themselves rough estimates from four probes. With the
exact trace the estimate agrees with the truth, up to the error of the solver.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, exact
from scoresde.evaluation.likelihood import log_likelihood

DIMENSIONS, POINTS = 10, 40

process = VPSDE()
torch.manual_seed(0)
means = torch.randn(6, DIMENSIONS, dtype=torch.float64)
stds = torch.linspace(0.1, 1.0, 6, dtype=torch.float64)
model = exact.GaussianMixture(means, stds**2, process=process)

# %%
# The points are data with the noise of :math:`t = 10^{-3}`, the smallest time of the process, at which the flow ends.
alpha, sigma = process.alpha(process.t_min), process.sigma(process.t_min)
x = alpha * model.sample(POINTS, seed=0) + sigma * torch.randn(POINTS, DIMENSIONS, dtype=torch.float64)
true = model.log_prob(x, alpha, sigma)

by_trace = log_likelihood(model, x)
by_probes = log_likelihood(model, x, probes=4, seed=0)

fig, ax = plt.subplots(figsize=(6, 3.4))
ax.axhline(0, color="0.6", linewidth=0.8)
ax.errorbar(true, by_probes.log_prob - true, 2 * by_probes.standard_error, fmt="o", color="C0", label="four probes")
ax.plot(true, by_trace.log_prob - true, "s", color="C1", markersize=4, label="exact trace")
ax.set(xlabel="true log-density (nats)", ylabel="estimate minus truth (nats)")
_ = ax.legend()

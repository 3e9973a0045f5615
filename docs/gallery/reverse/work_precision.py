r"""
Error against model calls
=========================

Five samplers of the :mod:`catalogue <scoresde.samplers.catalogue>` draw from a mixture of eight Gaussians whose
denoiser is known exactly. All of them integrate the same probability-flow ODE from the same noise. Their error is the
root mean square distance of the samples from those of an adaptive solver with a tolerance of 1e-7.

With many calls, a method of order p has a line of slope -p. ``ddim`` has order 1, and the other four have an order of 2
or more. ``edm_heun`` makes two calls in a step, so it has half as many steps for the same calls. With few calls it is
the worst of the five.
"""

import matplotlib.pyplot as plt

from scoresde import VPSDE, catalogue, exact, sample
from scoresde.data.toys import ring

COUNT = 500  # samples

data = exact.GaussianMixture(ring().means, 0.1**2, process=VPSDE())
truth = sample(data, (COUNT, 2), catalogue.probability_flow(1e-7), seed=0)

samplers = {
    "ddim": (catalogue.ddim, "o-"),
    "edm_heun": (catalogue.edm_heun, "s--"),
    "dpm_solver_pp_2m": (catalogue.dpm_solver_pp_2m, "^-."),
    "unipc": (catalogue.unipc, "D:"),
    "best": (catalogue.best, "v-"),
}

fig, ax = plt.subplots(figsize=(6.5, 4.2))
for name, (make, style) in samplers.items():
    methods = [make(n) for n in (3, 5, 8, 12, 20, 35, 60)]
    errors = [(sample(data, (COUNT, 2), method, seed=0) - truth).square().mean().sqrt() for method in methods]
    ax.loglog([method.calls for method in methods], errors, style, ms=5, label=name)

ax.set_xticks([3, 5, 10, 20, 50, 100], [3, 5, 10, 20, 50, 100])
ax.set(xlabel="model calls for a sample", ylabel="root mean square distance to the converged flow")
ax.minorticks_off()
legend = ax.legend()

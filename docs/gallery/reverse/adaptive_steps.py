r"""
Where an adaptive solver takes its steps
========================================

:class:`~solvers.runge_kutta.DormandPrince54` integrates the probability flow of a mixture from five starting points.
In each step it compares two answers of different order. It chooses the length of the step so that their difference
stays within a tolerance of 1e-5. Each sample has steps of its own.

The upper panel shows the paths, with a marker at the end of each accepted step. The lower panel shows the lengths of
the steps. The first step is short, because the solver knows nothing about the equation yet. Then the steps are long,
while the paths are nearly straight. The third path (green) and the fourth path (red) turn to a peak at about t = 0.15.
They need steps of less than 0.05 there. The last step is shortened to end at the end of the range.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, exact
from solvers import Adaptive, DormandPrince54, iterate

sde = VPSDE()
data = exact.GaussianMixture(torch.tensor([[-1.5], [1.0]]), 0.2**2, torch.tensor([0.3, 0.7]))
start = torch.tensor([[1.8], [0.9], [-0.35], [-0.6], [-1.6]], dtype=torch.float64)
control = Adaptive(1.0, sde.t_min, rtol=1e-5, atol=1e-5)

times, states = [torch.ones(len(start))], [start]
for t, z in iterate(sde.probability_flow(data), start, DormandPrince54(), control):
    times.append(t)
    states.append(z)

t, z = torch.stack(times, 1), torch.cat(states, 1)

fig, (above, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True)
for k, style in enumerate(("o-", "s-", "^-", "v-", "D-")):
    moved = t[k].diff() < 0  # the others are rejected steps, and those of samples that have ended
    ends = t[k, 1:][moved]
    above.plot([1, *ends], [z[k, 0], *z[k, 1:][moved]], style, ms=4, lw=1)
    below.semilogy(ends, -t[k].diff()[moved], style, ms=4, lw=1)

above.set(ylabel="state z", xlim=(1, 0))
below.set(xlabel="time t (noise on the left)", ylabel="length of the step that ends at t")
below.set_yticks([0.02, 0.05, 0.1, 0.2], [0.02, 0.05, 0.1, 0.2])
below.minorticks_off()

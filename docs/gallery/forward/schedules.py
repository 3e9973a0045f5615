r"""
Schedules: signal and noise rates
=================================

A schedule says how fast the signal rate :math:`\alpha(t)` falls and the noise rate :math:`\sigma(t)` rises. All four
here preserve the variance: :math:`\alpha^2 + \sigma^2 = 1`.

* Linear: :class:`~scoresde.processes.forward.VPSDE`, whose :math:`\beta(t)` is linear in t. The dots are the discrete
  chain of :func:`~scoresde.processes.ddpm.linear`.
* Cosine: :math:`\alpha = \cos(\pi t/2)`. Its signal falls later than that of the linear one.
* Cosine with the offset 0.008: :class:`~scoresde.processes.forward.CosineVP`. In the first two panels its lines lie
  on those of the cosine. The log signal-to-noise ratio on the right shows that it adds more noise at small t.
* Cosine between the signal rates 0.95 and 0.02, also called offset cosine. It begins with the noise rate
  0.31, and ends with the signal rate 0.02.
"""

import math

import matplotlib.pyplot as plt
import torch

from scoresde import VPSDE, CosineVP, CustomProcess, ddpm

FIRST, LAST = math.acos(0.95), math.acos(0.02)  # angles of the two signal rates

schedules = {
    "linear": VPSDE(),
    "cosine": CosineVP(s=0),
    "cosine, offset 0.008": CosineVP(),
    "cosine, 0.95 to 0.02": CustomProcess(
        lambda t: torch.cos(FIRST + t * (LAST - FIRST)), lambda t: torch.sin(FIRST + t * (LAST - FIRST)), 1.0, 0.0
    ),
}
colors = ["black", "tab:blue", "tab:orange", "tab:purple"]
t = torch.linspace(0.001, 0.994, 500)
chain = ddpm.linear(1000)
levels = torch.arange(1, 1001, 90) / 1000

fig, (signal, noise, ratio) = plt.subplots(1, 3, figsize=(8.5, 3.4))
for (name, process), color, dashes in zip(schedules.items(), colors, ["-", "-", "--", "-."], strict=True):
    signal.plot(t, process.alpha(t), color=color, ls=dashes, label=name)
    noise.plot(t, process.sigma(t), color=color, ls=dashes)
    ratio.semilogx(t, 2 * process.lam(t), color=color, ls=dashes)

signal.plot(levels, chain.alpha(levels), "ko", ms=3, label="linear chain of 1000")
noise.plot(levels, chain.sigma(levels), "ko", ms=3)

signal.set(xlabel="time t", title=r"signal rate $\alpha(t)$")
noise.set(xlabel="time t", title=r"noise rate $\sigma(t)$")
ratio.set(xlabel="time t (log)", title=r"$\log\,\alpha^2/\sigma^2$")
legend = fig.legend(*signal.get_legend_handles_labels(), loc="outside lower center", ncols=3)

r"""
The processes as paths of signal and noise
==========================================

A process :math:`z_t = \alpha(t)\, x + \sigma(t)\, \epsilon` is a path in the plane of signal :math:`\alpha` and noise
:math:`\sigma`. The picture shows the processes of ``scoresde``. The markers divide the range of t into ten equal
parts.

Along a dotted line the ratio :math:`\sigma/\alpha` is constant. Two states on the same dotted line differ only by a
factor. So a model that was trained along one path can be sampled along any other.

* ``VPSDE`` and ``CosineVP`` preserve the variance. Both run along the quarter circle, and reach its points at
  different times.
* ``RectifiedFlow`` is a straight line, and ``SubVPSDE`` a parabola.
* Paths with :math:`\alpha = 1` only add noise. ``EDM``, ``Variance`` and ``LogSNR`` have the same path as ``VESDE``,
  and reach its points at different times. The path goes on above the picture.
* ``Angle`` is an ellipse. Its height is the standard deviation of the data, here 0.5. ``UnitNoise`` has the noise 1
  throughout, and its signal grows.
"""

import matplotlib.pyplot as plt
import torch

from scoresde import VESDE, VPSDE, Angle, CosineVP, RectifiedFlow, SubVPSDE, UnitNoise

paths = {
    "VPSDE": (VPSDE(), "tab:blue", "o-"),
    "CosineVP": (CosineVP(), "tab:orange", "s:"),
    "SubVPSDE": (SubVPSDE(), "tab:purple", "o-"),
    "RectifiedFlow": (RectifiedFlow(), "black", "o-"),
    "Angle": (Angle(), "tab:green", "o--"),
    "VESDE, EDM, LogSNR": (VESDE(), "tab:red", "o-."),
    "UnitNoise": (UnitNoise(), "0.5", "o--"),
}

fig, ax = plt.subplots(figsize=(8, 3.9))
for ratio in (0.1, 0.25, 0.5, 1.0, 2.0, 4.0):
    ax.axline((0, 0), slope=ratio, color="0.8", ls=":", lw=1, zorder=0)

for name, (process, color, style) in paths.items():
    t = torch.linspace(process.t_min, process.t_max, 1001, dtype=torch.float64)
    line = ax.plot(process.alpha(t), process.sigma(t), style, color=color, ms=4, markevery=100, label=name)

ax.set(xlim=(0, 1.6), ylim=(0, 1.25), aspect="equal", xlabel=r"signal $\alpha(t)$", ylabel=r"noise $\sigma(t)$")
legend = ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

"""The range of noise levels that a model was trained on, and the levels of a method over it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from ..denoisers.denoiser import BaseDenoiser
from ..processes.base import Process
from .grids import AbsoluteGrid, Tolerance
from .method import Method

Ends = tuple[float, float]
NEARLY_NOISE = -5.0  # lam close to pure noise, sigma/alpha = 148, where VPSDE and chains of 1000 steps begin


def home(denoiser: BaseDenoiser, method: Method) -> Ends:
    """lam at the two ends of the range of the denoiser's training process. If the denoiser has none, the range is that
    of the method's process.

    If the range begins at pure noise and the method cannot start there (a grid uniform in lam cannot), it begins at
    `NEARLY_NOISE` instead.

    Args:
        denoiser: the model, a `BaseDenoiser`.
        method: a `Method`, such as catalogue.unipc(10).
    """
    process = method.process if denoiser.process is None else denoiser.process
    first, last = (float(process.lam(t)) for t in (process.t_noise, process.t_data))
    return NEARLY_NOISE if first == -math.inf and not reaches_noise(method) else first, last


def reaches_noise(method: Method) -> bool:
    """Whether a method can start at lam = -inf: the times of its process and of its grid must be finite there."""
    noise = torch.tensor(-math.inf, dtype=torch.float64, device="cpu")
    if not bool(method.process.time(noise).isfinite()):
        return False
    if method.frame is not None or isinstance(method.grid, Tolerance):
        return True
    return bool(method.grid.clock(noise).isfinite())


def method_levels(denoiser: BaseDenoiser, method: Method, extra: int = 0) -> Tensor:
    """lam of the method's levels. A grid with absolute levels gives its own levels.

    Any other grid covers the range of `home`; if the method has a frame, the frame sets the first level.

    Args:
        denoiser: the model; its training process gives the range.
        method: its grid, n and frame.
        extra: number of levels in addition to the n of the method.
    """
    if method.n is not None and isinstance(method.grid, AbsoluteGrid):
        return method.grid.fixed_levels(method.n + extra)
    return between(method, home(denoiser, method), extra)


def between(method: Method, ends: Ends, extra: int = 0) -> Tensor:
    """lam of the method's levels between two ends. If the method has a frame, no level is noisier than its start.

    Args:
        method: its grid, n and frame.
        ends: lam of the first and the last level.
        extra: number of levels in addition to the n of the method.
    """
    first, last = ends if method.frame is None else (method.frame.begin(lam) for lam in ends)
    if method.n is None or isinstance(method.grid, Tolerance):
        return torch.tensor([first, last], dtype=torch.float64, device="cpu")
    return method.grid(method.n + extra, first, last)


def radius(process: Process, t: Any) -> Tensor:
    """sqrt(alpha^2 + sigma^2): the scale of states. Two processes' states at equal lam differ by the ratio of their
    radii.

    Args:
        process: the process.
        t: times of the process, a number, 0-d or (B,).
    """
    return (process.alpha(t) ** 2 + process.sigma(t) ** 2).sqrt()


def warn_outside_training_range(process: Process | None, lams: Tensor) -> None:
    """Warn if levels lie outside the range of the process that a denoiser was trained on.

    Args:
        process: the training process of the denoiser; None: it is not known, so there is no warning.
        lams: levels, 1-D.
    """
    if process is None:
        return

    noisy, clean = (float(process.lam(t)) for t in (process.t_noise, process.t_data))
    low, high = (float(end) for end in lams.aminmax())
    if low < noisy - 1e-6 * (1 + abs(noisy)) or high > clean + 1e-6 * (1 + abs(clean)):
        warnings.warn(
            f"levels from lam = {low:.4g} to {high:.4g} leave [{noisy:.4g}, {clean:.4g}], where the denoiser was"
            f" trained along {process!r}:"
            " there it extrapolates; choose a grid inside the range",
            stacklevel=2,
        )

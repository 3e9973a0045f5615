"""Training losses, one number per sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .denoiser import BaseDenoiser
from .process import Process
from .times import as_time, like


def denoising_score_matching(denoiser: BaseDenoiser, process: Process, x0: Tensor, t: Tensor, eps: Tensor, cond: Any = None) -> Tensor:
    """|| sigma s(x, t) + eps ||^2 = || eps - eps_hat ||^2 summed over each sample, x = alpha x0 + sigma eps; (B,).

    sigma^2-weighted denoising score matching, whose minimiser is the score: Vincent 2011, Neural Computation 23(7); the
    L_simple of Ho et al. 2020, arXiv:2006.11239. x0, eps (B, ...), t (B,)."""
    alpha, sigma = process.alpha(as_time(t)), process.sigma(as_time(t))
    x = x0 * like(alpha, x0) + eps * like(sigma, x0)
    error = denoiser(x, alpha, sigma, cond).eps - eps
    return error.reshape(len(error), -1).square().sum(1)


def stratified_times(u: Tensor, process: Process) -> Tensor:
    """Training times, uniform over the process' range with one in each of B equal cells; u (B,) uniform in (0, 1).

    Lowers the variance of the loss over a batch: Kingma et al. 2021, arXiv:2107.00630, section I.1."""
    cells = (torch.arange(len(u), dtype=u.dtype, device=u.device) + u) / len(u)
    return process.t_min + (process.t_max - process.t_min) * cells

"""Sliced score matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from solvers import check
from solvers.noise import PROBE
from solvers.philox import philox

from ..denoisers.denoiser import BaseDenoiser
from ..processes.coefficients import as_time, like
from .losses import Loss
from .noised import noised, process_of


@dataclass(frozen=True)
class Sliced(Loss):
    """||eps_hat||^2 - 2 sigma v^T grad(v^T eps_hat) + d: sliced score matching, which never looks at eps beyond x.

    It is 2 sigma^2 (v^T grad(v^T s) + ||s||^2/2) + d with v = +-1 per element, averaged over `probes` draws: by
    Stein's identity equal in mean to DSM, value and gradient. One backward pass a probe. The probes are Philox words
    whose counter is read off the bits of eps: a function of whatever eps is a function of. Song, Garg, Shi & Ermon
    2019, arXiv:1905.07088."""

    probes: int = 1

    def __post_init__(self) -> None:
        check.integer("probes", self.probes)

    def __call__(
        self,
        denoiser: BaseDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        cond: Any = None,
    ) -> Tensor:
        x, alpha, sigma = noised(process_of(denoiser), x0, as_time(t), eps)

        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            x = x.detach().requires_grad_()
            eps_hat = denoiser(x, alpha, sigma, cond).eps
            loss = eps_hat.reshape(len(x), -1).square().sum(1) + x[0].numel()

            for v in signs(eps, self.probes):
                (slope,) = torch.autograd.grad((v * eps_hat).sum(), x, create_graph=True)
                loss = loss - (2 / self.probes) * like(sigma, loss) * (v * slope).reshape(len(x), -1).sum(1)

        return loss


def signs(eps: Tensor, count: int) -> Tensor:
    """Rademacher probes, Philox words whose counter is the bits of each sample's first two normals.

    No generator is used, because the loss must be a function of its arguments alone: it gives the same probes to a
    sample in every batch, chunk and process, and on every device, and leaves the random state untouched. The normals
    of a sample serve as its counter, since the loss is not told which sample of which step it gets. The probes are
    independent of the normals up to the quality of Philox.

    Args:
        eps: normals, (B, ...).
        count: number of probes; they are (count, B, ...).
    """

    first = eps.detach().reshape(len(eps), -1)[:, :2].to(torch.float64)
    bits = first.contiguous().view(torch.int64)
    block = torch.arange(-(-eps[0].numel() // 4), device=eps.device)
    draw = torch.arange(count, device=eps.device).reshape(-1, 1, 1)
    shape = (count, len(eps), len(block))
    low, high = ((bits[:, i] >> 20 & 0xFFFFFFFF).reshape(-1, 1) for i in (0, -1))
    words = torch.stack(
        philox(
            [low.expand(shape), high.expand(shape), (draw + (PROBE << 28)).expand(shape), block.expand(shape)], (0, 0)
        ),
        dim=-1,
    )

    return (2 * (words.flatten(2)[..., : eps[0].numel()] & 1) - 1).to(eps.dtype).reshape(count, *eps.shape)

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
    """||eps_hat||^2 - 2 sigma v^T grad(v^T eps_hat) + d: sliced score matching, which needs no eps but that in x.

    It is 2 sigma^2 (v^T grad(v^T s) + ||s||^2/2) + d with v = +-1 per element, averaged over `probes` draws of v. By
    Stein's identity its mean and the mean of its gradient equal those of DSM. Each probe costs one backward pass. The
    probes are computed from the bits of eps (`signs`), so that they are repeated whenever eps is. Song, Garg, Shi &
    Ermon 2019, arXiv:1905.07088."""

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
    """Rademacher probes (+1 or -1 per element), (count, B, ...), from the counter-based generator Philox. The counter
    is made of the bits of the first two normals of each sample.

    The loss must be a function of its arguments alone, so it uses no generator with a state. A sample gets the same
    probes in every batch, part and process and on every device, and torch's random state does not change. The normals
    serve as counter because the loss does not know which sample of which step it gets. The probes are independent of
    the normals up to the quality of Philox.

    Args:
        eps: standard normals, (B, ...).
        count: number of probes, 1 or more.
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

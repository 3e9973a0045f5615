"""One score in four parameterisations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoresde import X0, Eps, Process, Score, V
from tests.helpers.problems import F64

_weight = torch.randn(3, 3, dtype=F64, generator=torch.Generator().manual_seed(0))


def noise_of(x: Tensor, t: Tensor) -> Tensor:
    """Some nonlinear answer eps(x, t), no steeper in t than t is known: clocks run up to 6400."""
    return torch.tanh(x @ _weight.to(x.dtype)) + 0.3 * torch.sin(torch.log1p(t.abs())).reshape(-1, 1) * x


class Net(nn.Module):
    """A network in one of four parameterisations of `noise_of`, in the frame of its process."""

    def __init__(self, process: Process, kind: type):
        super().__init__()
        self.process, self.kind = process, kind

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (c(t).reshape(-1, 1) for c in (self.process.alpha, self.process.sigma))
        eps = noise_of(x, t)
        x0 = (x - sigma * eps) / alpha
        return {Eps: eps, X0: x0, V: (alpha * eps - sigma * x0) / torch.hypot(alpha, sigma), Score: -eps / sigma}[
            self.kind
        ]

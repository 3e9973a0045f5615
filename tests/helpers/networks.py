"""Networks as after training, and numbers to feed them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def awake(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights that are not zero anywhere."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    return network.eval().requires_grad_(False)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

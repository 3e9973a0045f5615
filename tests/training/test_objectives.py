"""Every loss a configuration may name trains every network it may name."""

from __future__ import annotations

import pytest
import torch

from scoresde.denoisers.denoiser import Denoiser
from scoresde.processes.forward import VPSDE
from scoresde.runs.config import LOSSES, NetworkConfig
from scoresde.runtime.torch_state import seeded
from scoresde.training.losses import Hybrid

SHAPES = {"mlp": (3,), "unet": (1, 8, 8), "dit": (1, 8, 8)}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_a_gradient_in_a_network(name: str, kind: str) -> None:
    """Finite and not zero: also where the loss differentiates the network before, which fused attention does not allow
    twice."""
    loss, shape = LOSSES[name](), SHAPES[kind]
    config = NetworkConfig(kind=kind, widths=(16, 32) if kind == "unet" else (32,), variance=isinstance(loss, Hybrid))
    with seeded(0):
        network = config.build(shape, None)
        x0, eps = torch.randn(2, 4, *shape)
    for p in network.parameters():
        p.data += 0.01  # a last layer may start at zero
    vp = VPSDE()
    denoiser = Denoiser(network, vp, config.table, time=lambda lam: 1000 * vp.time(lam))
    loss(denoiser, x0, torch.linspace(0.1, 0.9, 4, dtype=torch.float64), eps).mean().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(bool(g.isfinite().all()) for g in gradients)
    assert sum(float(g.abs().sum()) for g in gradients) > 0

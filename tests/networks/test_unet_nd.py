"""The U-Net of 1 to 3 axes: any size, told of level and label, seeing all of a grid."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scoresde import VPSDE, Denoiser, V, catalogue, sample
from scoresde.data.samples import Dataset
from scoresde.denoisers.noise_conditioning import NoiseConditioning
from scoresde.networks import UNetND
from scoresde.training import Training, fit
from tests.helpers.networks import awake, normals

T = torch.tensor([10.0, 900.0])
GRIDS: dict[str, tuple[int, ...]] = {
    "series": (16,),
    "series of odd length": (13,),
    "image": (8, 6),
    "video": (3, 8, 9),
    "one frame": (1, 8, 8),
}


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("name", GRIDS)
def test_any_grid_is_answered(name: str, outputs: int) -> None:
    """In its shape, twice its channels with a variance, and with 0 before training."""
    size = GRIDS[name]
    x = normals(2, 3, *size)
    network = UNetND(3, len(size), (16, 32, 32), outputs=outputs)
    assert torch.equal(network(x, T), torch.zeros(2, 3 * outputs, *size))
    out = awake(network)(x, T)
    assert out.shape == (2, 3 * outputs, *size)
    assert bool(out.isfinite().all())


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_weight_is_used(axes: int) -> None:
    network = awake(UNetND(2, axes, (16, 32), layers=2, classes=3)).requires_grad_(True)
    network(normals(2, 2, *[8] * axes), T, torch.tensor([0, 1])).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not float(p.grad.abs().max())] == []


def test_both_ends_of_a_series_see_each_other() -> None:
    """By the attention at the coarsest level, far beyond the reach of the convolutions."""
    network = awake(UNetND(1, 1, (16, 32)))
    x = normals(2, 1, 128)
    moved = x.clone()
    moved[..., -1] += 5
    assert float((network(moved, T) - network(x, T))[..., 0].abs().min()) > 0


def test_level_and_label_matter() -> None:
    network = awake(UNetND(1, 1, (16, 32), classes=3))
    x, label = normals(2, 1, 16), torch.tensor([0, 1])
    out = network(x, T, label)
    assert float((out - network(x, T / 2, label)).abs().max()) > 1e-3
    assert float((out - network(x, T, label + 1)).abs().max()) > 1e-3
    torch.testing.assert_close(network(x, T), network(x, T, torch.tensor([-1, -1])))


def test_it_learns_a_series() -> None:
    """Ramps of two signs: the loss halves at least, and samples are ramps."""
    u = torch.linspace(-1, 1, 12)
    data = Dataset((normals(256, 1, 1).sign() * u).contiguous())
    process = VPSDE()
    denoiser = Denoiser(UNetND(1, 1, (16, 32)), process, V(), time=NoiseConditioning(process))
    losses = [p.loss for p in fit(denoiser, data, Training(steps=300, batch=64, lr=3e-3))]
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    x = sample(denoiser, (32, 1, 12), catalogue.unipc(8))[:, 0]
    slope = (x * u).sum(1) / u.square().sum()
    assert float((slope.abs() - 1).abs().mean()) < 0.25
    assert float((x - slope[:, None] * u).square().mean()) < 0.05


BAD: dict[str, tuple[Any, str]] = {
    "axes": (lambda: UNetND(1, 4), "`axes`"),
    "x": (lambda: UNetND(1, 1)(normals(1, 1, 4, 4), T[:1]), "`x` must have 1 axes"),
    "widths": (lambda: UNetND(1, 1, ()), "`widths`"),
    "width": (lambda: UNetND(1, 1, (0,)), "`widths`"),
    "channels": (lambda: UNetND(0), "`channels`"),
    "label": (lambda: UNetND(1, classes=2)(normals(1, 1, 4), T[:1], torch.tensor([2])), "`labels` must lie in"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        call()

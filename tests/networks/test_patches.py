"""The transformer over patches: any grid, several sizes in a batch, nothing of the padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scoresde import VPSDE, Denoiser, V, catalogue, sample
from scoresde.data.samples import Dataset
from scoresde.networks import PatchTransformer, patch_for
from scoresde.training import Training, fit
from tests.helpers.networks import awake, normals

GRIDS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "series": ((4,), (16,)),
    "image": ((2, 2), (8, 6)),
    "video": ((2, 4, 4), (4, 8, 12)),
    "one frame": ((1, 2, 2), (1, 8, 8)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_any_grid_is_answered(name: str) -> None:
    """In its shape, twice its channels with a variance, and with 0 before training."""
    patch, size = GRIDS[name]
    x, t = normals(2, 3, *size), torch.tensor([10.0, 900.0])
    network = PatchTransformer(3, patch, 32, 2, outputs=2)
    assert torch.equal(network(x, t), torch.zeros(2, 6, *size))
    assert awake(network)(x, t).shape == (2, 6, *size)


def test_cutting_and_joining_are_inverse() -> None:
    network = PatchTransformer(3, (2, 4, 1), 32, 1)
    x = normals(2, 3, 4, 8, 5)
    assert torch.equal(network._joined(network._cut(x), x), x)


def test_sizes_share_a_batch_and_do_not_see_each_other() -> None:
    """Each grid is answered as alone, whatever lies in the padding; beyond its size the answer is 0."""
    network = awake(PatchTransformer(2, (2, 2), 32, 3, classes=4))
    sizes = [(4, 8), (8, 8), (6, 2), (4, 8)]
    x = normals(4, 2, 8, 8)
    t, label = torch.tensor([5.0, 100.0, 300.0, 990.0]), torch.tensor([0, 3, -1, 2])
    cond = {"size": torch.tensor(sizes), "label": label}

    for junk in (x, x + 100 * normals(4, 2, 8, 8, seed=1)):
        given = junk.clone()
        for k, (h, w) in enumerate(sizes):
            given[k, :, :h, :w] = x[k, :, :h, :w]
        out = network(given, t, cond)
        for k, (h, w) in enumerate(sizes):
            alone = network(x[k : k + 1, :, :h, :w], t[k : k + 1], label[k : k + 1])
            torch.testing.assert_close(out[k : k + 1, :, :h, :w], alone, rtol=1e-5, atol=1e-5)
            assert float(out[k, :, h:].abs().sum() + out[k, :, :, w:].abs().sum()) == 0


def test_a_patch_is_told_its_distance_from_both_ends() -> None:
    """The first patch of any length looks the same from the first end, the last from the last."""
    network = PatchTransformer(1, (2,), 32, 1)
    short, long = (network._waves(torch.zeros(1, 1, n)).reshape(n // 2, 2, 2, -1) for n in (8, 12))
    torch.testing.assert_close(short[0, :, 0], long[0, :, 0])
    torch.testing.assert_close(short[-1, :, 1], long[-1, :, 1])
    assert float((short[-1, :, 0] - long[-1, :, 0]).abs().max()) > 0.1


def test_an_empty_batch_is_answered_by_one() -> None:
    network = PatchTransformer(1, (2,), 32, 1)
    x, t = torch.zeros(0, 1, 4), torch.zeros(0)
    assert network(x, t).shape == network(x, t, {"size": torch.zeros(0, 1).long()}).shape == x.shape


def test_place_level_and_label_matter() -> None:
    network = awake(PatchTransformer(1, (2, 2), 32, 2, classes=3))
    flat, t, label = torch.ones(1, 1, 8, 8), torch.tensor([500.0]), torch.tensor([1])
    out = network(flat, t, label)
    assert float(out.std()) > 1e-3
    assert float((out - network(flat, t / 2, label)).abs().max()) > 1e-3
    assert float((out - network(flat, t, label + 1)).abs().max()) > 1e-3
    torch.testing.assert_close(network(flat, t), network(flat, t, torch.tensor([-1])))


def test_it_learns_and_samples_sizes_it_never_saw() -> None:
    """Ramps along one axis: the loss halves at least, and a longer grid is sampled finitely."""
    u = torch.linspace(-1, 1, 8)
    data = Dataset((normals(256, 1, 1).sign() * u).contiguous())
    denoiser = Denoiser(PatchTransformer(1, (2,), 32, 2), VPSDE(), V(), time=lambda lam: 1000 * VPSDE().time(lam))
    losses = [p.loss for p in fit(denoiser, data, Training(steps=300, batch=64, lr=3e-3))]
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    x = sample(denoiser, (8, 1, 12), catalogue.unipc(8))
    assert bool(x.isfinite().all())


@pytest.mark.parametrize(
    ("sizes", "patch"),
    [
        ((8, 8), (1, 1)),
        ((32, 32), (2, 2)),
        ((8, 16, 16), (2, 2, 2)),
        ((1000,), (4,)),
        ((1, 48, 64), (1, 4, 4)),
        ((999,), (1,)),
    ],
)
def test_a_patch_is_found_for_a_grid(sizes: tuple[int, ...], patch: tuple[int, ...]) -> None:
    assert patch_for(sizes) == patch


BAD: dict[str, tuple[Any, str]] = {
    "axes": (lambda: PatchTransformer(1, (2, 2), 32, 1)(normals(1, 1, 4), torch.ones(1)), "`x` must have 2 axes"),
    "sides": (
        lambda: PatchTransformer(1, (2, 2), 32, 1)(normals(1, 1, 4, 5), torch.ones(1)),
        "`x` must have sides that the patch",
    ),
    "width": (lambda: PatchTransformer(1, (2, 2), 30, 1), "`width` must be a multiple"),
    "patch": (lambda: PatchTransformer(1, (0,), 32, 1), "`patch`"),
    "size shape": (
        lambda: PatchTransformer(1, (2,), 32, 1)(normals(2, 1, 4), torch.ones(2), {"size": torch.ones(2).long()}),
        "`size` must be whole numbers of shape",
    ),
    "size too large": (
        lambda: PatchTransformer(1, (2,), 32, 1)(normals(1, 1, 4), torch.ones(1), {"size": torch.tensor([[6]])}),
        "`size` must hold multiples",
    ),
    "label": (
        lambda: PatchTransformer(1, (2,), 32, 1, classes=2)(normals(1, 1, 4), torch.ones(1), torch.tensor([2])),
        "`labels` must lie in",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        call()

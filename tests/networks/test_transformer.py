"""The transformer over sets and columns: any order, any number of points, nothing of what is masked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde import VPSDE, Denoiser, V, catalogue, sample
from scoresde.data.samples import Dataset
from scoresde.denoisers.noise_conditioning import NoiseConditioning
from scoresde.denoisers.parameterisations import LearnedRange
from scoresde.networks import Transformer
from scoresde.training import Training, fit
from scoresde.training.losses import DSM
from tests.helpers.networks import awake, normals

T = torch.tensor([5.0, 300.0, 990.0])
MASK = torch.tensor([[True, True, True, False, False], [True] * 5, [False, True, False, True, False]])


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize(("shape", "sets"), [((3, 5, 2), True), ((3, 4), False)])
def test_it_starts_at_zero_and_answers_in_shape(shape: tuple[int, ...], sets: bool, outputs: int) -> None:
    network = Transformer(shape[-1], 32, 2, outputs=outputs, sets=sets)
    out = network(normals(*shape), T)
    assert torch.equal(out, torch.zeros(3, outputs * shape[1], *shape[2:]))
    assert float(awake(network)(normals(*shape), T).abs().min()) > 0


def test_points_in_another_order_are_answered_in_that_order() -> None:
    network = awake(Transformer(2, 32, 3, classes=4))
    x, label = normals(3, 7, 2), torch.tensor([0, 3, -1])
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x[:, order], T, label), network(x, T, label)[:, order], rtol=1e-5, atol=1e-5)


def test_points_see_each_other() -> None:
    network = awake(Transformer(2, 32, 2))
    x = normals(3, 5, 2)
    moved = x.clone()
    moved[:, 4] += 1
    assert float((network(moved, T) - network(x, T))[:, :4].abs().min()) > 0


def test_columns_are_told_apart() -> None:
    """Equal numbers in all columns are answered differently, and another order is another table."""
    network = awake(Transformer(4, 32, 2, sets=False))
    out = network(torch.ones(3, 4), T)
    assert float(out.std(1).min()) > 1e-3


def test_masked_points_are_seen_by_none() -> None:
    """Each set is answered as alone, whatever lies beyond its mask, NaN too; there the answer is 0."""
    network = awake(Transformer(2, 32, 3, classes=3))
    x, label = normals(3, 5, 2), torch.tensor([0, -1, 2])

    for junk in (normals(3, 5, 2, seed=1) * 100, torch.full((3, 5, 2), torch.nan)):
        given = torch.where(MASK[..., None], x, junk)
        out = network(given, T, {"mask": MASK, "label": label})
        for k, there in enumerate(MASK):
            alone = network(x[k : k + 1, there], T[k : k + 1], label[k : k + 1])
            torch.testing.assert_close(out[k : k + 1, there], alone, rtol=1e-5, atol=1e-5)
            assert float(out[k, ~there].abs().sum()) == 0


def test_a_set_without_points_is_answered_by_zero() -> None:
    network = awake(Transformer(2, 32, 2))
    mask = MASK.clone()
    mask[0] = False
    out = network(normals(3, 5, 2), T, {"mask": mask})
    assert torch.equal(out[0], torch.zeros(5, 2))
    assert bool(out.isfinite().all())


def test_a_variance_comes_after_the_mean() -> None:
    """As channels do, so that the two halves of a set's answer are those of each point."""
    network = awake(Transformer(2, 32, 1, outputs=2))
    x = normals(3, 5, 2)
    tokens = network.answered([network.into(x)], network.told(T, None, 3))[0]  # pyright: ignore
    mean, spread = network(x, T).chunk(2, 1)
    torch.testing.assert_close(mean, tokens[..., :2])
    torch.testing.assert_close(spread, tokens[..., 2:])
    prediction = Denoiser(network, VPSDE(), LearnedRange(V()))(x, torch.tensor(0.6), torch.tensor(0.8))
    assert prediction.x0.shape == x.shape


def test_level_and_label_matter() -> None:
    network = awake(Transformer(2, 32, 2, classes=3))
    x, label = normals(3, 5, 2), torch.tensor([0, 1, 2])
    out = network(x, T, label)
    assert float((out - network(x, T / 2, label)).abs().max()) > 1e-3
    assert float((out - network(x, T, label.flip(0))).abs().max()) > 1e-3
    torch.testing.assert_close(network(x, T), network(x, T, torch.tensor([-1, -1, -1])))


def test_masked_points_add_a_constant_to_the_loss_and_nothing_to_its_gradient() -> None:
    """The answer is 0 there: what the loss counts there depends on noise alone, not on a weight."""
    x0 = normals(3, 5, 2) * MASK[..., None]
    t, eps = torch.tensor([0.1, 0.5, 0.9]), normals(3, 5, 2, seed=1)
    beyond: list[Tensor] = []
    for seed in (0, 1):
        network = awake(Transformer(2, 32, 2), seed).requires_grad_(True)
        denoiser = Denoiser(network, VPSDE(), V())
        prediction = denoiser(
            x0 * VPSDE().alpha(t)[:, None, None] + eps * VPSDE().sigma(t)[:, None, None],
            VPSDE().alpha(t),
            VPSDE().sigma(t),
            {"mask": MASK},
        )
        each = (DSM().residual(prediction, x0, eps) ** 2)[~MASK]
        each.sum().backward()
        assert all(p.grad is None or float(p.grad.abs().max()) == 0 for p in network.parameters())
        beyond.append(each.detach())
    torch.testing.assert_close(*beyond)


def test_it_learns_and_samples_numbers_of_points_it_never_saw() -> None:
    """Points of a set lie together, around -1 or 1: samples of another size do so too."""
    centre = normals(512, 1, 1).sign()
    data = Dataset(centre + 0.2 * normals(512, 4, 1, seed=1))
    process = VPSDE()
    denoiser = Denoiser(Transformer(1, 32, 2), process, V(), time=NoiseConditioning(process))
    losses = [p.loss for p in fit(denoiser, data, Training(steps=300, batch=64, lr=3e-3))]
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])

    x = sample(denoiser, (64, 7, 1), catalogue.unipc(10))[..., 0]
    assert float((x.sign() == x.mean(1, keepdim=True).sign()).double().mean()) > 0.95


BAD: dict[str, tuple[Any, str]] = {
    "points for sets": (lambda: Transformer(2, 32, 1)(normals(1, 2), T[:1]), "`x` must be sets"),
    "sets for points": (lambda: Transformer(2, 32, 1, sets=False)(normals(1, 2, 2), T[:1]), "`x` must be points"),
    "d": (lambda: Transformer(3, 32, 1)(normals(1, 5, 2), T[:1]), "with d = 3, got shape"),
    "width": (lambda: Transformer(2, 30, 1), "`width` must be a multiple"),
    "dim": (lambda: Transformer(0, 32, 1), "`dim`"),
    "short mask": (
        lambda: Transformer(2, 32, 1)(normals(3, 6, 2), T, {"mask": MASK}),
        "`mask` must be of shape .* the sets are longer than the mask",
    ),
    "mask of other rows": (
        lambda: Transformer(2, 32, 1)(normals(3, 5, 2), T, {"mask": MASK[:2]}),
        "`mask` must be of shape",
    ),
    "mask of numbers": (
        lambda: Transformer(2, 32, 1)(normals(3, 5, 2), T, {"mask": MASK.float()}),
        "`mask` must be a tensor of torch.bool",
    ),
    "mask as label": (lambda: Transformer(2, 32, 1)(normals(3, 5, 2), T, MASK), "a mask is given as"),
    "mask of points": (
        lambda: Transformer(5, 32, 1, sets=False)(normals(3, 5), T, {"mask": MASK}),
        "`mask` must be left out for points",
    ),
    "label": (
        lambda: Transformer(2, 32, 1, classes=2)(normals(3, 5, 2), T, torch.tensor([0, 1, 2])),
        "`labels` must lie in",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        call()

"""Latents: their bound against closed forms, their scale, and what an autoencoder may be wrong in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scoresde import VPSDE, exact
from scoresde.data.samples import Dataset
from scoresde.latent import Autoencoder, Latents, LatentSpace, log_likelihood_bound
from scoresde.latent.examination import examine
from scoresde.networks.autoencoders import ImageAutoencoder, PointAutoencoder, Variational
from scoresde.training import fit
from scoresde.training.evidence import ELBO
from scoresde.training.objective import Objective
from scoresde.training.state import Training

STD = 0.5
F64 = torch.float64


class Linear(Variational):
    """x = W z + noise with orthogonal columns, whose posterior is known and has independent numbers."""

    def __init__(self) -> None:
        super().__init__((3,), (2,))
        self.w = torch.nn.Parameter(torch.tensor([[2.0, 0.0], [0.0, 0.7], [0.0, 0.7]], dtype=F64), requires_grad=False)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        precision = 1 + self.w.square().sum(0) / STD**2
        mean = x @ self.w / STD**2 / precision
        return mean, -precision.log().expand_as(mean)

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.w.T


@pytest.fixture
def linear() -> Autoencoder:
    return Autoencoder(Linear(), STD)


def log_prob(x: Tensor) -> Tensor:
    """log p(x) of the linear model."""
    w = Linear().w
    covariance = w @ w.T + STD**2 * torch.eye(3, dtype=F64)
    return torch.distributions.MultivariateNormal(torch.zeros(3, dtype=F64), covariance).log_prob(x)


def space_of(autoencoder: Autoencoder) -> LatentSpace:
    """One whose scale is not 1."""
    return LatentSpace(autoencoder, torch.tensor([0.3, -0.2]), torch.tensor([2.0, 0.5]))


def test_the_bound_is_tight_where_the_posterior_is_exact(linear: Autoencoder) -> None:
    """log p(x | u) + log p(u) - log q(u | x) = log p(x) for every u, whatever the scale of the latents."""
    x = torch.tensor([[1.0, -0.5, 0.2], [0.0, 2.0, 1.0], [-3.0, 0.1, 0.4]], dtype=F64)
    space = space_of(linear)
    process = VPSDE(beta_max=60.0, t_min=1e-6)  # whose prior holds nothing of the data
    prior = exact.Gaussian(-space.centre.double() / space.scale, torch.diag(space.scale.double() ** -2), process)
    found = log_likelihood_bound(prior, space, x, rtol=1e-8, atol=1e-8, seed=5)
    assert (found.log_prob - log_prob(x)).abs().max() < 1e-3

    other = log_likelihood_bound(prior, space, x, rtol=1e-8, atol=1e-8, seed=6)
    assert (found.reconstruction - other.reconstruction).abs().min() > 1e-3  # another draw, the same bound
    assert (found.log_prob - other.log_prob).abs().max() < 1e-3

    shifted = log_likelihood_bound(prior, space, x[1:], rtol=1e-8, atol=1e-8, seed=5, first=1)
    assert torch.allclose(shifted.reconstruction, found.reconstruction[1:])


def test_the_loss_is_the_bound_in_expectation(linear: Autoencoder) -> None:
    """Its terms against torch's own divergence, and its mean over draws against log p(x)."""
    x = torch.tensor([[1.0, -0.5, 0.2]], dtype=F64).expand(40_000, 3)
    eps = torch.randn(x.shape, dtype=F64, generator=torch.Generator().manual_seed(0))
    terms = linear.terms(x, eps)
    mean, std = linear.encode(x[:1])
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, std), torch.distributions.Normal(torch.zeros_like(mean), 1.0)
    )
    assert torch.allclose(terms.kl[:1], kl)

    each = ELBO(STD)(linear, x, torch.zeros(len(x)), eps)
    assert torch.allclose(each, terms.reconstruction + terms.kl.sum(1))
    error = each.std() / math.sqrt(len(each))
    assert (each.mean() + log_prob(x[:1])[0]).abs() < 5.5 * error  # two-sided chance 4e-8

    weighted = ELBO(STD, kl_weight=0.25, free_bits=2.0)(linear, x[:1], torch.zeros(1), eps[:1])
    expected = terms.reconstruction[:1] + 0.25 * kl.clamp(min=2.0).sum(1)
    assert (kl < 2.0).any()
    assert torch.allclose(weighted, expected)


@pytest.mark.parametrize(
    "network",
    [PointAutoencoder((5,), 2, width=16), ImageAutoencoder((1, 8, 12), 3, (8, 16))],
    ids=["points", "images"],
)
def test_latents_have_unit_variance(network: Variational) -> None:
    """Channel by channel, draws included; decoding undoes the scale."""
    generator = torch.Generator().manual_seed(1)
    data = Dataset(3 * torch.randn((600, *network.shape), generator=generator) + 1, torch.arange(600) % 4)
    autoencoder = Autoencoder(network)
    space = LatentSpace.measured(autoencoder, data, "runs/a", "hash")
    latents = Latents(data, space)
    u = latents.samples(torch.arange(600)).double().transpose(0, 1).flatten(1)
    error = (2 / u.shape[1]) ** 0.5
    assert latents.shape == network.latent_shape
    assert u.mean(1).abs().max() < 6 * error
    assert (u.var(1) - 1).abs().max() < 6 * error

    mean, std = space.posterior(data.x[:4])
    plain, spread = autoencoder.encode(data.x[:4])
    like = (-1, *[1] * (plain.dim() - 2))
    assert torch.allclose(mean * space.scale.reshape(like) + space.centre.reshape(like), plain, atol=1e-5)
    assert torch.allclose(std * space.scale.reshape(like), spread, atol=1e-5)
    assert torch.allclose(space.decode(mean), autoencoder.decode(plain), atol=1e-5)
    assert latents.source is data
    assert torch.equal(latents.decoded(mean), space.decode(mean))


def test_latents_are_functions_of_seed_and_index() -> None:
    network = PointAutoencoder((5,), 2, width=16)
    data = Dataset(torch.randn((50, 5), generator=torch.Generator().manual_seed(1)), torch.arange(50))
    latents = Latents(data, LatentSpace.measured(Autoencoder(network), data))
    whole, labels = latents.batch(3, 20, 7)
    part, some = latents.batch(3, 20, 7, range(5, 15))
    assert torch.allclose(part, whole[5:15], atol=1e-6)
    assert torch.equal(some, labels[5:15])
    assert not torch.allclose(latents.batch(4, 20, 7)[0], whole)

    index = torch.tensor([30, 4, 11])
    assert torch.allclose(latents.samples(index), latents.samples(torch.arange(4, 31))[index - 4], atol=1e-6)
    assert torch.equal(latents.take(index).labels, data.labels[index])  # type: ignore[arg-type, index]

    for wrong, name in ((torch.zeros(2, 3), "u"), (torch.zeros(2, 2, 1), "u")):
        with pytest.raises(ValueError, match=f"`{name}` must be of shape"):
            latents.space.decode(wrong)
    with pytest.raises(ValueError, match="`x` must be of shape"):
        latents.space.posterior(torch.zeros(2, 4))
    with pytest.raises(TypeError, match="`u` must be"):
        latents.space.decode("z")  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="`data` must hold samples of shape"):
        Latents(replace(data, x=data.x[:, :3]), latents.space)


def test_what_is_wrong_with_an_autoencoder_is_found(linear: Autoencoder) -> None:
    """Nothing where it is right; then a noise that is too small, a z that is not used, and answers that are no
    numbers."""

    generator = torch.Generator().manual_seed(2)
    z = torch.randn((2000, 2), dtype=F64, generator=generator)
    x = z @ Linear().w.T + STD * torch.randn((2000, 3), dtype=F64, generator=generator)
    assert examine(linear, x) == ()
    assert [f.what for f in examine(Autoencoder(Linear(), 0.1), x)] == [
        "the observation noise is not what is left over"
    ]

    blind = Linear()
    blind.encode = lambda x: (0 * x[:, :2], 0 * x[:, :2])  # type: ignore[method-assign]
    assert "most of z is unused" in [f.what for f in examine(Autoencoder(blind, STD), x)]

    broken = Linear()
    broken.decode = lambda z: z @ broken.w.T * math.nan  # type: ignore[method-assign]
    assert ["not finite" in f.what for f in examine(Autoencoder(broken, STD), x)] == [True]


def test_it_learns_two_directions_of_many() -> None:
    """The bound of a trained autoencoder comes near log p(x) of data that have two directions."""
    generator = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn((6, 6), generator=generator))[0][:, :2]
    x = torch.randn((4000, 2), generator=generator) * 2 @ turn.T + 0.3 * torch.randn((4000, 6), generator=generator)
    data = Dataset(x)
    model = Autoencoder(PointAutoencoder((6,), 2, width=32, depth=1), 0.3)
    training = Training(steps=400, batch=256, lr=1e-2)
    for _ in fit(model, data, training, objective=Objective(ELBO(0.3))):
        pass

    held = torch.randn((2000, 2), generator=generator) * 2 @ turn.T
    held = held + 0.3 * torch.randn((2000, 6), generator=generator)
    covariance = 4 * turn @ turn.T + 0.09 * torch.eye(6)
    best = torch.distributions.MultivariateNormal(torch.zeros(6), covariance).log_prob(held).mean()
    with torch.no_grad():
        terms = model.eval().terms(held, torch.randn((2000, 6), generator=generator))
    bound = -(terms.reconstruction + terms.kl.sum(1)).mean()
    assert best - 0.5 < bound < best + 0.1


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Autoencoder(Linear(), 0.0), "std"),
        (lambda: ELBO(std=-1.0), "std"),
        (lambda: ELBO(kl_weight=-1.0), "kl_weight"),
        (lambda: ELBO(free_bits=math.nan), "free_bits"),
        (lambda: PointAutoencoder((3,), 5), "latent_shape"),
        (lambda: ImageAutoencoder((1, 8, 8), 2, (8, 8, 8, 8, 8)), "widths"),
    ],
)
def test_bad_arguments_are_named(make: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must"):
        make()

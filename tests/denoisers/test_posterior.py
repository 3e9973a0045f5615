"""Mixtures of full covariances, their classes, and posteriors of linear measurements, against golden numbers and
independent computations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from scoresde import exact
from scoresde.denoisers.labelled import Labelled
from tests.helpers.problems import F64

VARIANCES = torch.tensor(
    [[[1, 0, 0], [0, 0.5, 0], [0, 0, 0.2]], [[0.6, 0.2, 0], [0.2, 0.4, 0.1], [0, 0.1, 0.3]]], dtype=F64
)
MEANS = torch.tensor([[0, 0, 0], [2, -1, 0.5]], dtype=F64)
WEIGHTS = torch.tensor([0.3, 0.7], dtype=F64)
PRIOR = exact.GaussianMixture(MEANS, VARIANCES, WEIGHTS)
A = torch.tensor([[1, 0.5, -0.2], [0, 1, 1]], dtype=F64)


@dataclass
class Plain:
    """A measurement as numbers."""

    a: Tensor
    y: Tensor
    std: float

    def matrix(self, d: int) -> Tensor:
        return self.a


GOLDEN = exact.posterior(PRIOR, Plain(A, torch.tensor([0.9, -0.4], dtype=F64), 0.3))


def test_the_posterior_is_the_golden_one() -> None:
    weights = torch.tensor([0.22172639, 0.77827361], dtype=F64)
    means = torch.tensor([[0.86219051, -0.15221187, -0.18159142], [1.62197108, -1.07250263, 0.64198832]], dtype=F64)
    rows = torch.tensor([[0.14323208, -0.10031776, 0.0798204], [0.09624078, -0.0441337, 0.03738866]], dtype=F64)
    x = torch.tensor([[0.5, -0.3, 0.2]], dtype=F64)
    x0 = torch.tensor([[1.39948138, -0.81633579, 0.41480001]], dtype=F64)

    for got, wanted in (
        (GOLDEN.log_weights.exp(), weights),
        (GOLDEN.means, means),
        (GOLDEN.covariances()[:, 0], rows),
        (GOLDEN(x, torch.tensor(0.6), torch.tensor(0.8)).x0, x0),
    ):
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=2e-7 if got is not x0 else 1e-8)


def test_the_posterior_is_bayes() -> None:
    """log p(x) + log p(y|x) - log p(x|y) is one number, whatever x: an independent computation."""
    x = PRIOR.sample(50, seed=1) * 1.5
    y = torch.tensor([0.9, -0.4], dtype=F64)
    fit = -0.5 * ((y - x @ A.T) / 0.3).square().sum(1)
    evidence = PRIOR.log_prob(x) + fit - GOLDEN.log_prob(x)
    assert float(evidence.std()) < 1e-10


@pytest.mark.parametrize(("alpha", "sigma"), [(0.6, 0.8), (1.0, 0.1), (1.0, 20.0), (0.99, 1e-3)])
def test_full_covariances_have_their_gradient(alpha: float, sigma: float) -> None:
    """The score is the gradient of the log density, by automatic differentiation."""
    x = (PRIOR.sample(9, seed=2) * alpha + sigma * torch.randn(9, 3, dtype=F64)).requires_grad_()
    (wanted,) = torch.autograd.grad(PRIOR.log_prob(x, alpha, sigma).sum(), x)
    got = PRIOR(x.detach(), torch.tensor(alpha, dtype=F64), torch.tensor(sigma, dtype=F64))
    torch.testing.assert_close(got.score, wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(alpha * got.x0 + sigma * got.eps, x.detach(), rtol=1e-12, atol=1e-12)


def test_diagonal_and_full_are_one_mixture() -> None:
    diagonal = torch.tensor([[1, 0.5, 0.2], [0.3, 0.1, 2.0]], dtype=F64)
    a = exact.GaussianMixture(MEANS, diagonal, WEIGHTS)
    b = exact.GaussianMixture(MEANS, torch.diag_embed(diagonal), WEIGHTS)
    x = a.sample(20, seed=3)
    torch.testing.assert_close(a.log_prob(x, 0.7, 0.5), b.log_prob(x, 0.7, 0.5))
    torch.testing.assert_close(a.moments.mean, b.moments.mean)
    torch.testing.assert_close(a.moments.scale, b.moments.scale)


def test_samples_have_the_moments() -> None:
    """Mean and covariance of 200 000 draws within 6 standard errors: chance of failure below 1e-7."""
    n = 200_000
    x = PRIOR.sample(n, seed=4)
    mean = WEIGHTS @ MEANS
    apart = MEANS - mean
    cov = (apart.T * WEIGHTS) @ apart + torch.einsum("k,kij->ij", WEIGHTS, VARIANCES)
    error = (torch.outer(cov.diag(), cov.diag()) + cov**2).sqrt() * 1.5 / n**0.5  # tails heavier than a Gaussian's
    assert bool(((x.mean(0) - mean).abs() < 6 * (cov.diag() / n).sqrt()).all())
    assert bool(((x.T.cov() - cov).abs() < 6 * error).all())


def test_labels_leave_the_components_of_a_class() -> None:
    means = torch.tensor([[0.0, 0], [3, 0], [0, 4]], dtype=F64)
    whole = exact.GaussianMixture(
        means, torch.tensor([0.1, 0.3, 0.2], dtype=F64), torch.tensor([0.2, 0.3, 0.5]).double()
    )
    model = exact.Labelled(whole, torch.tensor([0, 1, 0]))
    x = whole.sample(6, seed=5)
    a, s = torch.tensor(0.8, dtype=F64), torch.tensor(0.6, dtype=F64)
    mixed = model(x, a, s, torch.tensor([0, 0, 1, 1, -1, -1]))

    for label, rows in ((0, slice(0, 2)), (1, slice(2, 4))):
        torch.testing.assert_close(mixed.x0[rows], model.of(label)(x[rows], a, s).x0)

    torch.testing.assert_close(mixed.x0[4:], whole(x[4:], a, s).x0)
    torch.testing.assert_close(model(x, a, s).x0, whole(x, a, s).x0)

    with pytest.raises(ValueError, match=r"`labels` must lie in \[0, 2\)"):
        model(x, a, s, torch.full((6,), 2))


def test_one_covariance_serves_all_components() -> None:
    """The posterior of an empirical prior keeps one covariance, whatever the number of points."""
    data = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    prior = exact.Empirical(data, 0.2)
    y = torch.tensor([0.3, 0.1], dtype=F64)
    posterior = exact.posterior(prior, Plain(A, y, 0.1))
    assert posterior.covariances().shape == (1, 3, 3)
    x = data[:10]
    fit = -0.5 * ((y - x @ A.T) / 0.1).square().sum(1)
    assert float((prior.log_prob(x) + fit - posterior.log_prob(x)).std()) < 1e-9


def test_bad_ones_are_named() -> None:
    skew = VARIANCES.clone()
    skew[0, 0, 1] = 1.0

    for variances, said in (
        (skew, "symmetric"),
        (-VARIANCES, "non-negative"),
        (VARIANCES[:, :2], r"\(2, 3, 3\)"),
        (VARIANCES[0], r"must be a number"),
    ):
        with pytest.raises(ValueError, match=f"`variances` .*{said}"):
            exact.GaussianMixture(MEANS, variances)

    with pytest.raises(ValueError, match=r"`measurement` must have a std above 0"):
        exact.posterior(PRIOR, Plain(torch.cat((A, A)), torch.zeros(4, dtype=F64), 0.0))
    with pytest.raises(ValueError, match=r"`measurement` must have a y of 2"):
        exact.posterior(PRIOR, Plain(A, torch.zeros(3, dtype=F64), 0.1))
    with pytest.raises(TypeError, match="`prior`"):
        exact.posterior(Labelled(PRIOR, torch.tensor([0, 1])), Plain(A, torch.zeros(2, dtype=F64), 0.1))  # type: ignore[arg-type]
    assert math.isfinite(float(exact.posterior(PRIOR, Plain(A, torch.zeros(2, dtype=F64), 0.0)).log_weights.sum()))

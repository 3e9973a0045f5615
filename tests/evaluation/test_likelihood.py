"""Densities by the probability flow against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from scoresde import VESDE, VPSDE, SubVPSDE, exact
from scoresde.evaluation.likelihood import bits_per_dim, log_likelihood
from solvers import SeededNoise

F64 = torch.float64
PROCESSES = [VPSDE(), SubVPSDE(), VESDE(t_min=1e-3)]
MEAN, VAR = torch.tensor([1.0, -0.5, 2.0], dtype=F64), torch.tensor([0.25, 1.0, 4.0], dtype=F64)
Q = torch.linalg.qr(SeededNoise(0).normal(0, range(1), (3, 3), F64)[0])[0]
G3 = exact.Gaussian(MEAN, Q @ VAR.diag() @ Q.T)


def spread(process, t: float) -> torch.Tensor:
    return process.alpha(t) ** 2 * VAR + process.sigma(t) ** 2


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_exact_trace_on_a_gaussian(process) -> None:
    """log p(x) = log prior(x_T) + half the log ratio of the variances, x_T by the exact flow; not the
    data density itself."""
    x = G3.sample(5, seed=1)
    t0, t1 = process.t_min, process.t_max
    v0, v1 = spread(process, t0), spread(process, t1)
    ends = process.alpha(t1) * MEAN + (((x - process.alpha(t0) * MEAN) @ Q) * (v1 / v0).sqrt()) @ Q.T
    log_det = 0.5 * torch.log(v1 / v0).sum()
    answer = log_likelihood(G3, x, process=process, rtol=1e-11, atol=1e-11)
    assert (answer.latent * process.sigma(t1) - ends).abs().max() < 1e-7
    assert (answer.log_prob - process.prior_log_prob(ends) - log_det).abs().max() < 1e-8
    assert answer.standard_error is None


def test_the_prior_is_not_the_marginal() -> None:
    """The bias of log p by taking N(0, sigma_T^2) at T: small, not zero, and that of the formula."""
    sde = VPSDE()
    x = G3.sample(200, seed=2)
    answer = log_likelihood(G3, x, process=sde, rtol=1e-8, atol=1e-8)
    truth = G3.log_prob(x, sde.alpha(sde.t_min), sde.sigma(sde.t_min))
    assert 1e-4 < (answer.log_prob - truth).abs().max() < 0.1


def test_hutchinson_is_unbiased_with_the_right_variance() -> None:
    """Var of one probe's trace is 2 (|A|^2 - sum A_ii^2) for symmetric A; here for the integral, over many
    probes, |z| < 5."""
    sde, n = VPSDE(), 20_000
    x = G3.sample(1, seed=3)
    truth = log_likelihood(G3, x, process=sde, rtol=1e-6, atol=1e-6).log_prob
    one = log_likelihood(G3, x.expand(n, 3), process=sde, probes=1, rtol=1e-6, atol=1e-6, seed=1).log_prob
    assert (one.mean() - truth).abs() < 5 * one.std() / math.sqrt(n)
    # along the flow A(t) = Q diag(a(t)) Q^T: the integral is a quadratic form in v with eigenvalues the integrals of a
    total = 0.5 * torch.log(spread(sde, sde.t_max) / spread(sde, sde.t_min))
    form = Q @ total.diag() @ Q.T
    variance = 2 * (form.square().sum() - form.diag().square().sum())
    assert (one.var() / variance - 1).abs() < 5 * (2 / n) ** 0.5  # the fourth moment is below a Gaussian's
    several = log_likelihood(G3, x, process=sde, probes=64, seed=2)
    assert several.standard_error is not None
    assert (several.standard_error * 8 / variance.sqrt() - 1).abs() < 0.6


def test_one_probe_is_exact_for_independent_dimensions() -> None:
    diagonal = exact.Gaussian(MEAN, VAR)
    x = diagonal.sample(4, seed=4)
    one, exactly = (
        log_likelihood(diagonal, x, process=VPSDE(), probes=k, rtol=1e-9, atol=1e-9).log_prob for k in (1, None)
    )
    assert (one - exactly).abs().max() < 1e-12


def test_a_mixture_integrates_to_one_and_meets_its_density() -> None:
    """A 1-D mixture: total mass within 1e-5; the error against the mixture's own density is the
    prior's."""
    means, variances, weights = torch.tensor([[-2.0, 0.5, 3.0], [0.09, 0.36, 0.04], [0.3, 0.5, 0.2]], dtype=F64)
    mix = exact.GaussianMixture(means.unsqueeze(1), variances, weights)
    sde = VPSDE()
    x = torch.linspace(-5, 5, 601, dtype=F64).unsqueeze(1)
    answer = log_likelihood(mix, x, process=sde, rtol=1e-8, atol=1e-8)
    mass = torch.trapezoid(answer.log_prob.exp(), x[:, 0])
    assert abs(mass - 1) < 1e-5
    dense = answer.log_prob > -10
    assert (answer.log_prob - mix.log_prob(x, sde.alpha(1e-3), sde.sigma(1e-3)))[dense].abs().max() < 0.1


def test_answers_do_not_depend_on_the_batch() -> None:
    """Probes belong to samples: dropping finished ones keeps theirs."""
    x = G3.sample(9, seed=5)
    whole = log_likelihood(G3, x, process=VPSDE(), probes=3)
    again = log_likelihood(G3, x[:4], process=VPSDE(), probes=3)
    assert torch.equal(whole.log_prob[:4], again.log_prob)


def test_bits_per_dimension() -> None:
    """A uniform density over 256 integer levels costs 8 bits."""
    uniform = torch.tensor(-math.log(256 / 127.5) * 12, dtype=F64)
    assert bits_per_dim(uniform, 12).item() == pytest.approx(8.0, abs=1e-12)

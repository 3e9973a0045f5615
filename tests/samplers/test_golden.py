"""Golden numbers, by exact law: mean and variances of G3 after a solve, from N(0, sigma_T^2), without a random number.

VPSDE(0.1, 20), uniform times from 1 to 1e-3, float64. Methods along another coordinate get its frame, x / alpha."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from scoresde import VESDE, VPSDE, Process, Split, SubVPSDE
from scoresde.samplers.reverse import reverse
from solvers import RK4, SRA1, Equation, Euler, EulerMaruyama, ExpEuler, Noise
from tests.helpers.golden import VP, WIDE_EDM, WIDE_LOGSNR, WIDE_UNIT, along, method, start, uniform
from tests.helpers.laws import Weights, affine, exact_law
from tests.helpers.problems import F64, G3, G3_BASIS, G3_MEAN, G3_TURNED, G3_VARIANCES, marginal

THREE = [VPSDE(), SubVPSDE(), VESDE()]


@pytest.mark.parametrize(
    ("name", "n", "mean0", "variances"),
    [
        ("em", 10, 1.059055756609, (0.327308589893, 1.163059994510, 4.324197915353)),
        ("em", 50, 1.011713532397, (0.258255691809, 1.028670589018, 4.064583455763)),
        pytest.param(
            "em", 1000, 1.000529417025, (0.250442460623, 1.001398362886, 4.002933310839), marks=pytest.mark.slow
        ),
        ("euler", 50, 1.002865656633, (0.245918640140, 0.999956814251, 3.927444814042)),
        ("ddim", 10, 0.997484814804, (0.140147627099, 0.692320006371, 2.961938133923)),
        ("ddim", 50, 0.996839111252, (0.223367504524, 0.929659489868, 3.766674231874)),
        ("ddim-edm", 50, 0.996839111252, (0.223367504524, 0.929659489868, 3.766674231874)),
        ("ddim-unit", 50, 0.996839111252, (0.223367504524, 0.929659489868, 3.766674231874)),
        ("ddpm", 50, 0.999934225569, (0.197434584097, 0.857790640325, 3.556022146624)),
        ("2m", 10, 0.995426785728, (0.472693390811, 1.669489141616, 5.207469898969)),
        ("2m", 50, 0.996484452385, (0.277291846641, 1.035091883080, 4.039599344085)),
        ("sde-2m", 50, 0.999934225569, (0.340911904249, 1.128596133253, 4.157342005193)),
        ("3m", 50, 0.996854554084, (0.221151828138, 0.955968257695, 3.950415350376)),
        ("3m-corrected", 50, 0.997114293640, (0.185540432052, 0.906562678789, 3.895121378970)),
        ("heun", 50, 0.996169279752, (0.250615226565, 0.999956814251, 3.996249906683)),
        ("rk4", 50, 0.996658663254, (0.250079552553, 0.999956814251, 3.998979342231)),
    ],
)
def test_golden_numbers(name, n, mean0, variances):
    """Mean of the first element and all variances, to the 12 decimals stored; no covariance appears between
    elements."""
    mean, cov = method(name, n)
    assert abs(mean[0] - mean0) < 1e-11
    assert (cov.diagonal() - torch.tensor(variances, dtype=F64)).abs().max() < 1e-11
    assert (cov - torch.diag(cov.diagonal())).abs().max() < 1e-12


def factor(process: Process, eta: float, t0: Tensor, t1: Tensor) -> Tensor:
    """phi(t1, t0) = (v1/v0)^((1+eta^2)/2) (alpha1/alpha0)^(-eta^2): what is left at t1 of a deviation at t0."""
    v0, v1 = marginal(process, t0)[1], marginal(process, t1)[1]
    return (v1 / v0) ** ((1 + eta**2) / 2) * (process.alpha(t1) / process.alpha(t0)) ** -(eta**2)


@pytest.mark.parametrize("process", THREE, ids=repr)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_euler_maruyama_recursion(process, eta):
    """x <- (1 - h A) x + ..., A = f + (1+eta^2)/2 g^2/v, added variance eta^2 g^2 h, with data turned by
    Q."""
    for n in (10, 100):
        times = uniform(process, n)
        mean, var = start(process)[0], start(process)[1].diagonal()
        for t0, t1 in itertools.pairwise(times):
            h = t0 - t1
            f, g2 = process.alpha_rate(t0) / process.alpha(t0), process.g2(t0)
            m, v = marginal(process, t0)
            pull = 0.5 * (1 + eta**2) * g2 / v
            a = 1 - h * (f + pull)
            mean, var = a * mean + h * pull * m, a**2 * var + eta**2 * g2 * h
        got_mean, got_cov = exact_law(
            process.reverse(G3_TURNED.score(process), eta), EulerMaruyama(), times, *start(process)
        )
        turned = G3_BASIS.T @ got_cov @ G3_BASIS
        scale = var.max()
        assert ((G3_BASIS.T @ got_mean - mean) / scale.sqrt()).abs().max() < 1e-11
        assert ((turned - torch.diag(var)) / scale).abs().max() < 1e-11


@pytest.mark.parametrize("process", THREE, ids=repr)
def test_ddim_cosine_law(process):
    """A DDIM step shrinks each deviation by sqrt(v1/v0) cos(theta1 - theta0), theta = arctan(sigma/(alpha
    sqrt(lambda)))."""
    times = uniform(process, 20)
    mean, cov = along(process, WIDE_LOGSNR, reverse(WIDE_LOGSNR, G3, 0.0, Split.X0), ExpEuler(), times, *start(process))
    theta = torch.stack([torch.atan(process.sigma(t) / (process.alpha(t) * G3_VARIANCES.sqrt())) for t in times])
    shrink = (marginal(process, times[-1])[1] / marginal(process, times[0])[1]).sqrt() * theta.diff(dim=0).cos().prod(0)
    assert (cov.diagonal().sqrt() / (process.sigma(times[0]) * shrink) - 1).abs().max() < 1e-12
    exact_mean = process.alpha(times[-1]) * G3_MEAN + shrink * (0 - process.alpha(times[0]) * G3_MEAN)
    assert (mean - exact_mean).abs().max() < 1e-12 * max(1.0, process.sigma(times[0]).item())


@pytest.mark.parametrize("process", THREE, ids=repr)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_one_step_by_three_routes(process, eta):
    """DPM-Solver++(1) = DDIM along three coordinates, and with eta 1 = DDPM's posterior, computed here by
    Bayes' rule."""
    times = uniform(process, 7)
    mean, cov = start(process)
    for t0, t1 in itertools.pairwise(times):
        a0, a1, s0, s1 = process.alpha(t0), process.alpha(t1), process.sigma(t0), process.sigma(t1)
        m0, v0 = marginal(process, t0)
        x0_gain = a0 * G3_VARIANCES / v0  # E[x0 | x] = m + x0_gain (x - a0 m)
        if eta == 0.0:
            gain, add = a1 * x0_gain + s1 * s0 / v0, 0.0
        else:
            ratio = (a0 / a1) * (s1 / s0) ** 2  # weight of x in q(x_t1 | x_t0, x0)
            gain, add = ratio + (a1 - ratio * a0) * x0_gain, s1**2 * (1 - (a0 * s1 / (a1 * s0)) ** 2)
        mean, cov = a1 * G3_MEAN + gain * (mean - m0), gain**2 * cov + add * torch.eye(3, dtype=F64)
    routes = [(WIDE_LOGSNR, Split.X0, ExpEuler())]
    if eta == 0.0:
        routes += [(WIDE_EDM, Split.EPS, Euler()), (WIDE_UNIT, Split.EPS, ExpEuler()), (WIDE_EDM, Split.FLOW, Euler())]
    for chart, split, solver in routes:
        got_mean, got_cov = along(process, chart, reverse(chart, G3, eta, split), solver, times, *start(process))
        torch.testing.assert_close(got_mean, mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(got_cov, cov, rtol=1e-12, atol=1e-12)


def test_ddpm_keeps_the_mean_at_any_number_of_steps():
    """Posterior means are a martingale, so DDIM(1) = DDPM carries the mean exactly for every N."""
    t0, t1 = VP.t_max, VP.t_min
    want = marginal(VP, t1)[0] - factor(VP, 1.0, t0, t1) * marginal(VP, t0)[0]
    for n in (1, 2, 3, 5, 10, 20, 50):
        mean, _ = method("ddpm", n)
        assert (mean - want).abs().max() < 1e-12


@pytest.mark.parametrize("process", THREE, ids=repr)
@pytest.mark.parametrize(("eta", "solver"), [(0.0, RK4()), (0.5, EulerMaruyama()), (1.0, EulerMaruyama())])
def test_fine_steps_reach_the_continuous_law(process, eta, solver):
    """c_1 = v_1 + phi^2 (c_0 - v_0), mu_1 = alpha_1 m + phi (mu_0 - alpha_0 m), with Richardson's
    extrapolation."""
    t0, t1 = 0.9, 0.1
    c0 = process.sigma(t0) ** 2 * torch.ones(3, dtype=F64)
    ladder = (256,) if eta == 0 else (32, 64, 128, 256, 512)
    laws = [
        exact_law(
            process.reverse(G3.score(process), eta),
            solver,
            torch.linspace(t0, t1, n + 1, dtype=F64),
            0 * c0,
            torch.diag(c0),
        )
        for n in ladder
    ]
    row = [torch.cat([mean, cov.diagonal()]) for mean, cov in laws]
    for k in range(1, len(ladder)):  # each sweep takes the next power of h away
        row = [(2**k * fine - coarse) / (2**k - 1) for coarse, fine in itertools.pairwise(row)]
    (fine,) = row
    (m0, v0), (m1, v1), phi = marginal(process, t0), marginal(process, t1), factor(process, eta, t0, t1)
    want = torch.cat([m1 - phi * m0, v1 + phi**2 * (c0 - v0)])
    assert ((fine - want) / (1 + want.abs())).abs().max() < 1e-6


def test_affine_helper_sees_every_draw():
    """The helper itself: for f = 0, g = 1 every step passes its draw on, and variance is the length of time."""
    eq = Equation(lambda t, y: torch.zeros_like(y), lambda t, y: torch.ones_like(y), noise=Noise.ADDITIVE)
    for solver in (EulerMaruyama(), SRA1(), ExpEuler()):
        times = torch.tensor([0.0, 0.3, 1.0], dtype=F64)
        maps = affine(eq, solver, times, 2)
        torch.testing.assert_close(Weights.of(maps).p, torch.eye(2, dtype=F64).expand(2, 2, 2), rtol=0, atol=1e-15)
        assert maps.law(torch.zeros(2, dtype=F64), torch.zeros(2, 2, dtype=F64))[
            1
        ].diagonal().tolist() == pytest.approx([1.0, 1.0], abs=1e-15)

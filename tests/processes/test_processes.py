"""Processes are linear SDEs with closed forms: kernel identities by automatic differentiation, float32, inverses,
equations."""

from __future__ import annotations

import math

import pytest
import torch

import scoresde
from scoresde import VESDE, VPSDE, CustomProcess, Process, Split, SubVPSDE
from scoresde.samplers.reverse import reverse
from solvers import Euler, EulerMaruyama, Noise, SeededNoise, solve
from tests.helpers.laws import exact_law
from tests.helpers.problems import F64, G3, G3_MEAN, OWN, PROCESSES, TOWARD_NOISE

every = pytest.mark.parametrize("process", PROCESSES + OWN, ids=repr)


def times(process: Process, count: int = 200) -> torch.Tensor:
    """Times all over the range, and below it where the noise is small and alpha, sigma are still defined."""
    inside = torch.linspace(process.t_min, process.t_max, count, dtype=F64)
    inside = inside[process.alpha(inside) > 0]  # f and g are infinite where no signal is left
    if process.t_min <= 0 or process not in TOWARD_NOISE:
        return inside
    return torch.cat([torch.logspace(-6, math.log10(process.t_min), count, dtype=F64)[:-1], inside])


def test_the_processes_are_found():
    """The walk sees at least those with public names."""
    names = {type(p).__name__ for p in PROCESSES}
    assert {"VPSDE", "SubVPSDE", "VESDE", "EDM", "LogSNR", "UnitNoise", "Angle"} <= names


@every
def test_kernel_identities(process):
    """alpha' = f alpha, (sigma^2)' = 2 f sigma^2 + g^2, g^2 = -2 lam' sigma^2; every rate against
    autograd."""
    t = times(process).requires_grad_()
    alpha, sigma, lam = process.alpha(t), process.sigma(t), process.lam(t)
    d_alpha, d_var, d_sigma, d_lam = (
        torch.autograd.grad((c + 0 * t).sum(), t, retain_graph=True)[0] for c in (alpha, sigma**2, sigma, lam)
    )
    f = process.drift(torch.ones_like(t), t)
    g2 = process.g2(t)
    close = {"rtol": 1e-10, "atol": 1e-14}
    torch.testing.assert_close(f * alpha, d_alpha, **close)
    torch.testing.assert_close(process.alpha_rate(t), d_alpha, **close)
    torch.testing.assert_close(process.sigma_rate(t), d_sigma, **close)
    torch.testing.assert_close(-2 * f, process.beta(t), **close)
    scale = g2.abs() + (2 * f * sigma**2).abs()
    assert ((d_var - 2 * f * sigma**2 - g2).abs() / scale).max() < 1e-10
    torch.testing.assert_close(g2, -2 * d_lam * sigma**2, **close)
    torch.testing.assert_close(process.diffusion(t), g2.abs().sqrt(), **close)
    assert bool((g2 > 0).all() if process in TOWARD_NOISE else (g2 < 0).all())
    torch.testing.assert_close(lam.exp(), alpha / sigma, **close)


@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE()], ids=repr)
def test_float32_is_accurate_at_small_times(process):
    """alpha, sigma, g and beta in float32 err by a few roundings from 1e-7 to 1: no 1 - exp anywhere."""
    t = torch.logspace(-7, 0, 400, dtype=torch.float32)
    for name in ("alpha", "sigma", "diffusion", "beta"):
        narrow, wide = getattr(process, name)(t), getattr(process, name)(t.double())
        assert narrow.dtype == torch.float32
        assert ((narrow.double() - wide) / wide).abs().max() < 4e-7, name


@every
def test_time_inverts_half_log_snr(process):
    """time(lam(t)) = t, and lam is strictly monotone, down where there is noise."""
    t = torch.linspace(process.t_min, process.t_max, 1000, dtype=F64)
    lam = process.lam(t)
    assert ((process.time(lam) - t).abs() <= 1e-10 * t.abs() + 1e-14).all()
    steps = lam.diff()
    assert bool((steps < 0).all() if process in TOWARD_NOISE else (steps > 0).all())
    assert process.lam(process.t_data) > process.lam(process.t_noise)
    assert (process.t_min, process.t_max) == tuple(sorted((process.t_noise, process.t_data)))


@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE()], ids=repr)
def test_time_inverts_far_outside_the_range(process):
    """The inverse holds from lam = -60 to 60: other coordinates may reach beyond the process' own range."""
    lam = torch.linspace(-60, 60, 500, dtype=F64)
    assert (process.lam(process.time(lam)) - lam).abs().max() < 1e-9


@every
def test_scalar_and_per_sample_times_agree(process):
    """A float, a 0-d tensor, (B,) and (B, 1, 1) give the same perturbation, in x's dtype."""
    t = 0.5 * (process.t_min + process.t_max)
    x0, eps = (
        torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)),
        torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1)),
    )
    want = process.alpha(t).float() * x0 + process.sigma(t).float() * eps
    for given in (t, torch.tensor(t, dtype=F64), torch.full((3,), t, dtype=F64), torch.full((3, 1, 1), t, dtype=F64)):
        x = process.perturb(x0, given, eps)
        assert x.dtype == torch.float32
        torch.testing.assert_close(x, want, rtol=1e-6, atol=1e-6)
        assert process.drift(x0, given).dtype == torch.float32
    mixed = process.perturb(x0, torch.tensor([process.t_min, t, process.t_max], dtype=F64), eps)
    torch.testing.assert_close(mixed[1], x[1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mixed[0], process.perturb(x0[:1], process.t_min, eps[:1])[0], rtol=1e-6, atol=1e-6)


def probe(process: Process, where: float = 0.4) -> tuple[torch.Tensor, torch.Tensor]:
    t = torch.tensor(process.t_min + where * (process.t_max - process.t_min), dtype=F64)
    x = torch.randn(5, 3, dtype=F64, generator=torch.Generator().manual_seed(3)) * process.sigma(t) + process.alpha(t)
    return t, x


@every
def test_the_family_of_equations(process):
    """noising(score, 1) is forward(); drift f x -/+ (1 -/+ eta^2)/2 g^2 score; diffusion eta g; each knows
    its direction."""
    t, x = probe(process)
    score = G3.score(process)
    f, g2, s = process.drift(x, t), process.g2(t), score(x, t)
    toward = 1 if process in TOWARD_NOISE else -1
    forward, one = process.forward(), process.noising(score, 1.0)
    assert torch.equal(forward.drift(t, x), one.drift(t, x))
    assert torch.equal(forward.drift(t, x), f)
    for eta in (0.3, 1.0, 1.7):
        for eq, sign, way in ((process.noising(score, eta), -1, toward), (process.reverse(score, eta), 1, -toward)):
            torch.testing.assert_close(eq.drift(t, x), f - (1 + sign * eta**2) / 2 * g2 * s, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(eq.g(t, x), eta * process.diffusion(t), rtol=1e-14, atol=0)
            assert (eq.kind, eq.direction, eq.a) == (Noise.ADDITIVE, way, 0.0)
    flow = process.probability_flow(score)
    assert (flow.g, flow.direction, flow.kind) == (None, None, Noise.NONE)
    for other in (process.reverse(score, 0.0), process.noising(score, 0.0), process.probability_flow(G3)):
        torch.testing.assert_close(other.drift(t, x), flow.drift(t, x), rtol=1e-13, atol=1e-13)


@every
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_splits_are_one_drift(process, eta):
    """X0, EPS and (at eta 0) FLOW split one and the same equation, that of `Process.reverse`; `a` is the constant of
    its part."""
    for where in (0.02, 0.4, 0.98):
        t, x = probe(process, where)
        want = process.reverse(G3, eta)
        for split in Split:
            if split is Split.FLOW and eta > 0:
                continue
            eq = reverse(process, G3, eta, split)
            got, target = eq.drift(t, x), want.drift(t, x)
            assert ((got - target).abs() / (target.abs() + process.g2(t).abs() / process.sigma(t))).max() < 1e-11
            assert (eq.direction, eq.kind) == (want.direction, want.kind)
            if eta > 0:
                torch.testing.assert_close(eq.g(t, x), want.g(t, x))


def test_constant_linear_parts():
    """EDM/eps 0, UnitNoise/eps 1, LogSNR/x0 -(1 + eta^2), as published; a chart without a constant keeps all in f."""
    assert reverse(scoresde.EDM(), G3, 0.5, Split.EPS).a == 0.0
    assert reverse(scoresde.UnitNoise(), G3, 0.5, Split.EPS).a == 1.0
    for eta in (0.0, 0.5, 1.0):
        assert reverse(scoresde.LogSNR(), G3, eta, Split.X0).a == -(1 + eta**2)
    assert reverse(VPSDE(), G3, 0.5, Split.X0).a == 0.0


@every
def test_prior(process):
    """N(0, sigma(t)^2): log density against torch's, moments within 5 standard errors, sample i a function of (seed,
    i)."""
    x = process.prior((2000, 3), seed=4, dtype=F64)
    sigma = process.sigma(process.t_noise)
    assert (x.mean() / sigma).abs() < 5 / math.sqrt(6000)
    assert (x.var() / sigma**2 - 1).abs() < 5 * math.sqrt(2 / 6000)
    want = torch.distributions.Normal(torch.tensor(0.0, dtype=F64), sigma).log_prob(x).sum(1)
    torch.testing.assert_close(process.prior_log_prob(x), want, rtol=1e-12, atol=1e-12)
    middle = 0.5 * (process.t_min + process.t_max)
    torch.testing.assert_close(
        process.prior((4, 3), middle, seed=4, dtype=F64) / process.sigma(middle), x[:4] / sigma, rtol=1e-13, atol=0
    )
    assert torch.equal(process.prior((7, 3), seed=4, first=20, dtype=F64), x[20:27])
    assert process.prior((2, 3)).dtype == torch.get_default_dtype()


@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE(), VESDE()], ids=repr)
def test_forward_reaches_the_kernel(process):
    """Euler-Maruyama on forward() from fixed x0 has the kernel's mean and variance up to O(h): exact law, no
    samples."""
    errors = []
    for n in (100, 200):
        grid = torch.linspace(process.t_min, process.t_max, n + 1, dtype=F64)
        ratio = process.alpha(process.t_max) / process.alpha(process.t_min)
        mean, cov = exact_law(process.forward(), EulerMaruyama(), grid, G3_MEAN, torch.zeros(3, 3, dtype=F64))
        variance = process.sigma(process.t_max) ** 2 - (ratio * process.sigma(process.t_min)) ** 2
        errors.append(torch.cat([(mean - ratio * G3_MEAN) / G3_MEAN, cov.diagonal() / variance - 1]).abs().max().item())
    assert errors[1] < 0.05
    assert 1.7 < errors[0] / errors[1] < 2.3


def test_per_sample_condition_survives_dropping():
    """reverse(..., cond) offers `select`: an adaptive solve may drop finished samples and their conditions with
    them."""
    eq = reverse(VPSDE(), G3, cond=torch.arange(4))
    assert eq.select is not None
    assert reverse(VPSDE(), G3).select is None
    assert eq.select(torch.tensor([2])).select is not None


def test_equations_run_in_their_direction_only():
    """A reverse SDE run toward noise is refused with the name of the argument; its ODE runs either way."""
    process, y0 = VPSDE(), torch.zeros(2, 3, dtype=F64)
    up, down = torch.linspace(0.1, 1, 5, dtype=F64), torch.linspace(1, 0.1, 5, dtype=F64)
    with pytest.raises(ValueError, match="`steps` must be decreasing"):
        solve(process.reverse(G3, 1.0), y0, EulerMaruyama(), up, SeededNoise(0))
    with pytest.raises(ValueError, match="`steps` must be increasing"):
        solve(process.forward(), y0, EulerMaruyama(), down, SeededNoise(0))
    for grid in (up, down):
        assert solve(process.probability_flow(G3), y0, Euler(), grid).ok.all()


def test_two_functions_make_the_process_of_their_closed_forms():
    """Rates and inverse of VPSDE from its alpha and sigma alone; samples along it are those along VPSDE."""
    want, got = VPSDE(), CustomProcess(VPSDE().alpha, VPSDE().sigma)
    t = torch.linspace(1e-3, 1, 50, dtype=F64)
    for name in ("beta", "g2", "diffusion", "alpha_rate", "sigma_rate"):
        torch.testing.assert_close(getattr(got, name)(t), getattr(want, name)(t), rtol=1e-10, atol=0)
    assert (got.time(want.lam(t)) - t).abs().max() < 1e-12
    assert (got.t_noise, got.t_data, got.t_min, got.t_max) == (1.0, 1e-3, 1e-3, 1.0)
    methods = [scoresde.Method(p, Split.EPS, Euler(), scoresde.samplers.grids.UniformTime(p), 8) for p in (want, got)]
    one, other = (scoresde.sample(G3, (4, 3), m, dtype=F64) for m in methods)
    assert (one - other).abs().max() < 1e-10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"signal": 3}, "`signal`"),
        ({"signal": lambda t: 1.0}, "`signal`"),
        ({"signal": lambda t: 0.5 - t}, "`signal`"),
        ({"signal": lambda t: (t - 1) ** 2 / (t - 1)}, "`signal`"),
        ({"noise": lambda t: t - 1e-3}, "`noise`"),
        ({"noise": lambda t: t, "signal": lambda t: t}, "`t_noise`"),
        ({"t_noise": 1e-3}, "`t_noise`"),
        ({"t_data": "0"}, "`t_data`"),
    ],
)
def test_bad_functions_are_named(change, said):
    with pytest.raises((TypeError, ValueError), match=said):
        CustomProcess(**{"signal": lambda t: 1 - t, "noise": lambda t: t, **change})


def test_an_own_process_refuses_levels_beyond_it():
    """Its functions are known on their range alone: nothing is extrapolated."""
    process = CustomProcess(lambda t: torch.ones_like(t), lambda t: t, t_noise=80.0, t_data=0.002)
    assert float(process.time(-math.log(80.0))) == 80.0
    for lam in (-5.0, 6.5, math.nan):
        with pytest.raises(ValueError, match="`lam`"):
            process.time(torch.tensor(lam))

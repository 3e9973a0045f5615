"""Samplers of posteriors that are chains or wrappers, against what their formulas say and what must hold of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import posterior_laws, posterior_problems
from scoresde import EDM, VPSDE, Denoiser, catalogue, exact, inverse, sample
from scoresde.inverse.particles import SeenDirections
from scoresde.samplers.ranges import method_levels
from solvers import SeededNoise, SolveError
from solvers.noise import PRIOR as PRIOR_STREAM
from tests.helpers.inverse_problems import LINEAR_FUNCTION, MEASURED, PRIOR, A, Y, measured, normals
from tests.helpers.problems import F64

WHITE = exact.Gaussian(torch.zeros(3, dtype=F64), 4.0)
EYE = inverse.Measurement(inverse.Matrix(torch.eye(3, dtype=F64)), torch.tensor([1.0, -2.0, 0.5], dtype=F64), 0.02)
DDIM = replace(catalogue.ddim(40), process=EDM())
IMAGES = exact.Gaussian(torch.zeros(16, dtype=F64), 1.0, VPSDE())
METHODS: dict[str, Any] = {
    "ddrm": lambda d, m, n, shape=(3,): inverse.ddrm(d, m, (n, *shape), DDIM),
    "daps": lambda d, m, n, shape=(3,): inverse.daps(d, m, (n, *shape), DDIM, catalogue.ddim(4)),
    "diffpir": lambda d, m, n, shape=(3,): sample(inverse.diffpir(d, m), (n, *shape), DDIM),
    "replacement": lambda d, m, n, shape=(3,): sample(d, (n, *shape), replace(DDIM, wrap=(inverse.Replacement(m),))),
    "repaint": lambda d, m, n, shape=(3,): sample(d, (n, *shape), replace(DDIM, wrap=(inverse.RePaint(m, 2, 3),))),
    "mcgdiff": lambda d, m, n, shape=(3,): inverse.mcgdiff(d, m, (n, *shape), DDIM, particles=max(n, 64)).x,
}


@pytest.mark.parametrize("name", METHODS)
def test_a_whole_and_precise_measurement_is_the_answer(name: str) -> None:
    """To some of the last noise levels, which some methods leave in."""
    x = METHODS[name](PRIOR, EYE, 5)
    torch.testing.assert_close(x, EYE.y.expand(5, 3), rtol=0, atol=0.3)


@pytest.mark.parametrize("name", METHODS)
def test_samples_are_a_function_of_the_seed_and_keep_dtype(name: str) -> None:
    x = METHODS[name](PRIOR, MEASURED, 4)
    assert torch.equal(x, METHODS[name](PRIOR, MEASURED, 4))
    assert x.dtype == F64
    assert x.shape == (4, 3)


@pytest.mark.parametrize("name", ["ddrm", "daps", "diffpir", "mcgdiff"])
def test_without_noise_the_samples_explain_the_measurement(name: str) -> None:
    """Linear ones: exactly for ddrm and daps, to the last level for those that leave x noisy there."""
    x = METHODS[name](PRIOR, measured(std=0.0), 6)
    exactly = name in ("ddrm", "daps")
    torch.testing.assert_close(x @ A.T, Y.expand(6, 2), rtol=0, atol=1e-9 if exactly else 0.1)


def test_ddrm_is_its_recursion() -> None:
    """Written out in the coordinates of a singular value decomposition, direction by direction."""
    eta, eta_b, std = 0.6, 0.9, MEASURED.std
    u, a, v = torch.linalg.svd(A)
    t = torch.cat((std / a, torch.tensor([torch.inf], dtype=F64)))
    ybar = torch.cat(((Y @ u) / a, torch.zeros(1, dtype=F64)))
    levels = [*torch.exp(-method_levels(PRIOR, DDIM)).tolist(), 0.0]
    z = SeededNoise(5).normal(PRIOR_STREAM, range(len(levels)), (7, 3), F64, "cpu") @ v.T
    h = torch.where(t <= levels[0], ybar + (levels[0] ** 2 - t.clamp(max=levels[0]) ** 2).sqrt() * z[0], 80.0 * z[0])
    h = torch.where(t <= levels[0], h, levels[0] * z[0])

    for k, (s, s_next) in enumerate(itertools.pairwise(levels), 1):
        h0 = PRIOR(h @ v, torch.ones((), dtype=F64), torch.tensor(s, dtype=F64)).x0 @ v.T
        after: list[Tensor] = []
        for i in range(3):
            x, x0, w = h[:, i], h0[:, i], z[k][:, i]
            if t[i] == torch.inf:
                after.append(x0 + (1 - eta**2) ** 0.5 * s_next / s * (x - x0) + eta * s_next * w)
            elif s_next < t[i]:
                after.append(x0 + (1 - eta**2) ** 0.5 * s_next / t[i] * (ybar[i] - x0) + eta * s_next * w)
            else:
                after.append((1 - eta_b) * x0 + eta_b * ybar[i] + (s_next**2 - (t[i] * eta_b) ** 2) ** 0.5 * w)
        h = torch.stack(after, 1)

    found = inverse.ddrm(PRIOR, MEASURED, (7, 3), DDIM, seed=5, eta=eta, eta_b=eta_b)
    torch.testing.assert_close(found, h @ v)


def test_ddrm_is_ddim_where_nothing_is_seen() -> None:
    """Independent coordinates, the first measured: the others are DDIM's own, eta = 0."""
    prior = exact.Gaussian(torch.tensor([0.5, -1, 0.2], dtype=F64), torch.tensor([0.5, 2.0, 1.0], dtype=F64).diag())
    first = inverse.Measurement(inverse.Mask(torch.tensor([1, 0, 0])), torch.tensor([0.3], dtype=F64), 0.1)
    found = inverse.ddrm(prior, first, (5, 3), DDIM, eta=0.0)
    torch.testing.assert_close(found[:, 1:], sample(prior, (5, 3), DDIM)[:, 1:])


def test_diffpir_is_the_nearest_answer() -> None:
    """The minimum, by the normal equations."""
    x, a, s = normals(4, 3), torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    plain = PRIOR(x, a, s).x0
    weight = 2.5 * (0.6 / 0.8) ** 2
    matrix = A.T @ A / 0.09 + weight * torch.eye(3, dtype=F64)
    wanted = torch.linalg.solve(matrix, (Y @ A / 0.09 + weight * plain).T).T
    torch.testing.assert_close(inverse.diffpir(PRIOR, MEASURED, 2.5)(x, a, s).x0, wanted)


@pytest.mark.parametrize("operator", [MEASURED.operator, LINEAR_FUNCTION.operator], ids=["exact", "langevin"])
def test_a_draw_of_daps_has_its_law(operator: inverse.Operator) -> None:
    """At one level s of N(0, c^2): xhat = g x, then a draw whose mean and covariance are known.

    20 000 draws: standard errors of a mean are below 0.01, of a covariance entry below 0.02. Allowed are six, and twice
    that for Langevin steps of a tenth."""
    s, c, n, noise = 2.0, 2.0, 20_000, 1.0
    measurement = inverse.Measurement(operator, Y, noise)
    one = replace(DDIM, n=1, grid=catalogue.grids.from_list([s], EDM()))
    found = inverse.daps(WHITE, measurement, (n, 3), one, catalogue.ddim(2), data_std=c, rate=0.05, langevin=600)
    r = (c * s) ** 2 / (c**2 + s**2)
    gain = r * A.T @ torch.linalg.inv(r * A @ A.T + noise**2 * torch.eye(2, dtype=F64))
    left = torch.eye(3, dtype=F64) - gain @ A
    before = (c**2 / (c**2 + s**2) * s) ** 2 + r
    wanted = before * left @ left.T + noise**2 * gain @ gain.T
    allowed = 1 if operator.linear else 2
    assert float((found.mean(0) - gain @ Y).abs().max()) < 0.06 * allowed
    assert float((found.T.cov() - wanted).abs().max()) < 0.12 * allowed


def test_repaint_once_is_replacement_and_calls_are_counted() -> None:
    asked: list[int] = []

    class Counted(exact.Gaussian):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            asked.append(1)
            return super().forward(*args, **kwargs)

    prior = Counted(torch.zeros(3, dtype=F64), 1.0)
    once = replace(DDIM, wrap=(inverse.RePaint(MEASURED, 3, 1),))
    plain = replace(DDIM, wrap=(inverse.Replacement(MEASURED),))
    assert torch.equal(sample(prior, (2, 3), once), sample(prior, (2, 3), plain))

    for jump in (1, 3, 5):
        asked.clear()
        method = replace(DDIM, wrap=(inverse.RePaint(MEASURED, jump, 4),))
        sample(prior, (2, 3), method)
        assert len(asked) == method.calls


def test_repaint_does_not_forget_a_rough_measurement() -> None:
    """Of N(0, 4) seen as 3 with noise 0.3, the posterior is N(2.93, 0.295^2).

    Going up and down below that noise widens it to 0.64 where nothing holds it. Allowed are 0.5, and 0.2 about the
    mean."""
    seen = inverse.Measurement(inverse.Mask(torch.tensor([1, 0, 0])), torch.tensor([3.0], dtype=F64), 0.3)
    x = sample(WHITE, (400, 3), replace(DDIM, wrap=(inverse.RePaint(seen, 2, 10),)))[:, 0]
    assert float(x.mean()) == pytest.approx(2.93, abs=0.2)
    assert float(x.std()) < 0.5


def test_replacement_leaves_the_measured_entries_at_their_level() -> None:
    """Of a noiseless mask: alpha y + sigma z, whatever the model says."""
    mask = inverse.Measurement(inverse.Mask(torch.tensor([1, 0, 1])), torch.tensor([9.0, -7.0], dtype=F64), 0.0)
    method = replace(DDIM, wrap=(inverse.Replacement(mask),))
    x = sample(PRIOR, (50, 3), method, denoise=False)
    last = torch.exp(-method_levels(PRIOR, method))[-1]
    assert bool(((x[:, [0, 2]] - mask.y).abs() < 7 * last).all())


@pytest.mark.parametrize("std", [0.3, 0.0])
def test_mcgdiff_samples_the_posterior_of_a_gaussian(std: float) -> None:
    """Mean within 6 standard errors of an effective 1000 draws and the chain's error of 400 levels, 0.05."""
    measurement = measured(std=std)
    posterior = exact.posterior(PRIOR, measured(std=max(std, 1e-6)))
    found = inverse.mcgdiff(PRIOR, measurement, (4000, 3), catalogue.ddpm(400), particles=4000)
    mean = posterior.means[0]
    cov = posterior.covariances()[0]
    allowed = 6 * (cov.diag().clamp(min=0) / 1000).sqrt() + 0.05
    assert float(found.ess.min()) > 1000
    assert bool(((found.x.mean(0) - mean).abs() < allowed).all())
    assert bool(((found.x.T.cov() - cov).abs() < 0.15 * cov.diag().max() + 1e-3).all())


def test_a_law_by_impulses_is_that_of_samples() -> None:
    """DDRM on a Gaussian series: 10 000 samples, 6 standard errors."""
    problem = posterior_problems.series(0.3, 0, 8)
    draw = posterior_laws.AFFINE["ddrm"]
    mean, cov = posterior_laws.law(draw, problem, 10)
    x = draw(problem.prior, problem.measurement, (10_000, 8), 10)
    deviation = cov.diag().sqrt()
    assert bool(((x.mean(0) - mean).abs() < 6 * deviation / 100).all())
    assert float(((x.T.cov() - cov).abs() / deviation.outer(deviation)).max()) < 6 * 2**0.5 / 100


@pytest.mark.parametrize("name", METHODS)
def test_images_are_measured_as_they_are(name: str) -> None:
    """A mask of the shape of an image, without a word on that shape elsewhere."""
    mask = torch.ones(1, 4, 4)
    mask[:, 2:] = 0
    y = torch.linspace(-1, 1, 8, dtype=F64)
    measurement = inverse.Measurement(inverse.Mask(mask), y, 0.05)
    x = METHODS[name](IMAGES, measurement, 3, (1, 4, 4))
    assert x.shape == (3, 1, 4, 4)
    assert bool((x[:, 0, :2].flatten(1) - y).abs().max() < 0.5)


@pytest.mark.parametrize("name", METHODS)
def test_a_network_of_nan_is_told(name: str) -> None:
    broken = Denoiser(lambda x, t: x * torch.nan, VPSDE())
    with pytest.raises((ValueError, SolveError), match=r"finite|NaN"):
        METHODS[name](broken, MEASURED, 4)


def test_langevin_steps_that_run_away_are_told() -> None:
    with pytest.raises(ValueError, match="`rate` must be smaller"):
        inverse.daps(PRIOR, LINEAR_FUNCTION, (4, 3), DDIM, catalogue.ddim(2), rate=50.0, langevin=400)


def directions(std: float) -> SeenDirections:
    """The twist of MCGDiff on three levels, of a measurement of the first two coordinates."""
    measurement = inverse.Measurement(inverse.Mask(torch.tensor([1, 1, 0])), torch.tensor([0.5, -1.0], dtype=F64), std)
    return SeenDirections(torch.tensor([4.0, 1.0, 0.2], dtype=F64), PRIOR, measurement, (3,))


@pytest.mark.parametrize(("std", "reached"), [(0.5, False), (2.0, True)])
def test_a_step_of_mcgdiff_is_a_product_of_normals(std: float, reached: bool) -> None:
    """From 4 to 1: the prior's step times the twist at 1; or, past the level 2, to the value there and on from it."""
    twist = directions(std)
    x = normals(1, 3) * 4
    seen = twist.seen(x, 0, None)
    at = twist.move(seen, x, 1, torch.zeros(1, 3, dtype=F64)).x[0]
    spread = torch.stack([twist.move(seen, x, 1, row[None]).x[0] - at for row in torch.eye(3, dtype=F64)])
    value = torch.tensor([0.5, -1.0], dtype=F64)
    h, h0 = x[0], seen.plain[0]

    if reached:
        mean = value + (1 - 1 / std**2) * (h0[:2] - value)
        variance = torch.tensor(1 - 1 / std**2, dtype=F64)
    else:
        step, twisted = 1 - 1 / 16, 1 - std**2
        mean = (h + step * (h0 - h))[:2] / step + value / twisted
        variance = torch.tensor(1 / (1 / step + 1 / twisted), dtype=F64)
        mean = mean * variance

    torch.testing.assert_close(at[:2], mean)
    torch.testing.assert_close(at[2], (h + (1 - 1 / 16) * (h0 - h))[2])
    wanted = torch.stack((variance, variance, torch.tensor(1 - 1 / 16, dtype=F64))).sqrt().diag()
    torch.testing.assert_close(spread, wanted)


def test_the_end_of_mcgdiff_is_the_measurement_where_no_level_was() -> None:
    """Of directions that the last level, 0.2, has not reached, in place of the twist there; of others nothing more."""
    x = normals(5, 3)
    value = torch.tensor([0.5, -1.0], dtype=F64)
    for std, weight in ((0.05, 1.0), (0.5, 0.0)):
        twist = directions(std)
        seen = twist.seen(x, 2, None)
        exact_log = torch.distributions.Normal(seen.plain[:, :2], std).log_prob(value).sum(1)
        twist_log = torch.distributions.Normal(x[:, :2], abs(0.04 - std**2) ** 0.5).log_prob(value).sum(1)
        torch.testing.assert_close(twist.end(seen), weight * (exact_log - twist_log))

    none = directions(0.0)
    assert torch.equal(none.end(none.seen(x, 2, None)), torch.zeros(5, dtype=F64))


BAD: dict[str, tuple[Any, str]] = {
    "ddrm of a function": (lambda: inverse.ddrm(PRIOR, LINEAR_FUNCTION, (2, 3), DDIM), "`measurement` must have a lin"),
    "eta": (lambda: inverse.ddrm(PRIOR, MEASURED, (2, 3), DDIM, eta=1.5), "`eta` must"),
    "eta_b": (lambda: inverse.ddrm(PRIOR, MEASURED, (2, 3), DDIM, eta_b=-1), "`eta_b` must"),
    "ddrm's method": (lambda: inverse.ddrm(PRIOR, MEASURED, (2, 3), "ddim"), "`method` must be"),  # type: ignore
    "adaptive": (lambda: inverse.ddrm(PRIOR, MEASURED, (2, 3), catalogue.probability_flow()), "`method` must have a f"),
    "first": (lambda: inverse.ddrm(PRIOR, MEASURED, (2, 3), DDIM, first=-1), "`first` must"),
    "inner": (lambda: inverse.daps(PRIOR, MEASURED, (2, 3), DDIM, catalogue.ddpm(3)), "`inner` must"),
    "daps's measurement": (lambda: inverse.daps(PRIOR, Y, (2, 3), DDIM, DDIM), "`measurement` must be"),  # type: ignore
    "daps's std": (
        lambda: inverse.daps(
            PRIOR, inverse.Measurement(LINEAR_FUNCTION.operator, Y, 0.0), (2, 3), DDIM, catalogue.ddim(2)
        ),
        "`measurement` must have a std",
    ),
    "rate": (lambda: inverse.daps(PRIOR, MEASURED, (2, 3), DDIM, catalogue.ddim(2), rate=0), "`rate` must"),
    "lam": (lambda: inverse.diffpir(PRIOR, MEASURED, 0.0), "`lam` must"),
    "diffpir of a function": (lambda: inverse.diffpir(PRIOR, LINEAR_FUNCTION), "`measurement` must have a linear"),
    "replacement of a function": (lambda: inverse.Replacement(LINEAR_FUNCTION), "`measurement` must have a linear"),
    "jump": (lambda: inverse.RePaint(MEASURED, 0), "`jump` must"),
    "resamplings": (lambda: inverse.RePaint(MEASURED, 1, 0), "`resamplings` must"),
    "mcgdiff of a function": (
        lambda: inverse.mcgdiff(PRIOR, LINEAR_FUNCTION, (2, 3), DDIM),
        "`measurement` must have a linear",
    ),
    "mcgdiff's y": (
        lambda: inverse.mcgdiff(PRIOR, measured(y=torch.zeros(5, dtype=F64)), (2, 3), DDIM),
        "`y` must have the shape",
    ),
    "y": (
        lambda: inverse.ddrm(PRIOR, measured(y=torch.zeros(5, dtype=F64)), (2, 3), DDIM),
        "`y` must have the shape",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        call()

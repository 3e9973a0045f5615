"""Exact laws of affine methods, against closed forms and against samples; the rows and panels that carry them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from scoresde import grids
from scoresde.compare import figures, problems, runner
from scoresde.compare.competitors import entry
from scoresde.evaluation.affine_laws import Affine, NotAffine, affine, w2
from scoresde.evaluation.judge import frechet_gaussian
from solvers import SeededNoise

F64 = torch.float64
CASE = replace(problems.gaussian3(), n=8, judged=60)
MEAN, COV = CASE.denoiser.law()
VALUES, BASIS = CASE.denoiser.values, CASE.denoiser.basis
START = torch.zeros(3, dtype=F64), CASE.high**2 * torch.eye(3, dtype=F64)


def maps(name: str, calls: int) -> Affine:
    """Of a method on a budget."""
    solve = entry(name).bind(calls)
    assert solve is not None
    return affine(lambda x, noise: solve(CASE, x, noise), 3, CASE.high)


def sigmas(grid: grids.Grid, steps: int) -> Tensor:
    return torch.exp(-grid(steps + 1, -math.log(CASE.high), -math.log(CASE.low)))


def turned(law: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """In the eigenbasis of the data."""
    return law[0] @ BASIS, BASIS.T @ law[1] @ BASIS


def test_reverse_diffusion_is_its_recursion() -> None:
    """Euler-Maruyama in the variance, along each eigenvector: x1 = x + h score + sqrt(h) z, h = s0^2 - s1^2, score =
    -(x - m)/(v + s0^2)."""
    s = sigmas(grids.uniform_lambda, 20)
    gap, variance = -MEAN @ BASIS, torch.full((3,), CASE.high**2, dtype=F64)
    for s0, s1 in pairwise(s):
        h = s0**2 - s1**2
        keep = 1 - h / (VALUES + s0**2)
        gap, variance = keep * gap, keep**2 * variance + h
    mean, cov = turned(maps("reverse_diffusion", 20).law(*START))
    assert (mean - (MEAN @ BASIS + gap)).abs().max() < 1e-10
    assert (cov - variance.diag()).abs().max() < 1e-10


def test_ddim_is_a_product_of_cosines() -> None:
    """A step multiplies x - m by (v + s0 s1)/(v + s0^2): cos(th0 - th1) cos(th0)/cos(th1) at the angles th =
    atan(s/sqrt v)."""
    angle = torch.atan(sigmas(grids.uniform_time, 15)[:, None] / VALUES.sqrt())
    factor = angle.diff(dim=0).cos().prod(0) * angle[0].cos() / angle[-1].cos()
    found = maps("ddim", 15)
    assert not found.c
    assert (BASIS.T @ found.a @ BASIS - factor.diag()).abs().max() < 1e-12
    assert (found.b @ BASIS - (1 - factor) * (MEAN @ BASIS)).abs().max() < 1e-10


@pytest.mark.parametrize("name", ["ddpm", "sra1", "edm_stochastic", "restart", "annealed_langevin"])
def test_samples_have_the_law(name: str) -> None:
    """20 000 samples of a fixed seed: every mean and covariance within 6 standard errors, sqrt(C_ii/n) and
    sqrt((C_ij^2 + C_ii C_jj)/n).

    Nine numbers a method: chance below 1e-7."""
    n, solve = 20_000, entry(name).bind(24)
    assert solve is not None
    mean, cov = maps(name, 24).law(*START)
    y = solve(CASE, CASE.start(3, n), SeededNoise(4))
    scale = cov.diagonal()
    assert ((y.mean(0) - mean).abs() < 6 * (scale / n).sqrt()).all()
    assert ((y.T.cov() - cov).abs() < 6 * ((cov**2 + scale[:, None] * scale) / n).sqrt()).all()


def test_every_draw_is_seen_once() -> None:
    """A plain move of wrappers, an increment and an area each have their own column; asking again gives the same."""

    def run(x: Tensor, noise: SeededNoise) -> Tensor:
        times = torch.tensor([0.0, 4.0], dtype=F64)
        path = noise.on(times, x)
        dw, area = path.levy(*times)
        return 2 * x + 1 + dw + path(*times) + 3 * area + 5 * noise.draw(3, 0, x)

    found = affine(run, 2, scale=7.0)
    assert torch.equal(found.a, 2 * torch.eye(2, dtype=F64))
    assert [c[0, 0].item() for c in found.c.values()] == pytest.approx([2 * 2, 3 * math.sqrt(4 / 12), 5])
    variance = found.law(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))[1]
    torch.testing.assert_close(variance, (4 + 16 + 3 + 25) * torch.eye(2, dtype=F64))


def test_what_is_not_affine_is_refused() -> None:
    """A square, a cube, a limit, a product of state and noise, and Langevin moves scaled by norms."""
    for run in (
        lambda x, noise: x**2,
        lambda x, noise: x**3,
        lambda x, noise: x.clamp(-1, 1),
        lambda x, noise: x * noise.draw(3, 0, x),
    ):
        with pytest.raises(NotAffine, match="`run` must be affine"):
            affine(run, 2)
    with pytest.raises(NotAffine):
        maps("predictor_corrector", 11)


def test_w2_keeps_its_digits() -> None:
    """Far apart it is the root of the Frechet distance; of nearly equal covariances, which cancel there, the closed
    form."""
    other = MEAN + 0.3, torch.linalg.inv(COV) + 0.2
    assert w2((MEAN, COV), other) == pytest.approx(math.sqrt(frechet_gaussian(MEAN, COV, *other)), rel=1e-12)
    assert w2((MEAN, COV), other) == pytest.approx(w2(other, (MEAN, COV)), rel=1e-12)
    assert w2((MEAN, COV), (MEAN, COV * (1 + 1e-9) ** 2)) == pytest.approx(1e-9 * COV.trace().sqrt().item(), rel=1e-5)
    flat = torch.diag(torch.tensor([1.0, 0.0, 0.0], dtype=F64))
    assert w2((MEAN, flat), (MEAN, 4 * flat)) == pytest.approx(1.0)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch):
    """Rows on the case of this file."""
    monkeypatch.setattr(
        problems,
        "all_problems",
        lambda: {"gaussian3": lambda: CASE, "mixture1d": lambda: replace(problems.mixture1d(), n=8)},
    )
    cached = (runner.problem, runner.reference, runner.floor)
    for each in cached:
        each.cache_clear()
    yield
    for each in cached:
        each.cache_clear()


@pytest.mark.usefixtures("_small")
def test_rows_say_whether_their_law_is_exact() -> None:
    """Ours of either kind and deterministic peers on a budget; not adaptive steps, moves by norms, a peer's own noise;
    no word where data are no Gaussian."""
    methods = {
        "ddpm": 6,
        "ddim": 6,
        "diffusers:dpmpp_2m": 6,
        "predictor_corrector": 5,
        "diffusers:ddim_eta1": 6,
        "probability_flow": 1e-2,
    }
    rows = {name: runner.measure(runner.Task("gaussian3", name, cost, 0)) for name, cost in methods.items()}
    assert {name: row["law"] for name, row in rows.items()} == {
        "ddpm": "exact",
        "ddim": "exact",
        "diffusers:dpmpp_2m": "exact",
        "predictor_corrector": "sampled",
        "diffusers:ddim_eta1": "sampled",
        "probability_flow": "sampled",
    }
    law = maps("ddpm", 6).law(*START)
    assert rows["ddpm"]["w2"] == pytest.approx(w2(law, (MEAN, COV + CASE.low**2 * torch.eye(3, dtype=F64))), rel=1e-12)
    assert "law" not in runner.measure(runner.Task("mixture1d", "ddim", 6, 0))
    *_, panel = figures.panels(rows.values())
    assert panel.metric == figures.EXACT
    assert "own law" in panel.meaning
    assert {c.method: c.points[0].error for c in panel.curves} == {
        name: pytest.approx(row["w2"]) for name, row in rows.items() if "w2" in row
    }
    assert all(p.low == pytest.approx(p.high) for c in panel.curves for p in c.points)


def test_more_steps_bring_the_law_nearer() -> None:
    """The SA-Solver at 20, 80 and 320 calls: W2 falls at least by half each time, far below what samples could tell."""
    end = MEAN, COV + CASE.low**2 * torch.eye(3, dtype=F64)
    errors = [w2(maps("sa_solver", n).law(*START), end) for n in (20, 80, 320)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]

"""Shared problems: their closed forms and their converged references agree, and say how well they are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scoresde import EDM, catalogue, sampling
from scoresde.compare import problems

F64 = torch.float64
EVERY = problems.all_problems()


@pytest.mark.parametrize("name", ["gaussian3", "mixture1d"])
def test_a_closed_form_is_where_the_flow_goes(name: str) -> None:
    """The map against an adaptive solve at 1e-11."""
    known = replace(EVERY[name](), n=16)
    answer, error = known.reference()
    solved, _ = replace(known, flow=None).reference()
    assert error == 0.0
    assert (answer - solved).abs().max() < 1e-8


@pytest.mark.parametrize(
    "name", ["gmm2d", *(pytest.param(name, marks=pytest.mark.slow) for name in ("digits", "patches", "mixture3072"))]
)
def test_a_solved_reference_knows_its_error(name: str) -> None:
    """Eight starts: the stated error is tiny, and another solver, another chart, lands within it (a factor 100 for
    luck)."""
    problem = replace(EVERY[name](), n=8, tolerance=1e-10)
    answer, error = problem.reference()
    other = sampling.transport(
        problem.denoiser, problem.start(), catalogue.probability_flow(1e-10, process=EDM()), EDM(), 80.0, 0.002
    ).y
    assert 0 < error < 1e-6
    assert problems.rms(answer - other) < 100 * error + 1e-8


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_problem_is_what_it_says(name: str) -> None:
    """Shapes, seeds, exact draws whose denoiser shrinks nothing at the lowest level."""
    problem = replace(EVERY[name](), n=4)
    assert problem.name == name
    x = problem.start(1)
    assert x.shape == (4, *problem.shape)
    assert torch.equal(x, problem.start(1))
    assert not torch.equal(x, problem.start(2))
    assert problem.draw is not None
    data = problem.draw(5, 0)
    assert data.shape == (5, *problem.shape)
    at = problem.denoiser(data, torch.tensor(1.0, dtype=F64), torch.tensor(problem.low, dtype=F64))
    assert (at.x0 - data).abs().max() < 0.01


def test_a_low_rank_mixture_is_the_full_one() -> None:
    """In three dimensions, the denoiser of a Gaussian in a plane and thin outside it is that of the whole Gaussian."""
    basis = torch.linalg.qr(torch.arange(9.0, dtype=F64).reshape(3, 3).cos())[0]
    inside = problems.Gaussian(torch.zeros(2, dtype=F64), torch.tensor([1.0, 0.3], dtype=F64))
    whole = problems.Gaussian(
        torch.zeros(3, dtype=F64), basis @ torch.diag(torch.tensor([1.0, 0.3, 0.2**2], dtype=F64)) @ basis.T
    )
    thin = problems.LowRank(basis[:, :2].contiguous(), inside, 0.2)
    x, alpha, sigma = problems.gaussian3().start()[:8], torch.tensor(0.6, dtype=F64), torch.tensor(0.9, dtype=F64)
    assert (thin(x, alpha, sigma).x0 - whole(x, alpha, sigma).x0).abs().max() < 1e-12
    assert (thin(x, alpha, sigma).eps - whole(x, alpha, sigma).eps).abs().max() < 1e-12

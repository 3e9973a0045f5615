"""Brownian paths that are asked more than one interval: a pure function of (seed, sample, s, t) that adds up like W
does."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from solvers import SRA1, BrownianTree, Equation, EulerMaruyama, GridPath, Noise, solve
from tests.helpers.problems import F64

TIMES = torch.tensor([0.0, 0.11, 0.5, 0.7, 0.75, 1.0], dtype=F64) * 3 - 1


def tree(batch: int = 4, first: int = 0, dtype: torch.dtype = F64, shape: tuple[int, ...] = (2,)) -> BrownianTree:
    return BrownianTree(torch.zeros(batch, *shape, dtype=dtype), -1.0, 2.0, 5, first)


def fixed(batch: int = 4) -> GridPath:
    return GridPath(torch.zeros(batch, 2, dtype=F64), TIMES, torch.Generator().manual_seed(0))


def integral(path, s: Tensor, t: Tensor) -> Tensor:
    """int_s^t (W_u - W_s) du = h (dW/2 + H)."""
    dw, area = path.levy(s, t)
    return (t - s) * (0.5 * dw + area)


@pytest.mark.parametrize("make", [tree, fixed])
def test_increments_and_integrals_add_up(make):
    """W(s,u) = W(s,t) + W(t,u), and the time integrals likewise, to 1e-12."""
    path = make()
    for s, t, u in itertools.combinations(TIMES, 3):
        assert (path(s, t) + path(t, u) - path(s, u)).abs().max() < 1e-12
        whole = integral(path, s, t) + (u - t) * path(s, t) + integral(path, t, u)
        assert (whole - integral(path, s, u)).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_tree_is_a_pure_function(dtype, device):
    """Bit-equal whatever was asked before, in whatever batch, with one time for all or one for each."""
    y = torch.zeros(6, 3, dtype=dtype, device=device)
    whole = BrownianTree(y, -1.0, 2.0, 5)
    pairs = list(itertools.pairwise(TIMES))
    want = [whole.levy(*p) for p in pairs]
    for k in (3, 0, 4, 1, 2, 3):
        assert all(torch.equal(a, b) for a, b in zip(whole.levy(*pairs[k]), want[k], strict=True))
    part = BrownianTree(y[2:4], -1.0, 2.0, 5, first=2)
    assert torch.equal(part(*pairs[1]), want[1][0][2:4])
    rows = whole.take(torch.tensor([5, 1], device=device))
    assert torch.equal(rows(*pairs[2]), want[2][0][[5, 1]])
    assert torch.equal(rows.take(torch.tensor([1], device=device))(*pairs[2]), want[2][0][[1]])
    s, t = (
        torch.stack([p[0] for p in pairs[:3]] * 2).reshape(6, 1).to(device),
        torch.stack([p[1] for p in pairs[:3]] * 2).reshape(6, 1).to(device),
    )
    each = whole(s, t)
    for i in range(6):
        assert torch.equal(each[i], want[i % 3][0][i])


def test_direction_of_the_range():
    """A tree over a falling range answers like one over a rising one: its sign follows the question, not the range."""
    down = BrownianTree(torch.zeros(2000, 1, dtype=F64), 1.0, 0.0, 3)
    s, t = torch.tensor(0.9, dtype=F64), torch.tensor(0.2, dtype=F64)
    assert torch.equal(down(s, t), -down(t, s))
    assert abs(down(s, t).var() / 0.7 - 1) < 5 * math.sqrt(2 / 2000)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.2, 0.3), (0.123456, 0.654321), (1.0 / 3, 1.0 / 3 + 1e-4)])
def test_law_of_a_tree(ends):
    """dW ~ N(0, h), H ~ N(0, h/12) independent, Cov(W, int W) = h^2/2, at aligned and odd times: 40 000
    draws, Kolmogorov-Smirnov p > 1e-7, correlation within 5.2 standard errors."""
    path = BrownianTree(torch.zeros(20_000, 2, dtype=F64), 0.0, 1.0, 11)
    s, t = (torch.tensor(x, dtype=F64) for x in ends)
    h = (t - s).item()
    dw, area = (x.flatten() for x in path.levy(s, t))
    assert stats.kstest((dw / h**0.5).numpy(), "norm").pvalue > 1e-7
    assert stats.kstest((area * (12 / h) ** 0.5).numpy(), "norm").pvalue > 1e-7
    assert abs((dw * area).mean() / (h / 12**0.5)) < 5.2 / 200


def test_law_of_a_bridge():
    """Given W at both ends the middle is N(mean, h/4) by linear interpolation and independent of them (20 000
    draws)."""
    path = BrownianTree(torch.zeros(10_000, 2, dtype=F64), 0.0, 1.0, 12)
    a, m, b = (torch.tensor(x, dtype=F64) for x in (0.3, 0.37, 0.9))
    first, whole = path(a, m).flatten(), path(a, b).flatten()
    rest = first - whole * ((m - a) / (b - a))
    std = math.sqrt(0.07 * 0.53 / 0.6)
    assert stats.kstest((rest / std).numpy(), "norm").pvalue > 1e-7
    assert abs((rest * whole).mean() / (std * 0.6**0.5)) < 5.2 / math.sqrt(20_000)


def test_the_test_of_law_can_fail():
    """A bridge of the wrong variance is found out."""
    path = BrownianTree(torch.zeros(10_000, 2, dtype=F64), 0.0, 1.0, 12)
    a, m, b = (torch.tensor(x, dtype=F64) for x in (0.3, 0.37, 0.9))
    rest = (path(a, m) - path(a, b) * (0.07 / 0.6)).flatten()
    assert stats.kstest((rest / math.sqrt(0.07)).numpy(), "norm").pvalue < 1e-5


@pytest.mark.parametrize("solver", [EulerMaruyama(), SRA1()], ids=repr)
def test_coarse_and_fine_see_one_path(solver):
    """On one GridPath or tree a finer grid gets closer to the finest one, at strong order .7-1.2 and
    1.2-1.9."""
    eq = Equation(lambda t, y: torch.sin(2 * y), lambda t, y: 0.5 * torch.ones_like(y), noise=Noise.ADDITIVE)
    y0 = torch.linspace(-1, 1, 200, dtype=F64)[:, None]
    fine = torch.linspace(0, 1, 513, dtype=F64)
    for path in (GridPath(y0, fine, torch.Generator().manual_seed(1)), BrownianTree(y0, 0.0, 1.0, 1)):
        end = solve(eq, y0, SRA1(), fine, path).y
        errors = [
            (solve(eq, y0, solver, fine[:: 512 // n].clone(), path).y - end).square().mean().sqrt().item()
            for n in (8, 64)
        ]
        low, high = (0.7, 1.2) if solver == EulerMaruyama() else (1.2, 1.9)
        assert low < math.log(errors[0] / errors[1], 8) < high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tree()(TIMES[0] - 0.1, TIMES[1]), "must lie in the range"),
        (lambda: tree()(TIMES[0], TIMES[-1] + 1e-6), "must lie in the range"),
        (lambda: tree().levy(TIMES[0], torch.tensor(math.nan, dtype=F64)), "must lie in the range"),
        (lambda: fixed()(TIMES[0], TIMES[1] + 1e-9), "must be among the GridPath's"),
        (lambda: tree().on(TIMES, torch.zeros(3, 2, dtype=F64)), "`noise` must be made for the state"),
        (lambda: fixed().on(TIMES, torch.zeros(4, 2)), "`noise` must be made for the state"),
        (lambda: BrownianTree(torch.zeros(2), 1.0, 1.0, 0), "`t1` must differ"),
        (lambda: BrownianTree(torch.zeros(2), 0.0, 1.0, -1), "`seed`"),
    ],
)
def test_what_is_refused(call, message):
    """Queries outside the range, paths for another state, empty ranges, bad seeds."""
    with pytest.raises(ValueError, match=message):
        call()

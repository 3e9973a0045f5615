"""Grids of levels: exact ends, strictly monotone, the spacings of diffusers, a user's list, and a clock measured on a
model."""

from __future__ import annotations

import inspect
import math
import warnings

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from scoresde import (
    EDM,
    VPSDE,
    Angle,
    CosineVP,
    Method,
    RectifiedFlow,
    Split,
    catalogue,
    ddpm,
    exact,
    grids,
    sample,
    sampling,
)
from scoresde.tuning.measured_grid import error_balanced_grid
from solvers import Euler, Heun

F64 = torch.float64
MIX = exact.GaussianMixture(
    torch.tensor([[-1.0, 0.3], [0.8, -0.6], [0.2, 1.1]], dtype=F64), torch.tensor([0.05, 0.2, 0.01], dtype=F64)
)
CHAIN = ddpm.linear(1000)
SPACED = {"leading": grids.Leading, "trailing": grids.Trailing, "linspace": grids.Linspace}
EVERY = [
    grids.uniform_time,
    grids.quadratic,
    grids.uniform_lambda,
    grids.karras,
    grids.cosine,
    grids.InterpolatedGrid((-4.0, -1.0, 3.0)),
    grids.from_list([-3.0, 1.0]),
    *(make(CHAIN) for make in SPACED.values()),
]


def test_every_kind_of_grid_is_here():
    kinds = {
        c
        for c in vars(grids).values()
        if inspect.isclass(c) and issubclass(c, grids.Grid) and not inspect.isabstract(c)
    }
    assert kinds == {type(g) for g in EVERY}


@pytest.mark.parametrize("grid", EVERY, ids=repr)
def test_a_grid_between_given_ends(grid):
    """Strictly rising, both ends exact, N = 1 legal, and the levels evenly spaced in the grid's clock."""
    for n in (1, 2, 3, 20, 1000):
        lam = grid(n, -4.5, 4.4)
        assert (lam.dtype, len(lam), lam[0].item()) == (F64, n, -4.5)
        assert (lam.diff() > 0).all()
        assert n == 1 or lam[-1] == 4.4
    gaps = grid.clock(grid(50, -4.5, 4.4)).diff()
    assert (gaps / gaps.mean() - 1).abs().max() < 1e-6
    with pytest.raises(ValueError, match="`lam_last`"):
        grid(3, 1.0, 1.0)
    assert eval(repr(grid), {**vars(grids), "ddpm": ddpm}) == grid


def test_the_cosine_grid_is_uniform_in_its_time():
    t = torch.linspace(0.9, 0.01, 12, dtype=F64)
    ends = CosineVP().lam(t[[0, -1]])
    assert (grids.cosine(12, float(ends[0]), float(ends[1])) - CosineVP().lam(t)).abs().max() < 1e-10


@pytest.mark.parametrize("spacing", SPACED)
def test_index_spacings_are_those_of_diffusers(spacing):
    """Timesteps equal, integer by integer, for many counts, two chains and offsets; n = 1 included."""
    for total in (1000, 50):
        for n in {1, 2, 3, 7, 10, 13, 20, 49, 50, total // 3, total}:
            for kind in (DDIMScheduler, DDPMScheduler):
                theirs = kind(total, timestep_spacing=spacing)
                theirs.set_timesteps(n)
                assert list(SPACED[spacing](ddpm.linear(total)).steps(n)) == theirs.timesteps.tolist()
    theirs = DDIMScheduler(1000, timestep_spacing="leading", steps_offset=1)
    theirs.set_timesteps(30)
    assert list(grids.Leading(CHAIN, 1).steps(30)) == theirs.timesteps.tolist()


def test_a_fixed_grid_keeps_its_levels_whatever_the_model():
    """`sample` takes them as they are, also one at alpha = 0; a list must be asked for its length."""
    lams = (-3.0, -1.0, 0.5, 4.0)
    grid = grids.from_list(list(lams))
    path = [
        float(lam)
        for lam, _ in sampling.trajectory(
            exact.Gaussian(torch.zeros(2), 1.0, VPSDE()), (2, 2), catalogue.ddim(4, grid=grid)
        )
    ]
    assert path == pytest.approx(lams, abs=1e-14)
    with pytest.raises(ValueError, match=r"`n` must be 4"):
        sample(MIX, (2, 2), catalogue.ddim(5, grid=grid))
    chain = ddpm.zero_terminal_snr(ddpm.linear(100))
    own = grids.Trailing(chain).fixed_levels(10)
    assert own[0] == -math.inf
    assert (chain.time(own) * 100 - torch.arange(100, 0, -10)).abs().max() < 1e-10
    method = Method(RectifiedFlow(), Split.FLOW, Euler(), grids.Trailing(chain), 10)
    assert sample(MIX, (4, 2), method).isfinite().all()
    assert [float(grids.from_list([0.3]).fixed_levels(1)), len(grids.Leading(CHAIN).fixed_levels(1000))] == [0.3, 1000]


def test_a_list_of_times_is_one_of_levels():
    t = [0.9, 0.5, 0.1]
    assert (
        grids.from_list(t, VPSDE())
        == grids.from_list(t[::-1], VPSDE())
        == grids.from_list(torch.tensor(t, dtype=F64), VPSDE())
    )
    assert torch.equal(grids.from_list(t, VPSDE()).fixed_levels(3), VPSDE().lam(torch.tensor(t, dtype=F64)))
    x = MIX.sample(4, 0)
    carried = sampling.transport(
        MIX, x, catalogue.ddim(2, grid=grids.from_list(t, VPSDE())), VPSDE(), 0.9, 0.1, save=True
    )
    assert carried.ts is not None
    assert carried.ts.tolist() == pytest.approx(t, abs=1e-12)


@pytest.mark.parametrize(
    "values", [[], [1.0, 1.0], [0.0, 2.0, 1.0], [0.0, math.inf], ["a"], torch.ones(2, 2)], ids=repr
)
def test_bad_lists_are_named(values):
    with pytest.raises((TypeError, ValueError), match=r"`(values|lams)`"):
        grids.from_list(values)


def test_more_levels_than_the_chain_has_are_refused():
    for make in SPACED.values():
        with pytest.raises(ValueError, match="`n`"):
            make(ddpm.linear(50)).fixed_levels(51)
    with pytest.raises(ValueError, match="`offset`"):
        grids.Leading(ddpm.linear(50), 1).fixed_levels(50)


def test_equal_steps_in_the_measured_clock_err_less():
    """The clock of one adaptive solve of a mixture: over the model's range, the same each time, and second-order steps
    in the same coordinates err less on it than on any of the general grids, at 10 and at 20 steps."""
    model = exact.GaussianMixture(MIX.means, torch.tensor([0.05, 0.2, 0.01], dtype=F64), process=EDM())
    clock = error_balanced_grid(model, (64, 2))
    assert clock == error_balanced_grid(model, (64, 2))
    assert (clock.lams[0], clock.lams[-1], len(clock.lams)) == (
        pytest.approx(-math.log(80)),
        pytest.approx(-math.log(0.002)),
        65,
    )
    z = EDM().prior((256, 2), seed=5, dtype=F64)
    exactly = sampling.transport(model, z, catalogue.probability_flow(1e-10), EDM(), 80.0, 0.002).y

    def error(grid, n):
        method = Method(Angle(), Split.FLOW, Heun(), grid, n)
        return (sampling.transport(model, z, method, EDM(), 80.0, 0.002).y - exactly).square().mean().sqrt().item()

    for n in (10, 20):
        assert error(clock, n) < min(
            error(g, n) for g in (grids.uniform_time, grids.quadratic, grids.uniform_lambda, grids.karras, grids.cosine)
        )


def test_levels_beyond_the_trained_range_are_said_once():
    """A warning where a grid or a transport leaves it; none inside, none where the denoiser names no process."""
    model = exact.Gaussian(torch.zeros(2), 1.0, process=VPSDE())
    x = torch.ones(2, 2)
    for run in (
        lambda: sample(model, (4, 2), catalogue.ddim(3, grid=grids.from_list([-6.0, 0.0, 4.0])), batch=1),
        lambda: sampling.transport(model, x, catalogue.ddim(3), EDM(), 80.0, 0.002),
    ):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("default")
            run()
        assert len(said) == 1
        assert "extrapolates" in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample(model, (4, 2), catalogue.ddim(3))
        sample(MIX, (4, 2), catalogue.ddim(3, grid=grids.from_list([-6.0, 0.0, 9.0])))


def test_a_clock_is_not_measured_where_there_is_no_signal():
    with pytest.raises(ValueError, match="`denoiser`"):
        error_balanced_grid(exact.Gaussian(torch.zeros(2), 1.0, process=RectifiedFlow()), (4, 2))


@pytest.mark.parametrize("levels", [[80.0, 1.0, 0.1], (80.0, 1.0), torch.tensor([80.0, 1.0]), 3, None])
def test_a_list_of_sigmas_is_no_grid(levels):
    """The message names the grid that a list of sigmas makes, which runs."""
    with pytest.raises(TypeError, match=r"`grid` must be a grid .*grids\.from_list\(\[80"):
        catalogue.ddim(3, grid=levels)
    assert grids.from_list([80.0, 1.0, 0.1], EDM()).lams == pytest.approx([-math.log(80.0), 0.0, math.log(10.0)])

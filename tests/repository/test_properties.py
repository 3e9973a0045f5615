"""T-PROP: what holds for any argument, tried on many."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scoresde import EDM, VPSDE, catalogue, exact, sampling
from scoresde.runs.config import Config, DataConfig, NetworkConfig
from scoresde.runs.toml import parse
from scoresde.training import Training
from solvers import RK4, Equation, Euler, EulerMaruyama, ExpEuler, Heun, Noise, SeededNoise, solve

F64 = torch.float64
MEANS = torch.tensor([[1.0, 0.2, -0.4], [-0.7, 0.5, 0.3], [0.1, -1.1, 0.8]], dtype=F64)
many = settings(derandomize=True, max_examples=60, deadline=None)
seeds = st.integers(0, 10_000)
METHODS = [catalogue.ddim(7), catalogue.edm_heun(4), catalogue.dpm_solver_pp_2m(7), catalogue.unipc(7)]


def normal(seed: int, *shape: int) -> torch.Tensor:
    return SeededNoise(seed).normal(0, range(1), shape, F64)[0]


def carry(model, x: torch.Tensor, method) -> torch.Tensor:
    return sampling.transport(model, x, method, EDM(), 40.0, 0.01).y


@many
@given(seed=seeds, method=st.sampled_from(METHODS))
def test_orthogonal_equivariance(seed: int, method) -> None:
    """Turning data and noise turns the samples."""
    q = torch.linalg.qr(normal(seed, 3, 3))[0]
    x = 40 * normal(seed + 1, 4, 3)
    here, there = (
        carry(exact.GaussianMixture(MEANS, 0.05), x, method),
        carry(exact.GaussianMixture(MEANS @ q, 0.05), x @ q, method),
    )
    assert (here @ q - there).abs().max() < 1e-8 * (1 + here.abs().max())


@many
@given(seed=seeds, method=st.sampled_from(METHODS), shift=st.floats(-3, 3))
def test_translation(seed: int, method, shift: float) -> None:
    """In the frame alpha = 1, moving data and start by one vector moves the samples by it."""
    x = 40 * normal(seed, 4, 3)
    here, there = (
        carry(exact.GaussianMixture(MEANS, 0.05), x, method),
        carry(exact.GaussianMixture(MEANS + shift, 0.05), x + shift, method),
    )
    assert (here + shift - there).abs().max() < 1e-7 * (1 + here.abs().max())


@many
@given(seed=seeds, method=st.sampled_from(METHODS), rows=st.permutations(range(6)))
def test_permutation_of_the_batch(seed: int, method, rows: list[int]) -> None:
    x, model = 40 * normal(seed, 6, 3), exact.GaussianMixture(MEANS, 0.05)
    assert torch.equal(carry(model, x, method)[rows], carry(model, x[rows], method))


@many
@given(cut=st.integers(1, 9), solver=st.sampled_from([Euler(), Heun(), RK4(), ExpEuler()]), a=st.floats(-2, 1))
def test_a_solve_is_its_parts_one_after_the_other(cut: int, solver, a: float) -> None:
    times = torch.linspace(0, 1, 11, dtype=F64) ** 1.3
    eq, y = Equation(lambda t, y: torch.cos(y + t), a=a if isinstance(solver, ExpEuler) else 0.0), normal(cut, 3, 2)
    whole = solve(eq, y, solver, times).y
    parts = solve(eq, solve(eq, y, solver, times[: cut + 1]).y, solver, times[cut:]).y
    assert torch.equal(whole, parts)


@many
@given(seed=seeds, u=st.floats(-2, 2), v=st.floats(-2, 2))
def test_euler_maruyama_is_affine_in_its_noise(seed: int, u: float, v: float) -> None:
    """On a linear equation: y(u a + v b) - y(0) = u (y(a) - y(0)) + v (y(b) - y(0))."""
    eq = VPSDE().reverse(exact.Gaussian(torch.zeros(2, dtype=F64), 0.5).score(VPSDE()))
    times = torch.linspace(1, 0.05, 9, dtype=F64)
    a, b = SeededNoise(seed).normal(1, range(8), (3, 2), F64), SeededNoise(seed).normal(2, range(8), (3, 2), F64)

    def end(z: torch.Tensor) -> torch.Tensor:
        return solve(
            eq, torch.ones(3, 2, dtype=F64), EulerMaruyama(), times, lambda t0, t1: z[int((times == t0).nonzero())]
        ).y

    zero = end(torch.zeros_like(a))
    assert (end(u * a + v * b) - zero - u * (end(a) - zero) - v * (end(b) - zero)).abs().max() < 1e-11


@many
@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    dtype=st.sampled_from([torch.float32, F64]),
    step=st.sampled_from([1, 2]),
)
def test_any_rank_dtype_and_stride(shape: list[int], dtype: torch.dtype, step: int) -> None:
    """Shape and dtype are kept for 1 to 5 dimensions, and a strided state answers like its copy."""
    y = normal(5, 2 * step, *shape).to(dtype)[::step]
    eq = Equation(lambda t, y: -torch.sin(y), lambda t, y: 0.1 * torch.ones_like(y), noise=Noise.ADDITIVE)
    ends = [
        solve(eq, state, EulerMaruyama(), torch.linspace(0, 1, 5), SeededNoise(1)).y
        for state in (y, y.clone(memory_format=torch.contiguous_format))
    ]
    assert (ends[0].shape, ends[0].dtype) == (y.shape, dtype)
    assert torch.equal(ends[0], ends[1])


@many
@given(
    steps=st.integers(1, 10**6),
    lr=st.floats(1e-6, 1.0),
    ema=st.floats(0, 0.9999),
    widths=st.lists(st.integers(1, 4096), max_size=4),
    predicts=st.sampled_from(["eps", "x0", "v", "score"]),
    held_out=st.floats(0.01, 0.99),
)
def test_a_configuration_round_trips(
    steps: int, lr: float, ema: float, widths: list[int], predicts: str, held_out: float
) -> None:
    network, training = NetworkConfig(predicts=predicts, widths=tuple(widths)), Training(steps=steps, lr=lr, ema=ema)
    config = Config(DataConfig(held_out=held_out), VPSDE(), network=network, training=training)
    assert parse(config.as_dict()) == config


@pytest.mark.parametrize("expanded", [torch.ones(1, 3).expand(5, 3), torch.ones(3, 5).T, torch.ones(10, 3)[::2]])
def test_expanded_states_are_accepted(expanded: torch.Tensor) -> None:
    """What may not be, is named."""
    eq = Equation(lambda t, y: -y)
    assert torch.equal(
        solve(eq, expanded, Heun(), torch.linspace(0, 1, 4)).y,
        solve(eq, expanded.contiguous(), Heun(), torch.linspace(0, 1, 4)).y,
    )

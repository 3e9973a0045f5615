"""Brownian increments: known answers of Philox, one number per (seed, sample, step), no global state, the right law."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats

from solvers import BrownianTree, Equation, EulerMaruyama, GridPath, Noise, SeededNoise, WhiteNoise, solve
from solvers import noise as streams
from solvers.philox import philox
from tests.helpers.equations import noisy
from tests.helpers.problems import F64, STOCHASTIC


def grid(n: int = 9, t0: float = 0.0, t1: float = 1.0) -> torch.Tensor:
    return t0 + (t1 - t0) * torch.linspace(0, 1, n + 1, dtype=F64) ** 1.3


# -- Philox
# -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "want"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, want, device):
    """The three vectors of Random123 for philox4x32-10."""
    words = philox([torch.tensor([c], dtype=torch.int64, device=device) for c in counter], key)
    assert tuple(int(w) for w in words) == want


def test_counter_layout():
    """key = seed; counter = sample (64 bits), stream (4) and step (28), block: every field reaches Philox where it is
    said to."""
    seed, first, stream, step, block = (7 << 32) + 5, (3 << 32) + 11, 6, 1234, 2
    got = SeededNoise(seed, first).words(stream, range(step, step + 1), 2, 3)[0, 1, block]
    want = philox([torch.tensor([c]) for c in (12, 3, (stream << 28) + step, block)], (5, 7))
    assert got.tolist() == [int(w) for w in want]


def test_streams_are_apart():
    """No two uses of one seed draw the same number: streams, steps, samples, elements and seeds all differ."""
    names = ("PRIOR", "INCREMENT", "AREA", "CORRECTOR", "CHURN", "TRAIN_TIME", "TRAIN_NOISE", "PROBE")
    assert [getattr(streams, name) for name in names] == list(range(8))
    words = torch.cat(
        [SeededNoise(seed).words(s, range(20), 5, 3).reshape(-1, 4) for seed in (0, 1, 1 << 40) for s in range(8)]
    )
    assert len(torch.unique(words, dim=0)) == len(words)
    t0, t1 = torch.tensor(0.0, dtype=F64), torch.tensor(1.0, dtype=F64)
    path = SeededNoise(0).on(torch.stack([t0, t1]), torch.zeros(1000, 4, dtype=F64))
    dw, area = path.levy(t0, t1)
    prior = SeededNoise(0).normal(streams.PRIOR, range(1), (1000, 4), F64)[0]
    for a, b in itertools.combinations((dw, area * 12**0.5, prior), 2):
        assert abs((a * b).mean()) < 5 / math.sqrt(4000)  # |z| < 5: chance 6e-7


# -- SeededNoise as a path
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_a_sample_depends_on_seed_and_index_alone(dtype, shape, device):
    """Increments and areas are bit-equal whatever the split of the batch, the order or the number of the
    questions."""
    times = grid()
    whole = SeededNoise(3, 50).on(times, torch.zeros(32, *shape, dtype=dtype, device=device))
    pairs = list(itertools.pairwise(times))
    want = [whole.levy(*p) for p in pairs]
    for size in (1, 2, 7):
        for i in range(0, 32, size):
            count = min(size, 32 - i)
            part = SeededNoise(3, 50 + i).on(times, torch.zeros(count, *shape, dtype=dtype, device=device))
            for k in reversed(range(len(pairs))):
                dw, area = part.levy(*pairs[k])
                assert torch.equal(dw, want[k][0][i : i + count])
                assert torch.equal(area, want[k][1][i : i + count])
                assert torch.equal(part(*pairs[k]), dw)


@pytest.mark.parametrize("solver", STOCHASTIC, ids=repr)
def test_samples_do_not_depend_on_chunks(solver):
    """The same through every stochastic solver, in chunks of 1, 2, 7, 32."""
    eq, times = noisy(solver), grid(6, 1.0, 0.0)
    y0 = torch.linspace(0.1, 0.9, 32, dtype=F64)[:, None]
    whole = solve(eq, y0, solver, times, SeededNoise(1)).y
    for size in (1, 2, 7, 32):
        assert torch.equal(
            torch.cat([solve(eq, y0[i : i + size], solver, times, SeededNoise(1, i)).y for i in range(0, 32, size)]),
            whole,
        )


def test_drawing_ahead_changes_nothing(monkeypatch):
    """Steps are drawn in blocks; the numbers are those of drawing one by one, also at the seams and in wide states."""
    times, y = grid(37), torch.zeros(3, 5, dtype=F64)
    pairs = list(itertools.pairwise(times))
    whole = SeededNoise(9).on(times, y)
    want = [whole.levy(*p) for p in pairs]
    for block in (1, 15 * 4, 15 * 7 + 3):
        monkeypatch.setattr(streams, "_BLOCK_ELEMENTS", block)
        path = SeededNoise(9).on(times, y)
        assert path.ahead < 37
        for p, (dw, area) in zip(pairs, want, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(path.levy(*p), (dw, area), strict=True))


def test_float32_sees_the_float64_path():
    """The same path in another precision, to the rounding of that precision."""
    t = grid(4)
    narrow, wide = (SeededNoise(5).on(t, torch.zeros(200, 3, dtype=d))(t[1], t[2]) for d in (torch.float32, F64))
    assert ((narrow.double() - wide).abs() <= 2 * torch.finfo(torch.float32).eps * wide.abs()).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda y, t: SeededNoise(2).on(t, y),
        lambda y, t: GridPath(y, t, torch.Generator().manual_seed(0)).on(t, y),
        lambda y, t: BrownianTree(y, t[0].item(), t[-1].item(), 3).on(t, y),
    ],
    ids=["seeded", "grid", "tree"],
)
def test_going_back_negates(make):
    """noise(t1, t0) = -noise(t0, t1); the area keeps its sign."""
    t, y = grid(), torch.zeros(4, 2, dtype=F64)
    path = make(y, t)
    for a, b in itertools.pairwise(t):
        (dw, area), (back, same) = path.levy(a, b), path.levy(b, a)
        assert torch.equal(back, -dw)
        torch.testing.assert_close(same, area, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda y, t: SeededNoise(2).on(t, y),
        lambda y, t: WhiteNoise(torch.Generator().manual_seed(0)).on(t, y),
        lambda y, t: GridPath(y, t, torch.Generator().manual_seed(0)).on(t, y),
        lambda y, t: BrownianTree(y, t[0].item(), t[-1].item(), 3).on(t, y),
    ],
    ids=["seeded", "white", "grid", "tree"],
)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_law_of_increments_and_areas(make, dtype):
    """dW ~ N(0, |h|), H ~ N(0, |h|/12), independent of each other and of other steps. 40 000 draws each:
    Kolmogorov-Smirnov at p > 1e-7, correlations within 5.2 standard errors."""
    t = torch.tensor([2.0, 1.7, 0.5], dtype=F64)
    path = make(torch.zeros(10_000, 4, dtype=dtype), t)
    draws = []
    for a, b in itertools.pairwise(t):
        dw, area = path.levy(a, b)
        h = abs((b - a).item())
        draws += [(dw.double() / h**0.5).flatten(), (area.double() * (12 / h) ** 0.5).flatten()]
    for z in draws:
        assert stats.kstest(z.numpy(), "norm").pvalue > 1e-7
    for a, b in itertools.combinations(draws, 2):
        assert abs((a * b).mean()) < 5.2 / 200
        assert abs((a**2 * b**2).mean() - 1) < 5.2 * math.sqrt(8) / 200


def test_uniforms():
    """53-bit uniforms strictly inside (0, 1), by Kolmogorov-Smirnov at p > 1e-7."""
    u = SeededNoise(1).uniform(streams.TRAIN_TIME, range(3), (5000, 2))
    assert u.shape == (3, 5000, 2)
    assert u.min() > 0
    assert u.max() < 1
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-7


def test_the_global_generator_is_untouched():
    """No draw of ours moves torch's global state, and none depends on it."""
    eq = Equation(lambda t, y: -y, lambda t, y: torch.ones_like(y), noise=Noise.ADDITIVE)
    y0, t = torch.ones(3, 2), grid()
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        generator = torch.Generator().manual_seed(4)
        for source in (
            SeededNoise(0),
            WhiteNoise(generator),
            BrownianTree(y0, 0.0, 1.0, 1),
            GridPath(y0, t, generator),
        ):
            results.append(solve(eq, y0, EulerMaruyama(), t, source).y)
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(results[:4], results[4:], strict=True))


# -- what is refused
# ------------------------------------------------------------------------------------------------------------


def test_seeded_noise_knows_its_grid_only():
    """An interval that is no step of the grid raises and says what to use."""
    t = grid()
    path = SeededNoise(0).on(t, torch.zeros(2))
    with pytest.raises(ValueError, match="neighbours of the grid"):
        path(t[0], t[2])
    with pytest.raises(ValueError, match="neighbours of the grid"):
        path(t[0], torch.tensor(0.001, dtype=F64))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_white_noise_wants_the_states_device():
    """A CPU generator for a state on the GPU raises, naming noise and both devices."""
    with pytest.raises(ValueError, match="`noise` must use a generator on the state's device"):
        WhiteNoise(torch.Generator()).on(grid(), torch.zeros(2, device="cuda"))

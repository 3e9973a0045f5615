"""The recommended choice: what it knows, that it counts right, and that its error falls with the budget without a
jump."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde import EDM, VPSDE, Denoiser, Eps, Method, Moments, Score, V, catalogue, exact, recommended, sampling
from scoresde.compare.problems import gmm2d, rms
from scoresde.denoisers.denoiser import X0, KarrasPreconditioning, LearnedRange, Parameterisation
from scoresde.samplers.peaked import Peaked
from scoresde.samplers.recommend import LEAST, estimated
from tests.helpers.in_process import called

F64 = torch.float64
PROBLEM = gmm2d()
X = PROBLEM.start()[:512]
TRUTH = PROBLEM.carry(X)


def error(method: Method) -> float:
    """RMS over 512 starts."""
    return rms(sampling.transport(PROBLEM.denoiser, X, method, EDM(), 80.0, 0.002).y - TRUTH)


class Linear(torch.nn.Module):
    """A network that answers with a share of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.5))
        self.rows = 0

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.rows += len(x)
        return x * self.share


@pytest.mark.parametrize("table", [Eps(), Score(), V(), X0(), KarrasPreconditioning(), LearnedRange(V())], ids=repr)
@pytest.mark.parametrize("n", [1, 2, 5, 6, 10, 40])
def test_any_model_is_served_at_any_budget(table: Parameterisation, n: int) -> None:
    """n calls, levels inside the model's range, steps begun at no less than six standard deviations, or where the
    range begins."""
    model = Denoiser(Linear(), VPSDE(), table)
    method = recommended(model, n, moments=Moments(0.0, 0.5))
    assert method.calls == n
    assert method.transport_calls == n
    assert method.frame is not None
    assert method.frame.start >= LEAST
    lams = sampling.method_levels(model, method)
    first, last = (float(VPSDE().lam(t)) for t in (1.0, 0.001))
    assert float(lams[0]) >= first - 1e-12
    assert n == 1 or float(lams[-1]) == last


def test_eps_networks_are_begun_earlier_than_others() -> None:
    """At ten calls an eps or a score network is followed from where its range begins, others from 45 standard
    deviations at most."""
    known = Moments(0.0, 0.5)
    starts = {
        type(t).__name__: recommended(Denoiser(Linear(), VPSDE(), t), 10, moments=known).frame.start
        for t in (Eps(), Score(), V(), KarrasPreconditioning())
    }  # pyright: ignore
    assert starts["Eps"] == starts["Score"] > 200
    assert starts["V"] == starts["KarrasPreconditioning"] <= 45


def test_without_moments_it_is_the_model_free_choice() -> None:
    """Nothing known: `best(n)`. A shape: they are estimated, and the calls are those that were said."""
    network = Linear()
    model = Denoiser(network, VPSDE())
    assert recommended(model, 9) == catalogue.best(9)
    method = recommended(model, 9, shape=(3,))
    assert method.frame is not None
    assert network.rows == 64 * 8


def test_estimated_moments_are_near_those_of_the_data() -> None:
    """64 samples of an exact mixture: its mean within five standard errors, its scale within 20 % (five standard
    errors of 2 x 64 numbers are 31 %)."""
    data = exact.GaussianMixture(torch.tensor([[1.0, 0.0], [3.0, 1.0]], dtype=F64), 0.25)
    found, known = estimated(data, (2,)), data.moments
    assert bool(((found.mean - known.mean).abs() < 5.5 * known.scale * 1.5 / 8).all())
    assert found.scale == pytest.approx(known.scale, rel=0.31)


@pytest.mark.parametrize("who", ["recommended", "best"])
def test_more_calls_never_cost_accuracy(who: str) -> None:
    """On gmm2d from 3 calls to 60 the RMS error of n calls is at most 1.5 times the least before: no rule switches
    with a jump."""
    least = math.inf
    for n in (*range(3, 20), *range(20, 61, 4)):
        now = error(recommended(PROBLEM.denoiser, n) if who == "recommended" else catalogue.best(n))
        assert now < 1.5 * least or now < 1e-4, n
        least = min(least, now)


def test_knowing_the_unit_makes_the_choice_independent_of_it() -> None:
    """Data a hundred times larger, solved over levels a hundred times larger: the same errors in its own unit, for
    both choices."""
    small, large = (exact.GaussianMixture(PROBLEM.denoiser.means * c, (0.05 * c) ** 2) for c in (1.0, 100.0))  # pyright: ignore
    for make in (lambda d, n: recommended(d, n), lambda d, n: catalogue.best(n, d.moments.scale)):
        a = sampling.transport(small, X, make(small, 8), EDM(), 80.0, 0.002).y
        b = sampling.transport(large, 100 * X, make(large, 8), EDM(1e-3, 1e4), 8000.0, 0.2).y
        assert torch.allclose(100 * a, b, atol=1e-7)


def test_it_is_ahead_of_the_model_free_choice() -> None:
    """Geometric mean of the ratio of errors over 5 to 50 calls: below 0.8."""
    ratios = [error(recommended(PROBLEM.denoiser, n)) / error(catalogue.best(n)) for n in (5, 8, 10, 15, 20, 30, 50)]
    assert math.prod(ratios) ** (1 / len(ratios)) < 0.8


@pytest.mark.parametrize("peaked", [Peaked(), Peaked(-0.3, 0.2, 1.4, 7.0), Peaked(2.0, 2.0, 0.05, 0.1)], ids=repr)
def test_peaked_levels_have_the_density_they_say(peaked: Peaked) -> None:
    """Equal shares of 1/(e^{fall x} + e^{-rise x}) between levels, by SciPy's quadrature; pure noise may come first."""
    from scipy.integrate import quad

    lams = peaked(9, -4.0, 6.0)

    def density(lam: float) -> float:
        x = lam + math.log(peaked.unit) - peaked.centre
        return 1 / (math.exp(peaked.fall * x) + math.exp(-peaked.rise * x))

    shares = [quad(density, float(a), float(b))[0] for a, b in pairwise(lams)]
    assert shares == pytest.approx([sum(shares) / 8] * 8, rel=1e-6)
    assert bool(peaked(5, -math.inf, 6.0)[1:].isfinite().all())


def test_a_run_keeps_the_moments_of_its_data_and_uses_them(tmp_path: Path, capsys: Any) -> None:
    """moments.safetensors is named in run.json; `--method best` is `recommended`; a file of another run is passed over
    with a warning."""
    from scoresde import runs

    config = tmp_path / "c.toml"
    config.write_text('[data]\npath = "moons"\n[training]\nsteps = 3\nbatch = 8\n[network]\nwidths = [8]\n')
    assert called("train", str(config), "--out", str(tmp_path / "r")) == 0
    run = runs.load(tmp_path / "r")
    assert run.denoiser.moments is not None
    assert json.loads((tmp_path / "r" / "run.json").read_text())["data"]["moments"] == run.denoiser.moments.digest
    assert (
        called(
            "sample",
            str(tmp_path / "r"),
            "--method",
            "best",
            "--steps",
            "6",
            "--n",
            "5",
            "--out",
            str(tmp_path / "x.npz"),
        )
        == 0
    )
    import numpy as np

    with np.load(tmp_path / "x.npz") as stored:
        drawn = torch.from_numpy(stored["x"])
    assert torch.equal(drawn, run.original(sampling.sample(run.denoiser, (5, 2), recommended(run.denoiser, 6), 0)))
    Moments(0.0, 2.0).save(tmp_path / "r" / runs.MOMENTS)
    with pytest.warns(UserWarning, match="of another run"):
        assert runs.load(tmp_path / "r").denoiser.moments is None

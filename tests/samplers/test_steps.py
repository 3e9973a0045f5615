"""Step wrappers: the laws they promise, whatever they are wrapped around, and what they refuse."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
import torch

from scoresde import EDM, LogSNR, Method, Split, catalogue, exact, grids, sample, sampling
from scoresde.samplers.wrappers.churn import Churn, ForwardJump, Restart
from scoresde.samplers.wrappers.langevin import IdentityStep, Langevin, VarianceStepSize
from scoresde.samplers.wrappers.large_variance import LargeVariance
from solvers import ExpAdams, ExpEuler, Heun, SeededNoise, WhiteNoise
from solvers.noise import CORRECTOR
from tests.helpers.problems import F64, PROCESSES

MODEL = exact.GaussianMixture(torch.tensor([[-1.0, 0.3], [0.8, -0.6]], dtype=F64), 0.1)
HEUN = catalogue.edm_heun(6)
ALL = {
    "churn": replace(HEUN, wrap=(Churn(),)),
    "restart": replace(HEUN, wrap=(Restart(times=2),)),
    "two restarts": replace(HEUN, wrap=(Restart(0.05, 0.3), Restart(1.0, 5.0))),
    "churn and restart": replace(HEUN, wrap=(Churn(), Restart())),
    "langevin": replace(HEUN, wrap=(Langevin(2, VarianceStepSize(0.1)),)),
    "langevin on a multistep sde": Method(LogSNR(), Split.X0, ExpAdams(2), grids.karras, 6, 1.0, (Langevin(),)),
    "large": catalogue.ddpm(6, large=True),
    "large and langevin": replace(catalogue.ddpm(6), wrap=(LargeVariance(), Langevin())),
}
STOCHASTIC = [
    name
    for name, make in catalogue.all_methods().items()
    if "eta" in (p := inspect.signature(make).parameters) and next(iter(p)) == "n"
]


@pytest.mark.parametrize("name", ALL)
def test_a_wrapped_method_spends_what_it_declares_and_samples_one_by_one(name: str) -> None:
    """Calls counted at the model; sample i is a function of (seed, i), in any batch."""
    method, calls = ALL[name], []
    handle = MODEL.register_forward_pre_hook(lambda *_: calls.append(1))
    together = sample(MODEL, (5, 2), method, seed=3)
    handle.remove()
    assert len(calls) == method.calls
    assert torch.equal(together, sample(MODEL, (5, 2), method, seed=3, batch=2))
    assert not torch.equal(together, sample(MODEL, (5, 2), method, seed=4))
    assert sample(MODEL, (5, 2), method, None, generator=torch.Generator().manual_seed(0)).isfinite().all()
    moved = list(sampling.trajectory(MODEL, (5, 2), method, seed=3))
    assert len(moved) == method.n


@pytest.mark.parametrize("process", [p for p in PROCESSES if not isinstance(p, type)], ids=repr)
@pytest.mark.parametrize("v", [0.0, 0.3, 2.0])
def test_a_lift_is_the_forward_process(process, v: float) -> None:
    """keep^2 (alpha_0^2 v + sigma_0^2) + std^2 = alpha_1^2 v + sigma_1^2: marginals go to marginals."""
    a, b = (process.t_data + share * (process.t_noise - process.t_data) for share in (0.2, 0.7))
    low, high = torch.tensor(a, dtype=F64), torch.tensor(b, dtype=F64)
    lift = ForwardJump.between(process, low, high, 1.0)
    before, after = (process.alpha(t) ** 2 * v + process.sigma(t) ** 2 for t in (low, high))
    assert abs(lift.keep**2 * before + lift.std**2 - after) < 1e-12 * after


def test_langevin_has_its_known_bias() -> None:
    """On N(0, v) at a level a step of size delta is x -> (1 - delta/w) x + sqrt(2 delta) z, w = v + sigma^2:
    stationary w/(1 - delta/2w)."""
    data, sigma, rate = exact.Gaussian(torch.zeros(1, dtype=F64), 0.7), 0.5, 0.2
    method = Method(
        EDM(), Split.EPS, IdentityStep(), grids.uniform_lambda, 1, 0.0, (Langevin(1, VarianceStepSize(rate)),)
    )
    x = torch.tensor([[0.0], [1.0]], dtype=F64)
    y = sampling.transport(data, x, method, EDM(), 2.0, sigma, SeededNoise(0)).y
    z = SeededNoise(0).normal(CORRECTOR, range(1), (2, 1), F64)[0]
    noise = y[0] / z[0]
    factor = (y[1] - noise * z[1]) / x[1]
    w, delta = 0.7 + sigma**2, rate * sigma**2
    assert abs(noise**2 / (1 - factor**2) - w / (1 - delta / (2 * w))) < 1e-12


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_every_entry_takes_noise(name: str, eta: float) -> None:
    """Lines with an eta run as SDEs through `sample`, their path asked wherever the solver asks it."""
    x = sample(MODEL, (4, 2), getattr(catalogue, name)(6, eta=eta))
    assert x.isfinite().all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(catalogue.ddpm(5), wrap=(Churn(),)), "`eta`"),
        (lambda: replace(catalogue.ddpm(5), wrap=(Restart(),)), "`eta`"),
        (lambda: replace(HEUN, wrap=(LargeVariance(),)), "`eta`"),
        (lambda: replace(catalogue.ddim(5, 0.5), wrap=(Langevin(),)), "`wrap`"),
        (lambda: replace(catalogue.probability_flow(), wrap=(Churn(),)), "`wrap`"),
        (lambda: replace(HEUN, wrap=("churn",)), "`wrap`"),
        (lambda: Churn(-1.0), "`amount`"),
        (lambda: Restart(0.3, 0.05), "`high`"),
        (lambda: Restart(steps=0), "`steps`"),
        (lambda: Langevin(0), "`steps`"),
        (lambda: Langevin(1, 0.16), "`size`"),  # pyright: ignore
        (lambda: catalogue.predictor_corrector(5, snr=0.0), "`snr`"),
        (lambda: sampling.transport(MODEL, torch.ones(2, 2, dtype=F64), ALL["churn"], EDM(), 80.0, 0.002), "`noise`"),
        (lambda: sampling.encode(MODEL, torch.ones(2, 2, dtype=F64), ALL["restart"]), "`noise`"),
        (
            lambda: sampling.transport(
                MODEL, torch.ones(2, 2, dtype=F64), ALL["restart"], EDM(), 80.0, 1.0, SeededNoise(0)
            ),
            "`high`",
        ),
    ],
)
def test_what_cannot_be_is_named(make, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        make()


def test_wrapped_steps_differ_from_plain_ones() -> None:
    """Each wrapper does something: the same seed without it ends elsewhere."""
    plain = {
        True: Method(LogSNR(), Split.X0, ExpEuler(), grids.uniform_time, 6, 1.0),
        False: Method(EDM(), Split.EPS, Heun(), grids.karras, 6),
    }
    for name, method in ALL.items():
        bare = replace(method, wrap=())
        assert not torch.allclose(sample(MODEL, (4, 2), method), sample(MODEL, (4, 2), bare)), name
    assert set(plain) == {m.stochastic for m in ALL.values()}
    white = WhiteNoise(torch.Generator().manual_seed(0))
    assert (
        sampling.transport(MODEL, torch.ones(2, 2, dtype=F64), ALL["churn"], EDM(), 80.0, 0.002, white)
        .y.isfinite()
        .all()
    )

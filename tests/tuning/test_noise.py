"""The tuner of stochastic methods: its steps are those of published methods, its file makes the same samples, and what
it finds is nearer to the right law than ancestral sampling."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde import EDM, Denoiser, Eps, LogSNR, Method, RectifiedFlow, catalogue, exact, sample, tuning
from scoresde.evaluation.distances import energy
from scoresde.evaluation.kernel_distance import KernelDistance, minus_distance
from scoresde.samplers.grids import ExplicitGrid
from scoresde.samplers.ranges import method_levels
from scoresde.samplers.reverse import Split, reverse, with_unit_noise
from scoresde.tuning import descent, noise
from scoresde.tuning.descent import descend
from scoresde.tuning.noise_student import Law, NoiseStudent
from scoresde.tuning.pairs import Pairs
from solvers import ExpAdams, SeededNoise, SolveError, Table, solve

F64 = torch.float64
ANGLE = 2 * math.pi * torch.arange(8, dtype=F64) / 8
RING = torch.stack([ANGLE.cos(), ANGLE.sin()], 1)
MIXTURE = exact.GaussianMixture(RING, 0.1**2, process=EDM())
SMALL: dict[str, Any] = {"count": 64, "tested": 64}
LEVELS = method_levels(MIXTURE, catalogue.ddpm(5))
ORDERS = pytest.mark.parametrize("order", [1, 2])


@pytest.fixture(scope="module")
def found() -> tuning.TunedNoise:
    """The mixture at four calls."""
    return tuning.tune_noise(MIXTURE, (2,), 4, count=256, tested=2000)


def normals(count: int, steps: int = 4) -> Tensor:
    """Latents of a start and of each step."""
    return torch.randn(count, steps + 1, 2, dtype=F64, generator=torch.Generator().manual_seed(0))


# -- the step
# ---------------------------------------------------------------------------------------------------------------


@ORDERS
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0, 1.7])
def test_at_constant_eta_it_is_the_adams_method_of_the_generative_sde(order: int, eta: float) -> None:
    """On the same noise: order 1 is DDIM or ancestral sampling, order 2 DPM-Solver++(2M) or SA-Solver's predictor."""
    grid = ExplicitGrid(tuple(LEVELS.tolist()))
    ours = NoiseStudent(MIXTURE, LEVELS, eta, order).method()
    adams = Method(LogSNR(), Split.X0, ExpAdams(order), grid, 5, eta)
    assert ours.calls == adams.calls == 5
    assert (sample(MIXTURE, (16, 2), ours) - sample(MIXTURE, (16, 2), adams)).abs().max() < 1e-9


@ORDERS
def test_the_method_is_what_was_learned(order: int) -> None:
    """With all numbers moved: the frozen table makes what the student makes of the same noise."""
    student = NoiseStudent(MIXTURE, LEVELS, 0.4, order)
    with torch.no_grad():
        student.gaps += torch.tensor([0.3, -0.2, 0.1, 0.0])
        student.etas += torch.tensor([-0.9, 0.2, 0.0, 0.6])
        student.factors += torch.tensor([0.3, 0.0, -0.2, 0.1])
    z = normals(16)
    method = student.method()
    assert isinstance(method.solver, Table)
    eq = with_unit_noise(reverse(method.process, MIXTURE), method.process)
    times = student.levels().detach()
    given = iter(z[:, 1:].unbind(1))
    y = solve(eq, z[:, 0], method.solver, times, noise=lambda t0, t1: next(given) * (t1 - t0).sqrt()).y
    made = MIXTURE(y, times[-1].exp(), torch.ones((), dtype=F64)).x0
    assert (made - student.answer(Pairs(z, z))).abs().max() < 1e-9


@ORDERS
def test_gradients_are_those_of_differences(order: int) -> None:
    """Of the distance in law, in every number."""
    student = NoiseStudent(MIXTURE, LEVELS, 0.4, order)
    pairs = Pairs(normals(32), sample(MIXTURE, (32, 2), catalogue.unipc(20)))
    law = Law(1.0)
    gradients = torch.autograd.grad(law(student.answer(pairs), pairs.answers), student.numbers())
    h = 1e-6
    for number, gradient in zip(student.numbers(), gradients, strict=True):
        for k in range(len(number)):
            values: list[float] = []
            for sign in (1, -1):
                with torch.no_grad():
                    number[k] += sign * h
                    values.append(law(student.answer(pairs), pairs.answers).item())
                    number[k] -= sign * h
            assert math.isclose(float(gradient[k]), (values[0] - values[1]) / (2 * h), rel_tol=1e-4, abs_tol=1e-7)


def test_what_is_made_small_is_the_energy_distance() -> None:
    """Unbiased, over the unit, in features."""
    a, b = normals(20)[:, 0], normals(30)[:, 1] + 0.5
    assert math.isclose(Law(2.0)(a, b).item(), energy(a, b, unbiased=True) / 2, rel_tol=1e-12)
    first = Law(1.0, lambda x: x[:, :1])
    assert math.isclose(first(a, b).item(), energy(a[:, :1], b[:, :1], unbiased=True), rel_tol=1e-12)


# -- what is found
# ---------------------------------------------------------------------------------------------------------------


def test_its_law_is_nearer_than_that_of_ancestral_sampling(found: tuning.TunedNoise) -> None:
    """By 5000 samples of noise of their own against exact ones. The energy distance of two such sets of one law has
    mean 0 and a standard deviation below 1e-3; DDPM is 0.02 or more away on every grid."""
    count = 5000
    right = MIXTURE.sample(count, 1)
    ancestral = [catalogue.ddpm(4, grid) for grid in catalogue.GRIDS.values()]
    apart = [energy(sample(MIXTURE, (count, 2), m, 9), right, unbiased=True) for m in (found.method, *ancestral)]
    assert apart[0] < 0.7 * min(apart[1:])
    assert min(apart[1:]) > 0.02


def test_the_step_that_was_best_on_what_chose_is_kept() -> None:
    """Not the last one: validation samples of another law, from which learning leads away."""
    student = NoiseStudent(MIXTURE, LEVELS, 0.4, 1)
    training = Pairs(normals(64), MIXTURE.sample(64, 1))
    validation = Pairs(normals(64), student.answer(Pairs(normals(64), normals(64))).detach() + 0.01)
    law = Law(1.0)
    history = descend(student, tuning.NOISE, training, validation, law)
    values = [entry["validation"] for entry in history]
    assert values[-1] > min(values)
    assert descent.validated(student, validation, law, 256) == min(values)


def test_all_looks_are_told(found: tuning.TunedNoise) -> None:
    assert len(found.history) == tuning.looks((tuning.NOISE,))
    assert {entry["stage"] for entry in found.history} == {tuning.NOISE}


def test_what_it_tells_is_measured_on_samples_of_their_own(found: tuning.TunedNoise) -> None:
    """The distance that it tells is that of `sample` with other seeds, within its interval."""
    right = MIXTURE.sample(2000, 2)
    again = KernelDistance(minus_distance, unbiased=True)(sample(MIXTURE, (2000, 2), found.method, 77), right)
    width = found.law.high - found.law.low
    assert abs(again - found.law.value) < 2 * width
    assert "recommended" in found.baselines
    assert found.best_untuned != "recommended"  # which is deterministic
    stochastic = [law.value for name, law in found.baselines.items() if name != "recommended"]
    assert found.baselines[found.best_untuned].value == min(stochastic)
    assert len(found.about["etas"]) == 3


def test_one_seed_makes_one_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(descent.STEPS, "noise", 1)
    first, second = (tuning.tune_noise(MIXTURE, (2,), 3, **SMALL) for _ in range(2))
    assert first.method == second.method
    assert first.law == second.law


def test_right_samples_may_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that the model was not trained on; all parts are taken from them."""
    monkeypatch.setitem(descent.STEPS, "noise", 1)
    data = MIXTURE.sample(300, 3)
    made = tuning.tune_noise(MIXTURE, (2,), 3, target=data.float(), **SMALL)
    assert made.about["target"] == "given samples"
    assert made.about["tested"] == 64


def test_a_model_that_begins_at_pure_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its noise is singular there, so that the levels begin just inside."""
    monkeypatch.setitem(descent.STEPS, "noise", 1)
    data = exact.GaussianMixture(RING, 0.1**2, process=RectifiedFlow())
    made = tuning.tune_noise(data, (2,), 3, **SMALL)
    assert sample(data, (4, 2), made.method).isfinite().all()


def test_a_network_in_single_precision_with_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels in turn; weights and modes as before."""
    monkeypatch.setitem(descent.STEPS, "noise", 1)
    torch.manual_seed(0)
    body = torch.nn.Linear(2, 2)

    class Labelled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
            assert len(cond) == len(x)
            return self.body(x) + cond[:, None].to(x.dtype)

    model = Denoiser(Labelled(), EDM(), Eps()).train()
    made = tuning.tune_noise(model, (2,), 3, cond=torch.tensor([0, 1]), **SMALL)
    assert model.training
    assert body.weight.requires_grad
    assert body.weight.grad is None
    assert sample(model, (4, 2), made.method, cond=torch.tensor([0, 1, 0, 1])).dtype == torch.float32


# -- the file
# ---------------------------------------------------------------------------------------------------------------


def test_a_file_makes_the_same_samples(found: tuning.TunedNoise, tmp_path: Path) -> None:
    found.save(tmp_path / "m.json", guidance=None)
    loaded = tuning.load(tmp_path / "m.json", MIXTURE)
    assert loaded == found.method
    assert torch.equal(sample(MIXTURE, (4, 2), loaded), sample(MIXTURE, (4, 2), found.method))
    told = json.loads((tmp_path / "m.json").read_text(), parse_constant=pytest.fail)
    assert told["test"]["value"] == found.law.value
    assert told["etas"] == found.about["etas"]


@pytest.mark.parametrize("stds", [[0.1], ["x", 0, 0], [-1.0, 0.0, 0.0], [math.inf, 0.0, 0.0]])
def test_damaged_noise_is_refused_by_name(stds: list[Any], found: tuning.TunedNoise, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    found.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "stds": stds}))
    with pytest.raises(ValueError, match=r"m\.json: damaged: `stds` must"):
        tuning.load(path)


def test_an_untuned_method_stays_where_nothing_learned_is_better(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Learning is made to fail; the answer is then a line of the catalogue, and its name stands in the file."""
    monkeypatch.setattr(noise, "descend", lambda *_, **__: [{"stage": "noise", "step": 0, "validation": math.inf}])
    made = tuning.tune_noise(MIXTURE, (2,), 4, **SMALL)
    assert made.about["started_from"] in made.baselines
    assert made.about["stages"] == made.about["etas"] == []
    assert made.law == made.baselines[made.about["started_from"]]
    made.save(tmp_path / "m.json")
    assert tuning.load(tmp_path / "m.json", MIXTURE) == made.method
    with pytest.raises(ValueError, match="`sigmas` must be asked of a method with levels of its own"):
        _ = made.sigmas
    told = json.loads((tmp_path / "m.json").read_text())
    for more in ({"untuned": "os.system"}, {"calls": -1}, {"calls": 10**9}):
        (tmp_path / "m.json").write_text(json.dumps({**told, **more}))
        with pytest.raises(ValueError, match=r"m\.json: damaged: `(untuned|calls)` "):
            tuning.load(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("said", "key", "value"),
    [
        ("`stds` is missing", "stds", None),
        ("`final_denoise` was changed", "final_denoise", "no"),
        ("`calls` was changed", "calls", 9),
        ("`calls` was changed", "calls", "four"),
        ("`levels` must", "levels", ["x", 0.0, 1.0, 2.0]),
        ("the numbers are not those that were written", "digest", "0"),
        ("`digest` is missing", "digest", None),
    ],
)
def test_what_was_changed_in_a_file_is_named(
    said: str, key: str, value: Any, found: tuning.TunedNoise, tmp_path: Path
) -> None:
    path = tmp_path / "m.json"
    found.save(path)
    told = json.loads(path.read_text())
    changed = {name: entry for name, entry in told.items() if name != key}
    path.write_text(json.dumps(changed if value is None else {**told, key: value}))
    with pytest.raises(ValueError, match=rf"m\.json: damaged: {said}"):
        tuning.load(path)


def test_a_number_that_was_changed_is_noticed(found: tuning.TunedNoise, tmp_path: Path) -> None:
    found.save(tmp_path / "m.json")
    told = json.loads((tmp_path / "m.json").read_text())
    told["stds"][1] *= 1.01
    (tmp_path / "m.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="the numbers are not those that were written; tune again"):
        tuning.load(tmp_path / "m.json")


def test_it_is_a_stochastic_method(found: tuning.TunedNoise) -> None:
    """Seeds give other samples of the same start; it says what it does; another number of calls is refused."""
    method = found.method
    assert method.stochastic
    assert method.compiled().stochastic
    assert "adds noise after each step" in method.describe()
    with pytest.raises(ValueError, match="`method` must be deterministic"):
        tuning.stretched(method, 6)
    with pytest.raises(ValueError, match="`eta` must be 0"):
        Method(LogSNR(), Split.X0, method.solver, method.grid, method.n)
    whole = sample(MIXTURE, (6, 2), method, 5)
    assert torch.equal(sample(MIXTURE, (2, 2), method, 5, first=3), whole[3:5])


# -- bad input
# ---------------------------------------------------------------------------------------------------------------


def never(*_: Any) -> None:
    pytest.fail("the model was called")


BAD: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "`calls` must": ({"calls": 1}, ValueError),
    "`count` must": ({"count": 10}, ValueError),
    "`tested` must": ({"tested": 3}, ValueError),
    "`seconds` must": ({"seconds": -1.0}, ValueError),
    "`batch` must": ({"batch": 0}, ValueError),
    "`target` must be a tensor": ({"target": [[1.0, 2.0]]}, TypeError),
    "`target` must hold 153 samples or more of shape": ({"target": torch.zeros(153, 3)}, ValueError),
    "`target` must hold 153 samples": ({"target": torch.zeros(100, 2)}, ValueError),
    "`target` must hold samples that differ": ({"target": torch.ones(200, 2)}, ValueError),
    "`seed` must": ({"seed": "a"}, TypeError),
    "`features` must": ({"features": 3}, TypeError),
    "`on_look` must": ({"on_look": 3}, TypeError),
    "`target` must be finite": ({"target": torch.full((200, 2), math.nan)}, ValueError),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_arguments_are_named_before_the_model_is_called(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    more, kind = BAD[said]
    monkeypatch.setattr(exact.GaussianMixture, "forward", never)
    model = exact.GaussianMixture(RING, 0.1**2, process=EDM())
    with pytest.raises(kind, match=said):
        tuning.tune_noise(model, (2,), **{"calls": 3, **SMALL, **more})


def test_a_network_of_nan_is_told() -> None:
    """By the solve, before anything is learned."""

    def broken(x: Tensor, t: Tensor) -> Tensor:
        return x * math.nan

    model = Denoiser(broken, EDM(), Eps())
    with pytest.raises(SolveError, match="finite"):
        tuning.tune_noise(model, (2,), 3, **SMALL)


def test_a_model_without_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match="`denoiser` must know its training process"):
        tuning.tune_noise(exact.GaussianMixture(RING, 0.1**2), (2,), 3)
    with pytest.raises(TypeError, match="`denoiser` must be a Denoiser"):
        tuning.tune_noise(torch.nn.Linear(2, 2), (2,), 3)  # pyright: ignore[reportArgumentType]


def test_noise_of_a_seed_is_that_of_no_other_use() -> None:
    """Latents that are learned from are not the noise of `sample` with the same seed."""
    shape = (4, 5, 2)
    used, plain = (SeededNoise(3).normal(noise.PRIOR, of, shape, F64, "cpu") for of in (noise._OWN, range(1)))
    assert not torch.isclose(used, plain).any()

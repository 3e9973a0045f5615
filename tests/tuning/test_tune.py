"""The tuner: what it returns runs as it says, gets better where it learns, keeps apart what it learns from and what it
is judged by."""

from __future__ import annotations

import copy
import itertools
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scoresde import (
    EDM,
    VPSDE,
    CustomProcess,
    Denoiser,
    Method,
    Moments,
    RectifiedFlow,
    V,
    catalogue,
    exact,
    recommended,
    sampling,
    tuning,
)
from scoresde.compare import competitors
from scoresde.data.batches import mixed
from scoresde.evaluation import c2st
from scoresde.guidance import ClassifierFree
from scoresde.samplers.method import with_last_step
from scoresde.samplers.plan import Plan
from scoresde.samplers.sampling import decode
from scoresde.tuning import descent
from scoresde.tuning.artefact import fingerprint
from scoresde.tuning.candidates import untuned
from scoresde.tuning.descent import Criterion, descend, within
from scoresde.tuning.pairs import Pairs, distances, drawn, in_turn
from scoresde.tuning.setting import Setting
from scoresde.tuning.student import STAGES, Student
from solvers import Table

F64 = torch.float64
ANGLE = 2 * math.pi * torch.arange(8, dtype=F64) / 8
RING = torch.stack([ANGLE.cos(), ANGLE.sin()], 1)
MIXTURE = exact.GaussianMixture(RING, 0.05**2, process=EDM())
Ending = Callable[[Method], Method]
SMALL: dict[str, Any] = {"pairs": 24, "held_out": 12, "tested": 32}


@pytest.fixture(scope="module")
def found() -> tuning.Tuned:
    """The mixture at five calls, tuned for real on few pairs."""
    return tuning.tune(MIXTURE, (2,), 5, denoise=False, **SMALL)


class Small(nn.Module):
    """A network of two labels and none."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Dropout(0.5), nn.Linear(16, 2))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        label = torch.zeros(len(x), 1) if cond is None else cond.reshape(-1, 1).to(x.dtype) + 1
        return self.body(torch.cat([x, t.reshape(-1, 1).to(x.dtype), label], 1))


def network() -> Denoiser:
    """Random weights that predict v along VP."""
    torch.manual_seed(0)
    model = Denoiser(Small(), VPSDE(), V())
    model.moments = Moments(0.0, 0.7)
    return model


# -- the student
# ---------------------------------------------------------------------------------------------------------------

STARTS = {
    "recommended": lambda: recommended(MIXTURE, 5),
    "best": lambda: catalogue.best(5, 0.7),
    "unipc": lambda: catalogue.unipc(5),
    "deis": lambda: catalogue.deis(5),
    "ddim": lambda: catalogue.ddim(5),
}


ENDINGS = (with_last_step, lambda method: method)
every_start = pytest.mark.parametrize(("name", "ending"), list(itertools.product(STARTS, ENDINGS)))


@every_start
def test_untouched_numbers_are_the_method_it_starts_from(name: str, ending: Ending) -> None:
    """Its samples, and those of the frozen method it makes."""
    start = ending(STARTS[name]())
    pairs = drawn(MIXTURE, (2,), 8, denoise=False)
    student = Student(MIXTURE, start, pairs.latents, 0.7)
    before = decode(MIXTURE, pairs.latents, start)
    assert (student.answer(pairs) - before).abs().max() < 1e-8
    assert (decode(MIXTURE, pairs.latents, student.method()) - before).abs().max() < 1e-8


@every_start
def test_the_method_is_what_was_learned(name: str, ending: Ending) -> None:
    """With all numbers moved: the frozen method makes in `sample` what the student makes, in as many calls."""
    pairs = drawn(MIXTURE, (2,), 8, denoise=False)
    student = Student(MIXTURE, ending(STARTS[name]()), pairs.latents, 0.7)
    with torch.no_grad():
        for k, number in enumerate(student.numbers()):
            number += 0.05 * torch.sin(torch.arange(number.numel(), dtype=F64) + k).reshape(number.shape)
    method = student.method()
    assert method.calls == student.calls == 5
    assert (decode(MIXTURE, pairs.latents, method) - student.answer(pairs)).abs().max() < 1e-9
    if method.final_denoise:
        return
    moved = sampling.transport(MIXTURE, 80 * pairs.latents, method, EDM(), 80.0, 0.002)
    assert moved.calls == 5
    assert (moved.y - student.answer(pairs)).abs().max() < 1e-6


@pytest.mark.parametrize("name", STARTS)
def test_what_ends_with_a_denoise_is_transported_without_it(name: str) -> None:
    """A table has no row for one more step: the state at its last level, in a call less."""
    pairs = drawn(MIXTURE, (2,), 8)
    method = Student(MIXTURE, replace(STARTS[name](), final_denoise=True, n=5), pairs.latents, 0.7).method()
    assert method.final_denoise
    moved = sampling.transport(MIXTURE, 80 * pairs.latents, method, EDM(), 80.0, 0.002)
    assert moved.calls == method.transport_calls == 4
    assert (moved.y - decode(MIXTURE, pairs.latents, method, denoise=False)).abs().max() < 1e-6


def test_gradients_are_those_of_differences() -> None:
    """Of the criterion, in every kind of number."""
    pairs = drawn(MIXTURE, (2,), 8, denoise=False)
    student = Student(MIXTURE, with_last_step(STARTS["recommended"]()), pairs.latents, 0.7)
    criterion = Criterion(0.7)
    with torch.no_grad():
        for number in student.numbers():
            number += 0.01
    loss = criterion(student.answer(pairs), pairs.answers)
    gradients = torch.autograd.grad(loss, student.numbers())
    h = 1e-6
    for number, gradient in zip(student.numbers(), gradients, strict=True):
        entry = number.detach().view(-1)
        flat = gradient.flatten()
        k = int(flat.abs().argmax())
        values = []
        for sign in (1, -1):
            entry[k] += sign * h
            values.append(criterion(student.answer(pairs), pairs.answers).item())
            entry[k] -= sign * h
        assert math.isclose(float(flat[k]), (values[0] - values[1]) / (2 * h), rel_tol=1e-4, abs_tol=1e-7)


def test_from_pure_noise() -> None:
    """A model whose range begins at alpha = 0: levels stay rising, the first stays where there is no signal."""
    data = exact.GaussianMixture(RING, 0.05**2, process=RectifiedFlow())
    pairs = drawn(data, (2,), 8)
    student = Student(data, with_last_step(catalogue.euler(5)), pairs.latents, 0.7)
    assert student.lams[0] == -math.inf
    with torch.no_grad():
        for number in student.numbers():
            number += 0.03
    lams = student.levels()
    assert lams[0] == -math.inf
    assert bool((lams.diff() > 0).all())
    assert (decode(data, pairs.latents, student.method()) - student.answer(pairs)).abs().max() < 1e-9


def test_a_stage_never_does_worse_on_held_out_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rate does: a stage that only harms leaves the numbers as they were."""
    monkeypatch.setitem(descent.STEPS, "table", 2)
    pairs = drawn(MIXTURE, (2,), 24, denoise=False)
    training, validation = pairs.rows(0, 16), pairs.rows(16, 24)
    student = Student(MIXTURE, with_last_step(STARTS["recommended"]()), training.latents, 0.7)
    criterion = Criterion(0.7)
    wrong = Pairs(training.latents, -training.answers)  # what is learned is of no use
    before = descent.validated(student, validation, criterion, 256)
    history = descend(student, "table", wrong, validation, criterion)
    after = descent.validated(student, validation, criterion, 256)
    assert after <= before
    assert min(entry["validation"] for entry in history) == after
    assert history[-1]["validation"] > before  # it did harm on the way


def test_numbers_that_are_not_finite_are_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step to NaN ends the stage with the numbers that were best before; a start that fails stays as it was."""
    pairs = drawn(MIXTURE, (2,), 8, denoise=False)
    student = Student(MIXTURE, with_last_step(STARTS["best"]()), pairs.latents, 0.7)

    def wild(self: torch.optim.LBFGS, closure: Callable[[], Tensor]) -> Tensor:
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(math.nan)
        return closure()

    monkeypatch.setattr(torch.optim.LBFGS, "step", wild)
    history = descend(student, "table", pairs, pairs, Criterion(0.7))
    assert [entry["step"] for entry in history] == [0]
    assert all(bool((number == 0).all()) for number in student.numbers())

    broken = Pairs(pairs.latents, pairs.answers * math.nan)
    history = descend(student, "table", pairs, broken, Criterion(0.7))
    assert [entry["validation"] for entry in history] == [math.inf]
    assert all(bool((number == 0).all()) for number in student.numbers())


def test_a_time_is_kept() -> None:
    """What has no time left has not moved."""
    pairs = drawn(MIXTURE, (2,), 8, denoise=False)
    student = Student(MIXTURE, with_last_step(STARTS["best"]()), pairs.latents, 0.7)
    history = descend(student, "scale", pairs, pairs, Criterion(0.7), until=0.0)
    assert len(history) == 1
    assert all(bool((number == 0).all()) for number in student.numbers())


def test_soft_starts_stay_in_their_ball(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training start moves by at most `soft` standard deviations, and it does move."""
    pairs = drawn(MIXTURE, (2,), 8, denoise=False)
    student = Student(MIXTURE, with_last_step(STARTS["best"]()), pairs.latents, 0.7)
    moved: list[Tensor] = []
    answer = Student.answer

    def watched(self: Student, given: Pairs) -> Tensor:
        moved.append((given.latents - pairs.latents).detach().square().mean(1).sqrt())
        return answer(self, given)

    monkeypatch.setattr(Student, "answer", watched)
    monkeypatch.setitem(descent.STEPS, "table", 2)
    descend(student, "table", pairs, pairs, Criterion(0.7), soft=0.02)
    farthest = torch.stack(moved).amax()
    assert 1e-5 < farthest <= 0.02 + 1e-12
    far = within(1e3 * pairs.latents, 0.02).square().mean(1).sqrt()
    assert (far - 0.02).abs().max() < 1e-12


# -- what comes back
# ---------------------------------------------------------------------------------------------------------------


def test_it_gets_better_by_far(found: tuning.Tuned) -> None:
    """On latents that nothing was chosen on: a third of the best untuned, of the median sample a tenth."""
    untuned_error = found.baselines[found.best_untuned]
    assert found.error.rms < untuned_error.rms / 1.5
    assert found.error.median < untuned_error.median / 5
    assert found.error.low <= found.error.rms <= found.error.high


def test_its_error_is_what_a_user_finds(found: tuning.Tuned) -> None:
    """On the latents of `sample`, which it never saw: the error of the median sample within a factor of two."""
    z = torch.randn(256, 2, dtype=F64, generator=torch.Generator().manual_seed(5))
    truth = decode(MIXTURE, z, catalogue.probability_flow(1e-8), denoise=False)
    median = distances(decode(MIXTURE, z, found.method), truth).median()
    assert found.error.median / 2 < median < 2 * found.error.median


def test_latents_are_disjoint_and_of_the_seed() -> None:
    """No latent of training is one of validation or test; the same seed gives the same pairs, in any batch."""
    pairs = drawn(MIXTURE, (2,), 20, seed=4)
    assert torch.equal(drawn(MIXTURE, (2,), 12, seed=4, batch=5).latents, pairs.latents[:12])
    assert (torch.cdist(pairs.latents, pairs.latents) + torch.eye(20)).min() > 1e-6
    assert not torch.equal(drawn(MIXTURE, (2,), 20, seed=5).latents, pairs.latents)


def test_everything_is_told(found: tuning.Tuned) -> None:
    about = found.about
    assert about["calls"] == 5
    assert (about["pairs"], about["held_out"], about["tested"]) == (24, 12, 32)
    assert about["stages"] == list(STAGES)
    assert {"best", "recommended"} <= set(found.baselines)
    assert set(about["frechet"]) == {"tuned", *found.baselines}
    assert about["c2st"] == {}  # too few samples for a classifier
    assert {entry["stage"] for entry in found.history} == set(STAGES)
    assert about["reference_error"] < 1e-5
    assert found.sigmas == sorted(found.sigmas, reverse=True)
    assert len(found.sigmas) == 6


def test_a_classifier_judges_the_law() -> None:
    """The tuned method and the best untuned one, where there are samples enough: samples of the first half of the test
    latents against answers of the second, so that no pair stands on both sides."""
    made = tuning.tune(MIXTURE, (2,), 2, stages=(), pairs=8, held_out=4, tested=100)
    pairs = drawn(MIXTURE, (2,), 112, seed=mixed(0, 2)).rows(12, 112)
    law = c2st(decode(MIXTURE, pairs.latents, made.method)[:50], pairs.answers[50:])
    assert list(made.about["c2st"]) == ["tuned", next(iter(made.baselines))]
    assert made.about["c2st"]["tuned"] == asdict(law)


def test_every_untuned_method_makes_the_calls_it_is_for() -> None:
    methods = untuned(MIXTURE, 6, MIXTURE.moments)
    assert {m.calls for m in methods.values()} == {6}
    assert {"unipc@karras", "deis@quadratic", "dpm_solver_pp_2m@lambda"} <= set(methods)
    for name in methods:
        competitors.entry(name)  # which raises where `compare` does not know it
    assert not any(m.stochastic or m.wrap for m in methods.values())
    assert all(m.frame is None for m in untuned(MIXTURE, 6, MIXTURE.moments, frames=False).values())
    steps = untuned(MIXTURE, 6, MIXTURE.moments, denoise=False)
    assert {(m.calls, m.transport_calls, m.final_denoise) for m in steps.values()} == {(6, 6, False)}


def test_a_method_stretched_to_its_own_calls_is_itself(found: tuning.Tuned) -> None:
    same = tuning.stretched(found.method, 5)
    pairs = drawn(MIXTURE, (2,), 8, denoise=False)
    assert (decode(MIXTURE, pairs.latents, same) - decode(MIXTURE, pairs.latents, found.method)).abs().max() < 1e-9


@pytest.mark.parametrize("calls", [2, 4, 6, 12])
def test_a_stretched_method_is_for_other_calls(calls: int, found: tuning.Tuned) -> None:
    """Rows sum to what those they lie between sum to, ends stay, and samples are finite."""
    other = tuning.stretched(found.method, calls)
    assert other.calls == calls
    assert (other.grid.lams[0], other.grid.lams[-1]) == (found.method.grid.lams[0], found.method.grid.lams[-1])
    sums = [[math.fsum(row[1:]) for row in m.solver.rows] for m in (found.method, other)]
    assert min(sums[0]) - 1e-9 <= min(sums[1])
    assert max(sums[1]) <= max(sums[0]) + 1e-9
    assert bool(decode(MIXTURE, drawn(MIXTURE, (2,), 8).latents, other).isfinite().all())


def test_only_a_tuned_method_is_stretched() -> None:
    with pytest.raises(TypeError, match="`method` must be a tuned one"):
        tuning.stretched(catalogue.unipc(5), 6)


# -- files
# ---------------------------------------------------------------------------------------------------------------


def test_a_file_holds_the_method(found: tuning.Tuned, tmp_path: Path) -> None:
    """Read again it is equal, to the bit of its samples."""
    path = tmp_path / "method.json"
    found.save(path, note="ours")
    z = torch.randn(8, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        method = tuning.load(path, MIXTURE)
    assert method == found.method
    assert torch.equal(decode(MIXTURE, z, method), decode(MIXTURE, z, found.method))
    told = json.loads(path.read_text())
    assert told["note"] == "ours"
    assert told["test"]["rms"] == found.error.rms
    assert told["versions"]["torch"]


def test_another_model_is_told(found: tuning.Tuned, tmp_path: Path) -> None:
    found.save(tmp_path / "m.json")
    with pytest.warns(UserWarning, match="was tuned on the model [0-9a-f]{16}, and this one is [0-9a-f]{16}"):
        tuning.load(tmp_path / "m.json", exact.GaussianMixture(RING, 0.06**2, process=EDM()))


def test_another_scale_of_guidance_is_another_model() -> None:
    """And another process; not another copy of the same."""
    model = network()
    assert fingerprint(ClassifierFree(model, 2.0)) == fingerprint(ClassifierFree(copy.deepcopy(model), 2.0))
    others = [ClassifierFree(model, 4.0), model, Denoiser(model.network, EDM(), V()), Denoiser(model.network, VPSDE())]
    assert len({fingerprint(each) for each in [ClassifierFree(model, 2.0), *others]}) == 5


def test_a_process_of_functions_is_the_same_in_another_session() -> None:
    """Where its functions lie in memory says nothing."""
    models = [
        Denoiser(Small(), CustomProcess(lambda t: 1 - t, lambda t: t, t_noise=0.999, t_data=1e-3)) for _ in range(2)
    ]
    models[1].network.load_state_dict(models[0].network.state_dict())
    assert fingerprint(models[0]) == fingerprint(models[1])


def test_a_value_that_json_lacks_is_none(found: tuning.Tuned, tmp_path: Path) -> None:
    entry = {**found.history[0], "validation": math.inf}
    replace(found, history=[entry]).save(tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["history"][0]["validation"] is None


def changed(found: tuning.Tuned, path: Path, *keys: Any, value: Any) -> Path:
    """A file in which one entry is another."""
    found.save(path)
    told = json.loads(path.read_text())
    place = told
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(told))
    return path


DAMAGE = {
    "not a tuned method": (("kind",), "something"),
    "of format 9": (("format",), 9),
    "`levels` is missing": (("levels",), None),
    "along.name": (("along", "name"), "os.system"),
    "`rows` must be 5 for 6 levels": (("rows",), [[0.0, 1.0]]),
    "`rows` must": (("rows", 0, 1), "x"),
    "damaged": (("levels", 3), 99.0),
    "must hold": (("told",), {"levels": [0.0], "shifts": [0.0, 1.0]}),
    "frame.basis": (("frame", "basis"), "Pickle"),
    "start": (("frame", "start"), -1.0),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_a_damaged_file_is_refused_by_name(said: str, found: tuning.Tuned, tmp_path: Path) -> None:
    keys, value = DAMAGE[said]
    path = changed(found, tmp_path / "m.json", *keys, value=value)
    with pytest.raises(ValueError, match=said) as error:
        tuning.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\x80\x04.", b"[1]", b"{}", b"[" * 100_000])
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.json"):
        tuning.load(path)


def test_pure_noise_survives_a_file(tmp_path: Path) -> None:
    """Minus infinity is no JSON."""
    data = exact.GaussianMixture(RING, 0.05**2, process=RectifiedFlow())
    made = tuning.tune(data, (2,), 3, stages=(), frames=False, **SMALL)
    made.save(tmp_path / "m.json")
    json.loads((tmp_path / "m.json").read_text(), parse_constant=pytest.fail)
    assert tuning.load(tmp_path / "m.json", data) == made.method


# -- networks, conditions, guidance
# ---------------------------------------------------------------------------------------------------------------


def test_a_network_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, gradients, modes; and dropout is off while it is tuned, so that two tunings agree."""
    for stage in STAGES:
        monkeypatch.setitem(descent.STEPS, stage, 1)
    model = network().train()
    model.network.body[0].bias.requires_grad_(False)  # pyright: ignore
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (tuning.tune(model, (2,), 2, **SMALL) for _ in range(2))
    assert first.method == second.method
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]


def test_guidance_and_labels_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guided model is what is solved: the answers are those of the guided flow for each label in turn."""
    for stage in STAGES:
        monkeypatch.setitem(descent.STEPS, stage, 1)
    model = ClassifierFree(network(), 2.0)
    made = tuning.tune(model, (2,), 3, cond=torch.tensor([0, 1]), **SMALL)
    assert made.error.rms <= made.baselines["best"].rms * 1.5
    pairs = drawn(model, (2,), 4, cond=torch.tensor([0, 1]))
    assert pairs.cond.tolist() == [0, 1, 0, 1]
    alone = decode(model, pairs.latents[1:2], catalogue.probability_flow(1e-5), cond=torch.tensor([1]))
    assert (pairs.answers[1:2] - alone).abs().max() < 1e-4


def test_conditions_are_taken_in_turn() -> None:
    assert in_turn(None, 3, "cpu") is None
    assert in_turn(4, 3, "cpu").tolist() == [4, 4, 4]
    assert in_turn({"a": torch.tensor([[1.0], [2.0]])}, 3, "cpu")["a"].tolist() == [[1.0], [2.0], [1.0]]
    with pytest.raises(ValueError, match="`cond` must have one entry or more"):
        in_turn(torch.zeros(0), 3, "cpu")


def test_distances_in_features() -> None:
    """A feature that sees the first coordinate alone."""
    a, b = torch.tensor([[1.0, 5.0]]), torch.tensor([[4.0, -7.0]])
    assert distances(a, b, lambda x: x[:, :1]).tolist() == [3.0]


def test_where_denoised_answers_are_wanted() -> None:
    """By default answers are what `sample` converges to, with its last denoise."""
    setting = drawn(MIXTURE, (2,), 4)
    whole = decode(MIXTURE, setting.latents, catalogue.probability_flow(1e-8))
    state = decode(MIXTURE, setting.latents, catalogue.probability_flow(1e-8), denoise=False)
    assert (setting.answers - whole).abs().max() < 1e-9
    assert (setting.answers - state).abs().max() > 1e-7


BAD: dict[str, dict[str, Any]] = {
    "`calls` must": {"calls": 1},
    "`pairs` must": {"pairs": 1},
    "`seconds` must": {"seconds": 0.0},
    "`stages` must": {"stages": ("everything",)},
    "`soft` must": {"soft": -1.0},
    "`batch` must": {"batch": 0},
    "`shape` must": {"shape": (2.5,)},
    "`denoiser` must be a Denoiser": {"denoiser": lambda x: x},
    "`denoiser` must know its training process": {"denoiser": exact.GaussianMixture(RING, 0.05**2)},
}


@pytest.mark.parametrize("said", BAD)
def test_what_cannot_be(said: str) -> None:
    given = {"denoiser": MIXTURE, "shape": (2,), "calls": 3, **BAD[said]}
    with pytest.raises((TypeError, ValueError), match=said):
        tuning.tune(given.pop("denoiser"), given.pop("shape"), given.pop("calls"), **given)


def test_a_plan_over_other_levels_is_that_of_a_method_with_them() -> None:
    """`Plan.at`, on which the student stands."""
    z = drawn(MIXTURE, (2,), 4).latents
    method = catalogue.unipc(6)
    plan = Plan(MIXTURE, method, None, sampling.method_levels(MIXTURE, method), z, None)
    fewer = sampling.method_levels(MIXTURE, replace(method, n=4))
    moved = plan.at(fewer, None)
    assert torch.equal(moved.end(moved.run(moved.prior(z))[-1].y, True), decode(MIXTURE, z, catalogue.unipc(4)))
    assert len(plan.times) == 6


def test_a_setting_ranks_by_the_criterion() -> None:
    """A method that fails is last."""
    pairs = drawn(MIXTURE, (2,), 12)
    setting = Setting(MIXTURE, pairs, pairs, pairs, None, 256)
    better, worse = catalogue.unipc(8), catalogue.ddim(4)
    assert setting.value(better) < setting.value(worse)
    baselines = setting.report(better, {"a": worse, "b": better})[1]
    assert list(baselines) == ["b", "a"]
    assert baselines["b"].rms < baselines["a"].rms


def test_a_rival_that_fails_on_the_test_latents_is_left_out() -> None:
    """It was no rival; the tuned method is told all the same."""
    pairs = drawn(MIXTURE, (2,), 12)
    setting = Setting(MIXTURE, pairs, pairs, Pairs(pairs.latents, pairs.answers), None, 256)
    broken = replace(catalogue.euler(4), solver=Table(((0.0, 1e200), (0.0, 0.0, 1e200), (0.0, 0.0, 0.0, 1e200))))
    baselines = setting.report(catalogue.unipc(8), {"broken": broken, "ddim": catalogue.ddim(4)})[1]
    assert list(baselines) == ["ddim"]

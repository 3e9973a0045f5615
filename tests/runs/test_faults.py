"""Kills, signals, full disks, damaged files, NaN and lack of memory: nothing is lost and everything is said."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scoresde import VPSDE, Denoiser, cli, runs
from scoresde.data.samples import Dataset
from scoresde.networks import MLP
from scoresde.runs.config import Config
from scoresde.runs.journal import Record
from scoresde.runtime import distributed
from scoresde.runtime.signals import Stopped
from scoresde.runtime.torch_state import seeded
from scoresde.storage import checkpoints
from scoresde.storage.files import CheckpointError, write_whole
from scoresde.training import NonFiniteLossError, Training, TrainingMemoryError, fit
from scoresde.training.state import begin
from tests.helpers.kill_harness import CONFIG, TOML, exact_samples, points

pytestmark = pytest.mark.processes

SDE = VPSDE()
ROOT = Path(__file__).parents[2]


def harness(folder: Path, *counts: int) -> Any:
    """What `kill_harness` answers for (kills in training, kills in saving, signals or not, pairs or not)."""
    command = [sys.executable, "-m", "tests.helpers.kill_harness", str(folder), *map(str, counts), "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A few kills and the signals, from one start."""
    folder = tmp_path_factory.mktemp("harness")
    return folder, harness(folder, 3, 6, 1, 1)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Many kills."""
    folder = tmp_path_factory.mktemp("harness")
    return folder, harness(folder, 50, 60, 0, 0)


each = pytest.mark.parametrize("which", ["few", pytest.param("many", marks=pytest.mark.slow)])


def train(folder: Path, config: Config = CONFIG, **options: Any) -> runs.Trained:
    return runs.train(config, points(), folder, "tests", **options)


def sha(folder: Path) -> str:
    return json.loads((folder / "run.json").read_text())["sha256"]


@each
def test_a_killed_run_ends_at_the_same_bits(which: str, request: pytest.FixtureRequest) -> None:
    """Kill -9 at random moments; every run taken up to its end equals the one that was never killed."""
    answer = request.getfixturevalue(which)[1]["train"]
    assert answer["whole"] == 0
    assert answer["kills"] == (3 if which == "few" else 50)
    assert all(end == [0, True, 0] for end in answer["ends"])


@each
def test_a_kill_while_saving_leaves_a_checkpoint(which: str, request: pytest.FixtureRequest) -> None:
    """Whatever the moment, the latest checkpoint verifies without a warning. Reading removes nothing: that is
    the next writer's to do."""
    answer, count = request.getfixturevalue(which)[1]["save"], 6 if which == "few" else 60
    assert answer["found"] == [True] * count
    assert answer["steps"] >= 2 * count


def test_signals_end_the_command_line(few: tuple[Path, Any]) -> None:
    """SIGINT once saves and exits 130, SIGTERM saves and exits 143, SIGINT twice exits 130 at once without
    saving."""
    folder, answer = few[0] / "signal", few[1]["signal"]
    for name, code in (("int", 130), ("term", 143)):
        assert answer[name][0] == code
        assert answer[name][1] > 0
        assert f"stopped at step {answer[name][1]} of 100000" in answer[name][2]
        assert checkpoints.latest(folder / name / "checkpoints") is not None
    assert answer["intint"][:2] == [130, 0]


def losses(folder: Path) -> torch.Tensor:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return torch.tensor([[line["loss"], line["grad_norm"]] for line in lines if "loss" in line])


def test_two_processes_do_what_one_does(few: tuple[Path, Any]) -> None:
    """Two joined processes of two parts each, at the same batch: equal losses, gradients and weights up to rounding;
    equal samples to the bit."""
    folder, answer = few[0], few[1]["join"]
    assert answer["codes"] == [0, 0]
    one, two = losses(folder / "train" / "whole"), losses(folder / "join" / "pair")
    assert one.shape == (8, 2)
    assert (one - two).abs().max() < 1e-5
    a, b = (runs.load(f).denoiser.state_dict() for f in (folder / "train" / "whole", folder / "join" / "pair"))
    assert (
        max((a[k] - b[k]).abs().max().item() for k in a) < 1e-4
    )  # 40 steps of AdamW, which divides rounding by small gradients
    assert torch.equal(torch.from_numpy(np.load(folder / "join" / "samples.npy")), exact_samples(range(7)))


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Stopped between checkpoints and taken up: the same weights, one line a log interval, and the model of the
    stopped run can be read."""
    train(tmp_path / "whole")

    def stop(progress: Any) -> None:
        if progress.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match=r"step 7 of 40.*--resume") as stopped:
        train(tmp_path / "run", report=stop)
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert runs.load(tmp_path / "run").about["training"]["steps_done"] == 7
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write('{"step": 10, "loss": 1}\n{"st')  # noted beyond the checkpoint, and cut
    train(tmp_path / "run", resume=True)
    assert sha(tmp_path / "run") == sha(tmp_path / "whole")
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(5, 41, 5))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_state_is_everything(precision: str) -> None:
    """Layers that draw included: a network with dropout, taken up after 5 of 9 steps from its tensors, ends at the
    same bits."""
    training = Training(steps=9, batch=16, precision=precision)

    def fresh() -> tuple[Denoiser, Any]:
        with seeded(0):
            model = Denoiser(_Dropping(), SDE, time=lambda lam: 1000 * SDE.time(lam))
        return model, begin(model.network, training)

    model, state = fresh()
    kept: dict[str, torch.Tensor] = {}
    for progress in fit(model, points(), training, state):
        if progress.step == 5:
            kept = state.tensors()
    again, taken = fresh()
    taken.load(kept)
    assert [p.step for p in fit(again, points(), training, taken)] == [6, 7, 8, 9]
    want, got = state.tensors(), taken.tensors()
    assert want.keys() == got.keys()
    assert all(torch.equal(want[name], got[name]) for name in want)


class _Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop = MLP(2, 8, 1), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return self.body(self.drop(x), c)


def test_another_configuration_or_data_is_not_taken_up(tmp_path: Path) -> None:
    train(tmp_path)
    other = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, lr=1e-3))
    with pytest.raises(CheckpointError, match=r"training.lr = 0.002, now 0.001"):
        train(tmp_path, other, resume=True)
    with pytest.raises(CheckpointError, match=r"data.fingerprint"):
        runs.train(CONFIG, Dataset(points().x + 1), tmp_path, "tests", resume=True)
    longer = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, steps=43), record=Record(save=1))
    assert train(tmp_path, longer, resume=True).about["training"]["steps_done"] == 43


def test_a_run_older_than_a_key_is_taken_up(tmp_path: Path) -> None:
    """A key that the version which began the run did not know has its default, and the end is at the same bits; one
    not known now is named."""
    config = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, posthoc=0))
    train(tmp_path, config)
    kept, want = tmp_path / "checkpoints", (tmp_path / "model.safetensors").read_bytes()
    (kept / "step-00000040.safetensors").unlink()
    older = checkpoints.latest(kept)
    assert older is not None
    assert older.about["step"] == 39
    told = {key: value for key, value in older.about.items() if key != "sha256"}
    for key in ("posthoc", "skip_nonfinite"):
        del told["config"]["training"][key]
    checkpoints.save(kept, older.tensors, told)
    train(tmp_path, config, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == want
    told["config"]["training"]["younger"] = 1
    (kept / "step-00000040.safetensors").unlink()
    checkpoints.save(kept, older.tensors, told)
    with pytest.raises(CheckpointError, match=r"step-00000039.*`training.younger` is not a known key"):
        train(tmp_path, config, resume=True)


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    for step, score in enumerate([3.0, 1.0, None, 2.0, 1.0, 4.0]):
        checkpoints.save(tmp_path, {"x": torch.tensor(float(step))}, {"step": step, "score": score})
    assert sorted(checkpoints.steps(tmp_path)) == [1, 4, 5]
    best = checkpoints.best(tmp_path)
    assert best is not None
    assert best.about["step"] == 1


def test_the_best_is_the_least_held_out_loss(tmp_path: Path) -> None:
    train(tmp_path, held_out=points().take(torch.arange(50)))
    scores = {
        step: checkpoints.unseal(path).about["score"]
        for step, path in checkpoints.steps(tmp_path / "checkpoints").items()
    }
    best = runs.load(tmp_path, best=True).about
    assert best["score"] == min(scores.values())


# -- damage
# ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("faults") / "run"
    train(folder)
    return folder


def test_every_damage_is_detected(finished: Path, tmp_path: Path) -> None:
    """300 flipped bits, 100 truncations, an empty file, one checkpoint under the name of another."""
    paths = checkpoints.steps(finished / "checkpoints")
    source = paths[40]
    whole, path = source.read_bytes(), tmp_path / source.name
    damaged = [
        whole[: (at := k * 7919 % len(whole))] + bytes([whole[at] ^ (1 << (k % 8))]) + whole[at + 1 :]
        for k in range(300)
    ]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(400)]  # the header, byte by byte
    damaged += [whole[: k * len(whole) // 100] for k in range(100)] + [
        paths[39].read_bytes(),
        b"x" * 100,
        whole + b"\0",
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=source.name):
            checkpoints.unseal(path)
    path.write_bytes(whole)
    assert checkpoints.unseal(path).about["step"] == 40


def test_the_one_before_is_used_and_the_bad_one_named(tmp_path: Path) -> None:
    train(tmp_path)
    want = sha(tmp_path)
    paths = checkpoints.steps(tmp_path / "checkpoints")
    paths[40].write_bytes(paths[40].read_bytes()[:-1])
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="passed over|does not match") as said:
        loaded = runs.load(tmp_path)
    assert [
        ("model.safetensors does not match" in str(w.message), "step-00000040" in str(w.message)) for w in said
    ] == [(False, True), (True, False)]
    assert loaded.about["training"]["steps_done"] == 39
    with pytest.warns(UserWarning, match="step-00000040"):
        train(tmp_path, resume=True)
    assert sha(tmp_path) == want
    for path in checkpoints.steps(tmp_path / "checkpoints").values():
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="passed over"), pytest.raises(CheckpointError, match="none can be read"):
        train(tmp_path, resume=True)


# -- disks
# -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["write", "fsync", "chmod", "replace", "mkstemp"])
def test_a_full_disk_is_said_and_costs_nothing(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """No space at any call of a save: the message says so, the checkpoint before is intact, no temporary
    stays."""
    old = checkpoints.steps(finished / "checkpoints")[39]
    (tmp_path / old.name).write_bytes(old.read_bytes())

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full:
        def __init__(self, handle: int, *_: object) -> None:
            self.handle = handle
            self.write = full

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self.handle)

    with monkeypatch.context() as patch:
        if call == "write":
            patch.setattr(os, "fdopen", Full)
        else:
            patch.setattr("tempfile.mkstemp" if call == "mkstemp" else f"os.{call}", full)
        with pytest.raises(OSError, match=r"disk full.*step-00000040"):
            checkpoints.save(tmp_path, {"x": torch.zeros(5)}, {"step": 40, "score": None})
    assert [p.name for p in tmp_path.iterdir()] == [old.name]
    snapshot = checkpoints.latest(tmp_path)
    assert snapshot is not None
    assert snapshot.about["step"] == 39


def test_a_file_limit_reads_as_a_full_disk(tmp_path: Path) -> None:
    """The kernel's own refusal: RLIMIT_FSIZE."""
    write_whole(tmp_path / "a", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="disk full"):
            write_whole(tmp_path / "a", b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


def test_a_full_disk_stops_the_command_line_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("step-00000006.safetensors"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert call_train(tmp_path, monkeypatch, "save = 1000", "save = 3") == 2
    said = capsys.readouterr().err
    assert "disk full" in said
    assert said.count("\n") == 1
    assert sorted(checkpoints.steps(tmp_path / "run" / "checkpoints")) == [3]


def call_train(folder: Path, monkeypatch: pytest.MonkeyPatch, *change: str) -> int:
    """Exit code of `scoresde train` for 9 steps on points."""
    np.savez(folder / "points.npz", x=points().x.numpy())
    text = TOML.format(data=folder / "points.npz", steps=9)
    (folder / "c.toml").write_text(text.replace(*change) if change else text)
    monkeypatch.setattr(sys, "argv", ["scoresde", "train", str(folder / "c.toml"), "--out", str(folder / "run")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_a_save_is_one_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write, fsync, chmod, replace, fsync of the directory; nothing else touches the target."""
    calls: list[str] = []
    kinds: dict[int, str] = {}
    fdopen, opened = os.fdopen, os.open

    def log(name: str, real: Any) -> Any:
        def logged(*arguments: Any, **options: Any) -> Any:
            calls.append(f"fsync {kinds[arguments[0]]}" if name == "fsync" else name)
            return real(*arguments, **options)

        return logged

    def note_file(handle: int, *arguments: Any) -> Any:
        kinds[handle] = "file"
        return fdopen(handle, *arguments)

    def note_folder(path: Any, *arguments: Any, **options: Any) -> int:
        handle = opened(path, *arguments, **options)
        kinds[handle] = "folder" if Path(path).is_dir() else "file"
        return handle

    for name in ("fsync", "chmod", "replace", "unlink"):
        monkeypatch.setattr(os, name, log(name, getattr(os, name)))
    monkeypatch.setattr(os, "fdopen", note_file)
    monkeypatch.setattr(os, "open", note_folder)
    write_whole(tmp_path / "a", b"x")
    assert calls == ["fsync file", "chmod", "replace", "fsync folder"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    """As any program's files."""
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            write_whole(tmp_path / f"{mask}", b"x")
        finally:
            os.umask(before)
        assert (tmp_path / f"{mask}").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EXDEV, errno.EIO])
def test_other_refusals_come_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Read-only folders, other file systems, broken disks keep their own words and leave nothing behind."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_whole(tmp_path / "a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_deleted_while_training_comes_back(tmp_path: Path) -> None:
    """What goes on is saved anew."""
    import shutil

    def delete(progress: Any) -> None:
        if progress.step == 4:
            shutil.rmtree(tmp_path / "run" / "checkpoints")

    train(tmp_path / "run", report=delete)
    assert sorted(checkpoints.steps(tmp_path / "run" / "checkpoints")) == [39, 40]


# -- steps that fail
# -------------------------------------------------------------------------------------------------------


class Failing(nn.Module):
    """An MLP that does `what` in its calls number `at`."""

    def __init__(self, at: set[int], what: Any):
        super().__init__()
        self.body, self.at, self.what, self.calls = MLP(2, 8, 1), at, what, 0

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        out = self.body(x, c)
        return self.what(out) if self.calls in self.at else out


def failing(at: set[int], what: Any, **options: Any) -> tuple[Denoiser, Any, Training]:
    training = Training(**{"steps": 30, "batch": 16, **options})
    with seeded(0):
        model = Denoiser(Failing(at, what), SDE, time=lambda lam: 1000 * SDE.time(lam))
    return model, begin(model.network, training), training


class _InfiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * torch.inf


def some_nan(out: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.arange(len(out)).unsqueeze(1) == 3, torch.nan, out)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (some_nan, r"loss is nan at step 5, in 1 of 16 samples, at t = \[0\.\d+\], rows \[\d+\]"),
        (_InfiniteGradient.apply, r"step 5.*gradient of norm (inf|nan)"),
    ],
)
def test_a_step_that_is_not_finite_stops_the_run(what: Any, said: str) -> None:
    """Step, noise level and samples are named; weights, average and optimiser are those of the step before."""
    model, state, training = failing({5}, what)
    steps = fit(model, points(), training, state)
    for _ in range(4):
        next(steps)
    before = state.tensors()
    with pytest.raises(NonFiniteLossError, match=said):
        next(steps)
    after = state.tensors()
    assert state.step == 4
    assert all(torch.equal(before[k], after[k]) for k in before if k != "counts")


@pytest.mark.parametrize("what", [some_nan, _InfiniteGradient.apply])
def test_steps_may_be_skipped_but_not_ten_in_a_row(what: Any) -> None:
    """With skip_nonfinite a bad step is passed over and counted; the tenth in a row ends the run; no NaN
    reaches the average."""
    model, state, training = failing({2, 3, *range(10, 19)}, what, skip_nonfinite=True)
    skipped = [p.step for p in fit(model, points(), training, state) if p.skipped]
    assert skipped == [2, 3, *range(10, 19)]
    assert all(bool(v.isfinite().all()) for v in state.tensors().values())
    model, state, training = failing(set(range(4, 14)), what, skip_nonfinite=True)
    with pytest.raises(NonFiniteLossError, match=r"step 13, the 10th step in a row"):
        list(fit(model, points(), training, state))
    assert all(bool(v.isfinite().all()) for v in state.tensors().values())


def test_a_nan_exits_3_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command line."""
    calls: list[int] = []
    forward = MLP.forward

    def sick(self: MLP, *inputs: Any) -> torch.Tensor:
        calls.append(1)
        return forward(self, *inputs) * (torch.nan if len(calls) == 8 else 1.0)

    monkeypatch.setattr(MLP, "forward", sick)
    assert call_train(tmp_path, monkeypatch, "save = 1000", "save = 4") == 3
    assert (
        "the loss is nan at step 5" in capsys.readouterr().err
    )  # calls 5 to 7 scored the checkpoint of step 4 on 40 held-out samples
    snapshot = checkpoints.latest(tmp_path / "run" / "checkpoints")
    assert snapshot is not None
    assert snapshot.about["step"] == 4
    assert all(bool(v.isfinite().all()) for v in snapshot.tensors.values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"step 3 was not saved: NaN or Inf in x"):
        checkpoints.save(tmp_path, {"x": torch.tensor([1.0, torch.inf])}, {"step": 3, "score": None})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_lack_of_memory_says_what_to_try(error: Exception) -> None:
    """The batch size and remedies; the state is that of the step before."""

    def refuse(_: torch.Tensor) -> None:
        raise error

    model, state, training = failing({6}, refuse, accumulate=2)
    steps = fit(model, points(), training, state)
    for _ in range(2):
        next(steps)
    before = state.tensors()
    with pytest.raises(
        TrainingMemoryError, match=r"step 3 with a batch of 16 in 2 parts on 1 processes; try a smaller `batch`"
    ):
        next(steps)
    assert all(torch.equal(before[k], v) for k, v in state.tensors().items())


def test_other_errors_of_a_network_come_through() -> None:
    def bug(_: torch.Tensor) -> None:
        raise RuntimeError("a bug")

    model, state, training = failing({2}, bug)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        list(fit(model, points(), training, state))


def test_an_error_of_the_data_comes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reading a batch raises ends the run with an exit code, and the checkpoints stay."""
    real = Dataset.batch

    def broken(self: Dataset, step: int, *more: Any) -> Any:
        if step == 5:
            raise OSError(errno.EIO, "Input/output error", "points.npy")
        return real(self, step, *more)

    monkeypatch.setattr(Dataset, "batch", broken)
    assert call_train(tmp_path, monkeypatch, "save = 1000", "save = 4") == 2
    assert sorted(checkpoints.steps(tmp_path / "run" / "checkpoints")) == [4]


@pytest.mark.slow
def test_accelerate_launches_it(tmp_path: Path) -> None:
    """The documented line, two processes on the CPU: the same losses as one process, and samples shared between
    them."""
    np.savez(tmp_path / "points.npz", x=points().x.numpy())
    (tmp_path / "c.toml").write_text(
        TOML.format(data=tmp_path / "points.npz", steps=20).replace("save = 1000", "log = 5")
    )
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "-m",
        "scoresde",
    ]
    for start, name in ((launch, "two"), ([sys.executable, "-m", "scoresde"], "one")):
        for rest in (
            ["train", tmp_path / "c.toml", "--out", tmp_path / name],
            ["sample", tmp_path / name, "--n", "5", "--out", tmp_path / f"{name}.npz"],
        ):
            done = subprocess.run(
                [*start, *map(str, rest)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, done.stderr
    assert (losses(tmp_path / "one") - losses(tmp_path / "two")).abs().max() < 1e-5
    a, b = (np.load(tmp_path / f"{name}.npz")["x"] for name in ("one", "two"))
    assert a.shape == (5, 2)
    assert np.abs(a - b).max() < 1e-4 * np.abs(a).max()


def who(out: Path, fail: bool) -> None:
    """What `together` runs in each process: the sum of both, written by the first, or a failure."""
    if fail:
        raise ValueError(f"rank {distributed.rank()} of {distributed.world()} fails")
    total = distributed.gather(torch.tensor([distributed.rank() + 1.0])).sum().item()
    if distributed.rank() == 0:
        out.write_text(f"{total} of {distributed.world()}, threads {torch.get_num_threads()}")


@pytest.mark.slow
def test_processes_started_here_are_joined_and_their_failure_is_told(tmp_path: Path) -> None:
    """Two processes of one thread hear each other; one process is this one; what the first failure said is the
    message."""
    distributed.together(2, who, tmp_path / "two", False)
    assert (tmp_path / "two").read_text() == "3.0 of 2, threads 1"
    distributed.together(1, who, tmp_path / "one", False)
    assert (tmp_path / "one").read_text().startswith("1.0 of 1")
    with pytest.raises(distributed.WorkerError, match=r"ValueError: rank \d of 2 fails"):
        distributed.together(2, who, tmp_path / "none", True)

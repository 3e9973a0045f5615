"""What is ever removed, and who may write: only files of our own runs go, and a folder has one writer at a time."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde import cli, runs
from scoresde.storage import ownership
from scoresde.storage.files import CheckpointError
from scoresde.storage.ownership import BusyError
from tests.helpers.kill_harness import CONFIG, TOML, child, ended, points

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
SHORT = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, steps=4, posthoc=2))


def train(folder: Path, config: Any = SHORT, **options: Any) -> runs.Trained:
    return runs.train(config, points(), folder, "tests", **options)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["scoresde", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def configured(folder: Path, steps: int = 4) -> Path:
    """A configuration that trains on points."""
    np.savez(folder / "points.npz", x=points().x.numpy())
    (folder / "c.toml").write_text(TOML.format(data=folder / "points.npz", steps=steps))
    return folder / "c.toml"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def theirs(folder: Path) -> Path:
    """A folder of somebody else's, whose parts have the names of ours."""
    for name in ("samples", "checkpoints"):
        (folder / name).mkdir(parents=True)
        (folder / name / "thesis.tex").write_text("years of work")
    (folder / "samples" / "step-00000001.png").write_bytes(b"a picture")
    (folder / "model.safetensors").write_bytes(b"another's weights")
    return folder


# -- what is removed
# -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train", "resume", "demo", "compare", "import"])
def test_a_folder_of_somebody_else_is_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, one line that names the folder, and every file is as it was, with --overwrite or --resume too."""
    out, config = theirs(tmp_path / "out"), configured(tmp_path)
    before = tree(out)
    arguments: dict[str, list[object]] = {
        "train": ["train", config, "--out", out, "--overwrite"],
        "resume": ["train", config, "--out", out, "--resume"],
        "demo": ["demo", "--steps", 1, "--out", out, "--overwrite"],
        "compare": ["compare", "--problem", "gaussian3", "--methods", "ddim", "--budgets", 5, "--out", out],
        "import": ["import", tmp_path / "points.npz", "--out", out, "--overwrite"],
    }
    assert call(monkeypatch, *arguments[command]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(out) in said
    assert tree(out) == before


def test_the_library_refuses_it_too(tmp_path: Path) -> None:
    """runs.train removes nothing that nobody says is a run's."""
    before = tree(theirs(tmp_path))
    with pytest.raises(ValueError, match="`folder` must be new or hold a run"):
        train(tmp_path)
    after = tree(tmp_path)
    assert {name: after[name] for name in before} == before


def test_files_beside_those_of_a_run_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """train --overwrite over a run: its own files are replaced, notes that a user put among them are not."""
    config, out = configured(tmp_path), tmp_path / "run"
    assert call(monkeypatch, "train", config, "--out", out) == 0
    (out / "samples").mkdir()
    for name in ("samples/best.png", "checkpoints/notes.txt", "paper.pdf"):
        (out / name).write_bytes(b"mine")
    (out / "checkpoints" / "step-00009999.safetensors").write_bytes(b"of an earlier run")
    assert call(monkeypatch, "train", config, "--out", out, "--overwrite") == 0
    assert [(out / name).read_bytes() for name in ("samples/best.png", "checkpoints/notes.txt", "paper.pdf")] == [
        b"mine"
    ] * 3
    assert not (out / "checkpoints" / "step-00009999.safetensors").exists()


def test_a_run_from_before_there_were_markers_is_known_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By run.json, or by a checkpoint that was sealed by us."""
    config, out = configured(tmp_path), tmp_path / "run"
    assert call(monkeypatch, "train", config, "--out", out) == 0
    (out / ownership.MARKER).unlink()
    assert ownership.owned(out)
    (out / "run.json").unlink()
    assert ownership.owned(out)
    assert call(monkeypatch, "train", config, "--out", out, "--overwrite") == 0
    assert (out / "run.json").exists()


def test_a_refused_training_costs_the_earlier_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch larger than the data, with --overwrite: the run that would have been replaced is whole."""
    config, out = configured(tmp_path), tmp_path / "run"
    assert call(monkeypatch, "train", config, "--out", out) == 0
    before = tree(out)
    config.write_text(config.read_text().replace("batch = 16", "batch = 1000"))
    assert call(monkeypatch, "train", config, "--out", out, "--overwrite") == 2
    after = tree(out)
    assert {name: after[name] for name in before if name != ownership.MARKER} == {
        name: before[name] for name in before if name != ownership.MARKER
    }


def test_a_refusal_leaves_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the folder nor a marker stays where nothing was written."""
    config = configured(tmp_path)
    config.write_text(config.read_text().replace("batch = 16", "batch = 1000"))
    assert call(monkeypatch, "train", config, "--out", tmp_path / "new") == 2
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    assert call(monkeypatch, "train", config, "--out", tmp_path / "empty") == 2
    assert list((tmp_path / "empty").iterdir()) == []


def test_an_import_over_a_run_leaves_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoint, log or average of the run that was there: --best would sample from it."""
    config, out = configured(tmp_path), tmp_path / "run"
    assert call(monkeypatch, "train", config, "--out", out) == 0
    source = out / "model.safetensors"
    assert call(monkeypatch, "import", source, "--config", config, "--shape", 2, "--out", out, "--overwrite") == 0
    assert {path.name for path in out.iterdir()} == {
        ownership.MARKER,
        "run.json",
        "model.safetensors",
        "moments.safetensors",
    }
    assert call(monkeypatch, "train", config, "--out", out, "--resume") == 2


@pytest.mark.parametrize("name", ["photo.png", "data.npz"])
def test_sample_replaces_only_files_of_samples(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--overwrite replaces what an earlier sample wrote, and refuses a picture or an array of somebody else."""
    (tmp_path / "c.toml").write_text("[network]\nwidths = [8, 8]\n[training]\nsteps = 1\nbatch = 8\n")
    assert call(monkeypatch, "train", tmp_path / "c.toml", "--out", tmp_path / "run") == 0
    arguments = ["sample", tmp_path / "run", "--n", 2, "--steps", 2, "--out", tmp_path / name]
    assert call(monkeypatch, *arguments) == 0
    assert call(monkeypatch, *arguments) == 2
    assert call(monkeypatch, *arguments, "--overwrite") == 0
    if name.endswith("png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name)
    else:
        np.savez(tmp_path / name, x=np.zeros(3))
    before = (tmp_path / name).read_bytes()
    capsys.readouterr()
    assert call(monkeypatch, *arguments, "--overwrite") == 2
    assert "`--out` must be new or hold samples that scoresde wrote" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == before


# -- resume
# ----------------------------------------------------------------------------------------------------------------


def test_a_finished_run_without_checkpoints_is_not_resumed(tmp_path: Path) -> None:
    """Its weights stay: with another configuration and with its own."""
    train(tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    before = (tmp_path / "model.safetensors").read_bytes()
    other = dataclasses.replace(SHORT, training=dataclasses.replace(SHORT.training, lr=1e-3))
    for config in (SHORT, other):
        with pytest.raises(CheckpointError, match="no checkpoints to resume from"):
            train(tmp_path, config, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("made", [False, True])
def test_there_must_be_a_run_to_resume(
    made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An absent or empty folder holds no run."""
    if made:
        (tmp_path / "run").mkdir()
    assert call(monkeypatch, "train", configured(tmp_path), "--out", tmp_path / "run", "--resume") == 2
    assert "`--out` must hold a run to resume" in capsys.readouterr().err


# -- one writer
# ------------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    """In the same process too: the message has the process, the host, since when, and the command."""
    with ownership.writing(tmp_path, "scoresde train c.toml --out x"):
        who = json.loads((tmp_path / ownership.MARKER).read_text())
        with (
            pytest.raises(
                BusyError, match=rf"process {os.getpid()} on .* since {who['since'][:10]}.*scoresde train c.toml"
            ),
            ownership.writing(tmp_path, "y"),
        ):
            pass
        with pytest.raises(BusyError, match="is being written"):
            train(tmp_path)
        (tmp_path / "kept").write_text("")
    train(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_writer_holds_nothing(number: int, tmp_path: Path) -> None:
    """A process that is stopped by a signal while it holds a folder: the next one writes there, whatever process
    number the marker tells."""

    def hold() -> None:
        with ownership.writing(tmp_path, "tests"):
            (tmp_path / "held").write_text("")
            signal.pause()

    pid = child(hold)
    while not (tmp_path / "held").exists():
        pass
    with pytest.raises(BusyError, match=f"process {pid} "), ownership.writing(tmp_path, "tests"):
        pass
    os.kill(pid, number)
    ended(pid)
    with ownership.writing(tmp_path, "tests"):
        assert json.loads((tmp_path / ownership.MARKER).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("command", ["train", "resume", "demo", "compare", "import", "sample"])
def test_every_command_that_writes_takes_its_turn(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the folder, or the file of samples, is held: exit 2, one line, nothing changed."""
    config, out = configured(tmp_path), tmp_path / "run"
    assert call(monkeypatch, "train", config, "--out", out) == 0
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "rows.jsonl").write_text('{"problem": "gaussian3", "method": "ddim", "cost": 5}\n')
    file = tmp_path / "x.npz"
    arguments: dict[str, list[object]] = {
        "train": ["train", config, "--out", out, "--overwrite"],
        "resume": ["train", config, "--out", out, "--resume"],
        "demo": ["demo", "--steps", 1, "--out", out, "--overwrite"],
        "compare": [
            "compare",
            "--problem",
            "gaussian3",
            "--methods",
            "ddim",
            "--budgets",
            5,
            "--out",
            tmp_path / "rows",
        ],
        "import": ["import", out / "model.safetensors", "--out", out, "--overwrite"],
        "sample": ["sample", out, "--n", 2, "--steps", 2, "--out", file],
    }
    held = {"compare": ownership.writing(tmp_path / "rows", "tests"), "sample": ownership.writing_file(file, "tests")}
    with held.get(command, ownership.writing(out, "tests")):
        before = tree(tmp_path)
        capsys.readouterr()
        assert call(monkeypatch, *arguments[command]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"is being written by process {os.getpid()}" in said
        assert tree(tmp_path) == before


def test_the_lock_of_a_file_leaves_nothing(tmp_path: Path) -> None:
    """Held and let go twenty times: the folder is empty."""
    for _ in range(20):
        with ownership.writing_file(tmp_path / "x.png", "tests"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_reading_a_run_removes_nothing(tmp_path: Path) -> None:
    """What looks half-written may be what the writer writes now: `load` leaves it, the next writer sweeps it."""
    train(tmp_path)
    half = tmp_path / "checkpoints" / ".scoresde-tmp-now"
    half.write_bytes(b"half")
    (tmp_path / "run.json").unlink()
    runs.load(tmp_path)
    assert half.exists()
    train(tmp_path, resume=True)
    assert not half.exists()


@pytest.mark.slow
def test_two_trainings_of_one_folder_at_once(tmp_path: Path) -> None:
    """Started together: one ends with exit code 0, the other is refused with exit code 2, and the model is the first
    one's."""
    config = configured(tmp_path, steps=3000)
    command = [sys.executable, "-m", "scoresde", "train", str(config), "--out", str(tmp_path / "run")]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [one.communicate(timeout=300)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 2]
    refused = said[[one.returncode for one in both].index(2)]
    assert refused.count("\n") == 1
    assert torch.isfinite(next(runs.load(tmp_path / "run").denoiser.parameters())).all()

"""The command line: exit codes, one-line errors, files that work together."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from scoresde import cli
from scoresde.cli import demo
from scoresde.runs import load
from scoresde.runs.config import Config, DataConfig, NetworkConfig
from scoresde.training import Training


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of `scoresde ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["scoresde", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 8x8 images, trained for two steps through the command line."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "c.toml").write_text("[network]\nwidths = [8, 8]\n[training]\nsteps = 2\nbatch = 16\n")
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, "train", folder / "c.toml", "--out", folder / "run") == 0
    return folder / "run"


def test_train_sample_and_info_work_on_the_same_folder(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, "info", trained) == 0
    said = capsys.readouterr().out
    assert "digits: 1437" in said
    assert "scoresde train" in said
    for method, more in (
        ("ddim", ["--steps", 3]),
        ("euler_maruyama", ["--steps", 4]),
        ("probability_flow", ["--rtol", 0.1]),
    ):
        assert (
            call(
                monkeypatch, "sample", trained, "--method", method, *more, "--n", 4, "--out", tmp_path / f"{method}.npz"
            )
            == 0
        )
        x = np.load(tmp_path / f"{method}.npz")["x"]
        assert x.shape == (4, 1, 8, 8)
        assert np.isfinite(x).all()
    assert call(monkeypatch, "sample", trained, "--steps", 2, "--n", 9, "--out", tmp_path / "grid.png") == 0
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (3 * 33 + 1, 3 * 33 + 1)


def test_likelihood_of_held_out_data(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "likelihood", trained, "--n", 2, "--probes", 1, "--rtol", 0.05) == 0
    said = capsys.readouterr().out
    assert "2 held-out samples of digits" in said
    assert "bits/dim" in said


def test_samples_do_not_depend_on_the_batch(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for batch in (2, 5):
        assert (
            call(
                monkeypatch,
                "sample",
                trained,
                "--steps",
                3,
                "--n",
                5,
                "--batch",
                batch,
                "--out",
                tmp_path / f"{batch}.npz",
            )
            == 0
        )
    a, b = (np.load(tmp_path / f"{k}.npz")["x"] for k in (2, 5))
    assert np.abs(a - b).max() <= 1e-5 * (8 + np.abs(a).max())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_samples_are_the_same(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for more in ([], ["--compile"]):
        assert (
            call(monkeypatch, "sample", trained, "--steps", 3, "--n", 4, *more, "--out", tmp_path / f"{len(more)}.npz")
            == 0
        )
    a, b = (np.load(tmp_path / f"{k}.npz")["x"] for k in (0, 1))
    assert np.abs(a - b).max() <= 1e-4 * (8 + np.abs(a).max())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sample", "RUN", "--n", "-3"], "`n`"),
        (["sample", "RUN", "--out", "x.gif"], "`--out`"),
        (["sample", "RUN", "--method", "annealed_langevin", "--compile"], "`compile` must be False"),
        (["sample", "nowhere"], "run.json is missing"),
        (["info", "nowhere"], "run.json is missing"),
        (["train", "absent.toml", "--out", "OUT"], "no such file"),
        (["demo", "--steps", "0", "--out", "OUT"], "`steps`"),
        (["demo", "--data", "absent.npz", "--out", "OUT"], "`data`"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(
    trained: Path,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    named = {"RUN": str(trained), "OUT": str(tmp_path / "out")}
    assert call(monkeypatch, *(named.get(a, a) for a in arguments)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (FloatingPointError("x"), None)])
def test_interrupts_exit_130_and_bugs_are_not_hidden(
    error: BaseException, code: int | None, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("scoresde.runs.load_any", fail)
    if code is None:
        monkeypatch.setattr(sys, "argv", ["scoresde", "info", str(trained)])
        with pytest.raises(type(error)):
            cli.main()
    else:
        assert call(monkeypatch, "info", trained) == code


def test_a_model_that_is_not_finite_exits_3(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from scoresde import runs

    real = runs.load

    def broken(*arguments: object) -> runs.Trained:
        loaded = real(*arguments)
        with torch.no_grad():
            next(loaded.denoiser.parameters()).fill_(torch.nan)
        return loaded

    monkeypatch.setattr("scoresde.runs.load", broken)
    assert call(monkeypatch, "sample", trained, "--steps", 3, "--n", 2, "--out", tmp_path / "x.npz") == 3
    said = capsys.readouterr().err
    assert "step 1 of 2" in said
    assert "2 of 2 samples" in said


@pytest.mark.parametrize("command", ["demo", "train", "sample", "likelihood", "info"])
def test_every_command_has_help_with_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, command, "--help") == 0
    assert f"scoresde {command}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
def test_the_demo_writes_everything(labelled: bool, tmp_path: Path) -> None:
    """A two-step demo: all files, a self-contained report, a table for every method."""
    from rich.console import Console

    path = "digits"
    if not labelled:
        path = str(tmp_path / "images.npz")
        np.savez(path, x=np.random.default_rng(0).integers(0, 255, (60, 10, 9, 3), dtype=np.uint8))
    config = Config(
        data=DataConfig(path=path), network=NetworkConfig(widths=(8, 8)), training=Training(steps=2, batch=16)
    )
    demo.run(config, tmp_path / "out", "scoresde demo", 6, "cpu", Console(quiet=True), workers=2)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    chosen = demo.methods(load(tmp_path / "out").denoiser)
    stems = ["real", *(stem for _, stem, _ in chosen)]
    trained = {"model.safetensors", "run.json", "moments.safetensors", "checkpoints", "log.jsonl"}
    assert names == trained | {
        "metrics.json",
        "report.html",
        "trajectory.png",
        "flow.gif",
        "loss.png",
        *(f"samples_{s}.png" for s in stems),
    }
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    calls = {r["name"]: r["calls"] for r in metrics["rows"]}
    fixed = {name: method.calls for name, _, method in chosen if method.calls is not None}
    distances = [r["frechet"] for r in metrics["rows"][1:]]
    assert distances == sorted(distances)
    assert all(r["frechet_low"] <= r["frechet"] <= r["frechet_high"] for r in metrics["rows"])
    assert {name: calls[name] for name in fixed} == fixed
    assert all(("confidence" in r) is labelled for r in metrics["rows"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/") == len(stems) + 3
    assert "lower is better" in page
    assert "http" not in page
    with Image.open(tmp_path / "out" / "flow.gif") as gif:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(gif)]
    assert len(frames) > 3
    assert all((a != b).any() for a, b in pairwise(frames))

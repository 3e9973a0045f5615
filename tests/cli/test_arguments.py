"""Arguments as people type them: accepted where the meaning is plain, refused in one line before anything is computed
elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoresde import cli, exact, runs
from scoresde.compare import drawing, figures
from scoresde.data.toys import moons
from scoresde.evaluation.judge import frechet
from scoresde.evaluation.likelihood import log_likelihood
from tests.helpers.command import one_line
from tests.helpers.kill_harness import CONFIG, TOML, points


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["scoresde", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of points, through the command line."""
    folder = tmp_path_factory.mktemp("arguments")
    (folder / "c.toml").write_text(TOML.format(data="moons", steps=4))
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, "train", folder / "c.toml", "--out", folder / "run") == 0
    return folder / "run"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of images."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "c.toml").write_text("[network]\nwidths = [8, 8]\n[training]\nsteps = 1\nbatch = 8\n")
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, "train", folder / "c.toml", "--out", folder / "run") == 0
    return folder / "run"


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of scoresde, torch and Python."""
    assert call(monkeypatch, "--version") == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("scoresde 0", "torch 2", "python 3"))


@pytest.mark.parametrize(
    "command", ["", "train", "sample", "likelihood", "doctor", "import", "info", "compare", "demo"]
)
def test_h_is_help(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """-h, of the program and of every command."""
    assert call(monkeypatch, *([command] if command else []), "-h") == 0
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["x.PNG", "x.Npz", "x.NPZ"])
def test_endings_in_capitals(name: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file ending in capitals is of the same kind."""
    assert call(monkeypatch, "sample", images, "--n", 2, "--steps", 2, "--out", tmp_path / name) == 0
    magic = b"\x89PNG" if name.lower().endswith("png") else b"PK"
    assert (tmp_path / name).read_bytes().startswith(magic)


@pytest.mark.parametrize("device", ["cpu:5", "cuda:x", "cuda:99", "CPU", "mps", "", "cpu ", "cuda:٣"])
@pytest.mark.parametrize("command", ["sample", "likelihood", "doctor", "compare", "train", "demo"])
def test_devices_that_are_none(
    device: str, command: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """By every command that takes one, before it writes a file."""
    out = tmp_path / ("out.npz" if command == "sample" else "out")
    first = {"train": [run.parent / "c.toml"], "demo": []}.get(command, [run])
    more = [] if command in ("likelihood", "doctor") else ["--out", out]
    assert call(monkeypatch, command, *first, *more, "--device", device) == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert "`--device`" in error
    assert not out.exists()


@pytest.mark.parametrize(
    "budgets", ["٣", "²", "1e3", "-1", "0", "5.0", "99999999999999999999", "0x10", "1_000", "five", "", ","]
)
def test_budgets_that_are_no_numbers(
    budgets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole numbers in the digits 0 to 9, from 1 to 100000."""
    assert (
        call(
            monkeypatch,
            "compare",
            "--problem",
            "gaussian3",
            "--methods",
            "ddim",
            f"--budgets={budgets}",
            "--out",
            tmp_path / "out",
        )
        == 2
    )
    error = capsys.readouterr().err
    assert one_line(error)
    assert "`--budgets`" in error


def test_budgets_may_be_repeated_or_empty_between_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5,,10, 5 is 5,10."""
    assert (
        call(
            monkeypatch,
            "compare",
            "--problem",
            "gaussian3",
            "--methods",
            "ddim",
            "--budgets",
            "3,,2, 3",
            "--out",
            tmp_path / "out",
        )
        == 0
    )
    assert (tmp_path / "out" / "rows.jsonl").read_text().count("\n") == 2


def test_seeds_without_end_are_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """10^7 of them: the number of rows is told."""
    arguments = [
        "compare",
        "--problem",
        "gaussian3",
        "--methods",
        "ddim",
        "--budgets",
        "5",
        "--seeds",
        10**7,
        "--out",
        tmp_path / "out",
    ]
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert "10,000,000" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shape", ["٣", "2,", "-2", "2.0", "0", "1 2"])
def test_shapes_that_are_none(
    shape: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an import."""
    arguments = [
        "import",
        run / "model.safetensors",
        "--config",
        run.parent / "c.toml",
        f"--shape={shape}",
        "--out",
        tmp_path / "out",
    ]
    assert call(monkeypatch, *arguments) == 2
    assert "`--shape` must be positive numbers" in capsys.readouterr().err


# -- late refusals
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["x.gif", "x.jpg", "folder.npz", "exists.npz", "file/x.npz", "n" * 300 + ".npz", "x\0.npz"]
)
def test_a_target_that_cannot_be_is_refused_before_drawing(
    place: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clip of points, another ending, a folder, a file that exists, a path below a file, a name too long or with
    a zero byte."""
    monkeypatch.setattr("scoresde.samplers.sampling.sample", None)  # drawing would fail
    (tmp_path / "folder.npz").mkdir()
    for name in ("file", "exists.npz"):
        (tmp_path / name).write_bytes(b"")
    assert call(monkeypatch, "sample", run, "--n", 20_000, "--out", tmp_path / place) == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert "--out" in error


def test_samples_of_points_have_a_default_file(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scoresde sample RUN`, the command that train prints: an array beside the run, and again."""
    for _ in range(2):
        assert call(monkeypatch, "sample", run, "--n", 3, "--steps", 2) == 0
    assert np.load(run / "samples.npz")["x"].shape == (3, 2)


@pytest.mark.parametrize("option", ["--n", "--batch"])
@pytest.mark.parametrize("command", ["sample", "likelihood"])
def test_counts_below_one(
    option: str, command: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named, in one line."""
    assert call(monkeypatch, command, run, option, 0) == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert f"`{option[2:]}`" in error


def test_resume_and_overwrite_contradict_each_other(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One keeps the run, the other one replaces it."""
    before = (run / "model.safetensors").read_bytes()
    assert call(monkeypatch, "train", run.parent / "c.toml", "--out", run, "--resume", "--overwrite") == 2
    assert "`--resume` must be left out with --overwrite" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == before


# -- figures
# ---------------------------------------------------------------------------------------------------------------


def test_one_sample_has_no_spread(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`likelihood --n 1`: no nan; `--n 2` tells it."""
    for n, told in ((1, False), (2, True)):
        assert call(monkeypatch, "likelihood", run, "--n", n, "--rtol", 0.1, "--probes", 1) == 0
        said = capsys.readouterr().out
        assert "nan" not in said
        assert ("+-" in said) is told


@pytest.mark.parametrize("probes", [None, 2])
def test_likelihood_in_parts_is_that_of_the_whole(probes: int | None) -> None:
    """Handed over in parts with the index of the first: the same numbers to the bit, of an exact denoiser."""
    import torch

    data = exact.GaussianMixture(torch.tensor([[1.0, 0.0], [-1.0, 0.5]]), 0.1)
    x, options = moons().x[:5], {"probes": probes, "rtol": 1e-3, "atol": 1e-3}
    whole = log_likelihood(data, x, **options)
    parts = [log_likelihood(data, x[i : i + 2], first=i, **options) for i in (0, 2, 4)]
    assert torch.equal(whole.log_prob, torch.cat([part.log_prob for part in parts]))


def test_one_budget_has_a_picture(tmp_path: Path) -> None:
    """One point only: drawn without a warning of the plot library."""
    point = figures.Point(100.0, 0.1, 1e-3, 1e-3, 1e-3, 100.0, 1)
    drawing.picture(
        [figures.Panel("gaussian3", "rms", 0.0, [figures.Curve("ddim", "scoresde", [point])])], tmp_path / "x.png"
    )
    assert (tmp_path / "x.png").exists()


def test_the_frechet_distance_of_one_column() -> None:
    """(m_a - m_b)^2 + (s_a - s_b)^2."""
    import torch

    a = torch.linspace(-1, 1, 50, dtype=torch.float64).unsqueeze(1)
    b = 3 * a + 2
    assert frechet(a, b) == pytest.approx(4 + (2 * a.std().item()) ** 2)


def test_a_run_is_resumed_by_the_library_where_nothing_is_yet(tmp_path: Path) -> None:
    """runs.train(resume=True) of a new folder begins."""
    assert runs.train(CONFIG, points(), tmp_path / "run", "tests", resume=True).about["training"]["steps_done"] == 40

"""Rows and references are those of their model, whole: what does not fit is named and measured again."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scoresde import cli, runs
from scoresde.compare import problems, runner, store
from scoresde.compare.store import Store
from tests.helpers.kill_harness import CONFIG, points

TODO = {"methods": ["ddim", "unipc"], "budgets": [5, 10], "seeds": 1}


@pytest.fixture(autouse=True)
def case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A small Gaussian problem; a cache of its own."""
    small = replace(problems.gaussian3(), n=16, judged=50)
    monkeypatch.setattr(problems, "all_problems", lambda: {"gaussian3": lambda: small})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runner.forget()
    yield small
    runner.forget()


def compared(folder: Path, source: str = "gaussian3") -> list[dict[str, Any]]:
    """The rows that were measured now."""
    measured: list[dict[str, Any]] = []
    runner.forget()
    runner.run(runner.tasks([source], **TODO), Store(folder), report=measured.append)
    return measured


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    """Four rows, then none."""
    assert len(compared(tmp_path)) == 4
    assert compared(tmp_path) == []


@pytest.mark.parametrize("line", range(4))
@pytest.mark.parametrize("damage", ["digit", "cut", "none", "list", "checksum"])
def test_a_damaged_line_is_named_and_its_row_measured_again(line: int, damage: str, tmp_path: Path) -> None:
    """A changed digit of the error, half a line, an empty one, JSON that is no row, a row without its checksum."""
    compared(tmp_path)
    path = tmp_path / "rows.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[line])
    plain = {key: value for key, value in row.items() if key != "checksum"}
    digit = json.dumps(row | {"error": row["error"] * 1.001})
    lines[line] = {"digit": digit, "cut": lines[line][:40], "none": "", "list": "[1]", "checksum": json.dumps(plain)}[
        damage
    ]
    path.write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning, match=rf"rows\.jsonl: line {line + 1} "):
        again = compared(tmp_path)
    assert [(r["method"], r["cost"], r["error"]) for r in again] == [(row["method"], row["cost"], row["error"])]
    assert compared(tmp_path) == []


def test_a_run_trained_again_is_measured_again(tmp_path: Path) -> None:
    """Under the same path: its rows have another digest, by which they are found."""
    run = tmp_path / "run"
    runs.train(CONFIG, points(), run, "tests")
    first = _model(run)
    other = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, seed=5))
    runs.train(other, points(), run, "tests")
    assert _model(run) != first


def _model(run: Path) -> str:
    from scoresde.denoisers.denoiser import Denoiser

    denoiser = runs.load(run).denoiser
    assert isinstance(denoiser, Denoiser)
    return store.digest(problems.Problem("run", denoiser, (2,), 4, high=80.0, low=0.1, steps=10))


def test_rows_of_another_model_are_named_and_kept_apart(case: Any, tmp_path: Path) -> None:
    """The problem of that name has changed: all four are measured again, a third run measures nothing."""
    first = compared(tmp_path)
    case.denoiser.mean += 1
    try:
        with pytest.warns(UserWarning, match="has rows of another model named gaussian3; measured again"):
            second = compared(tmp_path)
        assert len(second) == 4
        assert {r["model"] for r in first}.isdisjoint({r["model"] for r in second})
        assert compared(tmp_path) == []
    finally:
        case.denoiser.mean -= 1
    assert compared(tmp_path) == []


@pytest.mark.parametrize("damage", ["bit", "dtype", "shape", "torn", "no seal"])
def test_a_reference_that_does_not_fit_is_named_and_made_again(damage: str, case: Any, tmp_path: Path) -> None:
    """One flipped bit of the answer, another dtype, another shape, half a file, a file without its seal."""
    from safetensors.torch import load, save

    solved = replace(case, flow=None, n=4, tolerance=1e-9)
    first, error = store.reference(solved, 0)
    (path,) = (tmp_path / "cache" / "scoresde").iterdir()
    content = path.read_bytes()
    kept = load(content)
    changed = {
        "dtype": kept | {"y": kept["y"].float()},
        "shape": kept | {"y": kept["y"][:2].clone()},
        "no seal": {"y": kept["y"], "error": kept["error"]},
    }
    flipped = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    path.write_bytes(
        save(changed[damage]) if damage in changed else flipped if damage == "bit" else content[: len(content) // 2]
    )
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        again = store.reference(solved, 0)
    assert torch.equal(first, again[0])
    assert error == again[1]
    assert path.read_bytes() == content


def test_two_runs_of_one_relative_name_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`scoresde compare run --out ../rows` in two folders: the second is measured, and its table is its own."""
    toml = "[data]\npath = 'moons'\n[network]\nwidths = [8]\n[training]\nsteps = 2\nbatch = 8\nseed = {}\n"
    for k in (0, 1):
        (tmp_path / str(k)).mkdir()
        monkeypatch.chdir(tmp_path / str(k))
        Path("c.toml").write_text(toml.format(k))
        for arguments in (
            ["train", "c.toml", "--out", "run"],
            ["compare", "run", "--methods", "ddim", "--budgets", "5", "--out", "../rows"],
        ):
            monkeypatch.setattr("sys.argv", ["scoresde", *arguments])
            if k == 1 and arguments[0] == "compare":
                with pytest.warns(UserWarning, match="another model named run"), pytest.raises(SystemExit) as stop:
                    cli.main()
            else:
                with pytest.raises(SystemExit) as stop:
                    cli.main()
            assert not stop.value.code
    rows = [json.loads(line) for line in (tmp_path / "rows" / "rows.jsonl").read_text().splitlines()]
    assert len({row["model"] for row in rows}) == len(rows) == 2


def test_rows_that_are_nobody_s_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rows.jsonl of somebody else: exit code 2, and it stays as it is."""
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\nnot JSON\n')
    monkeypatch.setattr(
        "sys.argv",
        [
            "scoresde",
            "compare",
            "--problem",
            "gaussian3",
            "--methods",
            "ddim",
            "--budgets",
            "5",
            "--out",
            str(tmp_path),
        ],
    )
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "`--out` must be a new folder or one that compare wrote" in capsys.readouterr().err
    assert (tmp_path / "rows.jsonl").read_text() == '{"id": 1}\nnot JSON\n'

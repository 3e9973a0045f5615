"""`scoresde tune`, and its file in `sample` and `compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scoresde.tuning import descent
from tests.helpers.in_process import called

CONFIG = """
[data]
path = "moons"
[network]
widths = [16]
[training]
steps = 3
batch = 16
{more}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of points, one of labelled wines, and a method tuned on the first."""
    place = tmp_path_factory.mktemp("tuning")
    (place / "points.toml").write_text(CONFIG.format(more=""))
    labelled = CONFIG.replace("moons", "wine").format(more="label_dropout = 0.1")
    (place / "labelled.toml").write_text(labelled)
    (place / "other.toml").write_text(CONFIG.format(more="seed = 1"))
    for name in ("points", "labelled", "other"):
        assert called("train", place / f"{name}.toml", "--out", place / name) == 0
    with pytest.MonkeyPatch.context() as patch:
        for stage in descent.STEPS:
            patch.setitem(descent.STEPS, stage, 1)
        assert called("tune", place / "points", "--calls", "4", "--out", place / "m.json") == 0
    return place


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more than a look at each stage."""
    for stage in descent.STEPS:
        monkeypatch.setitem(descent.STEPS, stage, 1)


def test_a_tuned_method_samples(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.csv"
    assert called("sample", folder / "points", "--method", folder / "m.json", "--n", "5", "--out", out) == 0
    assert len(out.read_text().splitlines()) >= 5
    assert "was tuned on" not in capsys.readouterr().err
    told = json.loads((folder / "m.json").read_text())
    assert told["calls"] == 4
    assert told["run"] == str(folder / "points")


def test_it_is_compared_at_its_calls(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row at four calls, none at five; another file of that name is another competitor."""
    names = f"{folder / 'm.json'},ddim"
    out = tmp_path / "compared"
    assert called("compare", folder / "points", "--methods", names, "--budgets", "4,5", "--out", out) == 0
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    own = [row for row in rows if "m.json" in row["method"]]
    assert [row["cost"] for row in own if "error" in row] == [4.0]
    assert [row["failed"] for row in own if "error" not in row] == ["it was tuned for another budget"]
    assert "m.json#" in own[0]["method"]


def test_labels_and_guidance(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One class under guidance, or all classes; the scale stands in the file. The levels are printed."""
    run = folder / "labelled"
    small = ("--calls", "2", "--pairs", "4", "--stage", "levels")
    guided = ("--label", "1", "--guidance", "2", "--out", tmp_path / "g.json", "--sigmas", "--plain")
    assert called("tune", run, *small, *guided) == 0
    told = json.loads((tmp_path / "g.json").read_text())
    assert (told["label"], told["guidance"], told["frame"]) == (1, "2", None)
    assert len(capsys.readouterr().out.strip().splitlines()[-1].split(",")) == 3
    drawn = ("--method", tmp_path / "g.json", "--label", "1", "--n", "2", "--overwrite", "--out", tmp_path / "x.npz")
    for scale, warned in (("2", False), ("4", True)):
        assert called("sample", run, *drawn, "--guidance", scale) == (2 if warned else 0)  # a warning is an error here
        assert ("was tuned on the model" in capsys.readouterr().err) == warned
    assert called("tune", run, *small, "--out", tmp_path / "all.json", "--time", "1s") == 0
    assert json.loads((tmp_path / "all.json").read_text())["label"] is None


def test_noise(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stochastic method: it samples, other seeds make other samples; a comparison judges it by its law."""
    run, out = folder / "points", tmp_path / "n.json"
    assert called("tune", run, "--calls", "3", "--noise", "--out", out) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "energy distance" in told
    assert "eta of each step" in told or "nothing learned was nearer" in told
    for seed in ("0", "1"):
        file = tmp_path / f"{seed}.csv"
        assert called("sample", run, "--method", out, "--n", "3", "--seed", seed, "--out", file) == 0
    assert (tmp_path / "0.csv").read_text() != (tmp_path / "1.csv").read_text()
    assert called("compare", run, "--methods", f"{out},ddim", "--budgets", "3", "--out", tmp_path / "compared") == 0
    rows = [json.loads(line) for line in (tmp_path / "compared" / "rows.jsonl").read_text().splitlines()]
    assert [row["stochastic"] for row in rows if "n.json" in row["method"]] == [True]


BAD = {
    "points --calls 1": "`calls` must",
    "points --calls 4 --time soon": "`--time` must be a duration above 0",
    "points --calls 4 --time 0s": "`--time` must be a duration above 0",
    "points --calls 4 --stage all": "`stage` must be one of",
    "points --calls 4 --out {tmp}/m.txt": "`--out` must end in .json",
    "points --calls 4 --out {m}": "`--out` must not exist",
    "points --calls 4 --out {other} --overwrite": "`--out` must be new or hold a tuned method",
    "points --calls 4 --label 1": "`--label` must be left out",
    "points --calls 4 --pairs 0": "`pairs` must",
    "points --calls 4 --noise --stage table": "`--stage` must not be given with --noise",
    "points --calls 4 --noise --pairs 64": "`--pairs` must not be given with --noise",
    "labelled --calls 4 --label 1 --guidance 1,2": "`--guidance` must be one scale",
    "labelled --calls 4 --guidance 2": "`--label` must be given",
}


@pytest.mark.parametrize("line", BAD)
def test_what_cannot_be_asked(line: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"mine": 1}')
    words = line.format(tmp=tmp_path, m=folder / "m.json", other=other).split()
    assert called("tune", folder / words[0], *words[1:]) == 2
    error = capsys.readouterr().err.strip()
    assert BAD[line] in error
    assert "\n" not in error
    assert other.read_text() == '{"mine": 1}'


SAMPLED = {
    "--method {m} --steps 7": "`--steps` must not be given for a tuned method",
    "--method {other}": "not a tuned method",
    "--method {gone}": "gone.json",
}


@pytest.mark.parametrize("line", SAMPLED)
def test_files_that_cannot_sample(line: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"mine": 1}')
    words = line.format(m=folder / "m.json", other=other, gone=tmp_path / "gone.json").split()
    assert called("sample", folder / "points", *words, "--n", "2", "--out", tmp_path / "x.csv") == 2
    assert SAMPLED[line] in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


def test_another_model_is_warned_of(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a warning, which is an error in these tests."""
    run = folder / "labelled"
    code = called("sample", run, "--method", folder / "m.json", "--n", "2", "--label", "1", "--out", tmp_path / "x.npz")
    assert code == 2
    assert "was tuned on the model" in capsys.readouterr().err
    named = ("--methods", folder / "m.json", "--budgets", "4", "--out", tmp_path / "compared")
    assert called("compare", folder / "other", *named) == 2
    assert "was tuned on the model" in capsys.readouterr().err

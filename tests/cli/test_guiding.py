"""Guidance on the command line: what it draws, and what it refuses in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.in_process import called

CONFIG = """
[data]
path = "eight_gaussians"
[network]
widths = [16]
[training]
steps = 20
batch = 32
label_dropout = {dropout}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with labels, with labels never hidden, and without."""
    folder = tmp_path_factory.mktemp("guiding")
    for name, dropout in (("labelled", "0.2"), ("always", "0.0"), ("plain", None)):
        text = CONFIG.format(dropout=dropout)
        text = text if dropout else "\n".join(line for line in text.splitlines() if "dropout" not in line)
        (folder / f"{name}.toml").write_text(text)
        assert called("train", str(folder / f"{name}.toml"), "--out", str(folder / name)) == 0

    judge = CONFIG.format(dropout="0.0").replace("widths", 'kind = "classifier"\nwidths')
    for name, path in (("judge", "eight_gaussians"), ("other", "digits")):
        (folder / f"{name}.toml").write_text(judge.replace("eight_gaussians", path).replace("[16]", "[16, 32]"))
        assert called("train", str(folder / f"{name}.toml"), "--out", str(folder / name)) == 0

    return folder


def drawn(folder: Path, out: Path, *options: str, run: str = "labelled") -> np.ndarray:
    arguments = ("--n", "5", "--steps", "4", "--out", str(out), "--overwrite")
    assert called("sample", str(folder / run), *arguments, *options) == 0
    return np.load(out)["x"]


def test_each_scale_has_a_row_from_the_same_noise(folder: Path, tmp_path: Path) -> None:
    """Scale 1 is the sample without the option; each row is what its scale gives alone."""
    out = tmp_path / "x.npz"
    rows = drawn(folder, out, "--label", "3", "--guidance", "0,1,4").reshape(3, 5, 2)
    np.testing.assert_allclose(rows[1], drawn(folder, out, "--label", "3"), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rows[2], drawn(folder, out, "--label", "3", "--guidance", "4"), rtol=1e-5, atol=1e-5)
    assert np.abs(rows[0] - rows[2]).max() > 1e-3


def test_an_interval_and_a_weaker_run_change_the_answer(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    whole = drawn(folder, out, "--label", "3", "--guidance", "4")
    within = drawn(folder, out, "--label", "3", "--guidance", "4", "--interval", "-1,1")
    nowhere = drawn(folder, out, "--label", "3", "--guidance", "4", "--interval", "90,91")
    # away from itself a model stays where it is
    weak = drawn(folder, out, "--guidance", "2", "--weak", str(folder / "plain"), run="plain")
    assert np.abs(whole - within).max() > 1e-4
    np.testing.assert_allclose(nowhere, drawn(folder, out, "--label", "3"), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(weak, drawn(folder, out, run="plain"), rtol=1e-4, atol=1e-4)


def test_a_classifier_guides_a_run_without_labels(folder: Path, tmp_path: Path) -> None:
    """Scale 0 is the model's own; another scale moves it toward the label."""
    out = tmp_path / "x.npz"
    judge = ("--classifier", str(folder / "judge"))
    rows = drawn(folder, out, "--label", "3", "--guidance", "0,50", *judge, run="plain").reshape(2, 5, 2)
    np.testing.assert_allclose(rows[0], drawn(folder, out, run="plain"), rtol=1e-5, atol=1e-5)
    assert np.abs(rows[0] - rows[1]).max() > 1e-3


def test_a_classifier_says_its_loss_in_nats(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("train", str(folder / "judge.toml"), "--out", str(tmp_path / "again")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nats a sample" in said
    assert "--classifier" in said


BAD = {
    "plain --label 3 --guidance 2 --classifier {plain}": "holds a denoiser",
    "plain --label 3 --guidance 2 --classifier {other}": "`--classifier` must know samples of shape",
    "plain --label 8 --guidance 2 --classifier {judge}": "`--label` must lie in",
    "plain --guidance 2 --classifier {judge}": "`--label` must be given with --classifier",
    "plain --label 3 --classifier {judge}": "`--classifier` must be left out without --guidance",
    "plain --label 3 --guidance 2 --classifier {judge} --interval 0,1": "`--interval` must be left out with --class",
    "judge": "holds a classifier",
    "labelled --guidance 2": "`--label` must be given with --guidance",
    "labelled --label 3 --guidance -1": "`--guidance` must be at least 0",
    "labelled --label 3 --guidance a,2": "`--guidance` must be numbers between commas",
    "labelled --label 3 --guidance nan": "`--guidance` must be finite",
    "labelled --label 3 --interval 0,1": "`--interval` must be left out without --guidance",
    "labelled --label 3 --guidance 2 --interval 1,0": "`--interval` must be two rising levels",
    "labelled --label 3 --guidance 2 --interval 1": "`--interval` must be two rising levels",
    "labelled --label 3 --guidance 2 --rescale 1.5": "`--rescale` must lie in",
    "labelled --label 3 --guidance 2 --null 8": "`--null` must be left out for a run",
    "labelled --label 3 --guidance 2 --weak {plain}": "`--weak` must take the same labels",
    "labelled --label 9 --guidance 2": "`--label` must lie in",
    "plain --guidance 2": "`--guidance` must be left out: the model is not class-conditional",
    "always --label 3 --guidance 2": "`--guidance` must be left out: the model was trained with",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_options_are_named(line: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, *options = line.format(**{name: folder / name for name in ("plain", "judge", "other")}).split()
    assert called("sample", str(folder / run), *options, "--out", str(tmp_path / "x.npz")) == 2
    assert BAD[line] in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()

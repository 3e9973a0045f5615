"""`scoresde restore` of clips: the frames that are given stay as they are, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde.cli.restoring import METHODS, NOISY
from scoresde.interop import models
from tests.helpers.in_process import called

CONFIG = """
[data]
path = "moving_digits"
[network]
kind = "patches"
patch = [2, 8, 8]
widths = [16]
[training]
steps = 2
batch = 4
"""
EXACT = [method for method in METHODS if method not in NOISY and method != "mcgdiff"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    (folder / "c.toml").write_text(CONFIG)
    np.save(folder / "mask.npy", np.eye(16, dtype=np.uint8)[None].repeat(8, 0))
    assert called("train", str(folder / "c.toml"), "--out", str(folder / "run")) == 0
    return folder / "run"


@pytest.mark.parametrize("method", EXACT)
def test_given_frames_are_kept_exactly(method: str, run: Path, tmp_path: Path) -> None:
    """Every bit of them, by every method that takes exact data; the others are drawn, each sample its own."""
    out = tmp_path / "x.npz"
    options = ("--std", "0", "--method", method, "--steps", "3", "--n", "2", "--index", "5", "--out", str(out))
    assert called("restore", str(run), "--operator", "frames:0-2,7", *options) == 0

    model = models.load(run)
    truth = model.original(model.held_out().in_memory(6).x[5:])[0]
    drawn = torch.from_numpy(np.load(out)["x"])
    given = [0, 1, 2, 7]

    assert drawn.shape == (2, 1, 8, 16, 16)
    assert torch.equal(drawn[:, :, given], truth[:, given].expand(2, -1, -1, -1, -1))
    assert not torch.equal(drawn[0, :, 3:7], drawn[1, :, 3:7])


@pytest.mark.parametrize("operator", ["frames:0", "box:0,0,16,8", "mask:{folder}/mask.npy"])
def test_clips_are_measured(operator: str, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    options = ("--steps", "3", "--n", "2", "--out", str(out))
    assert called("restore", str(run), "--operator", operator.format(folder=run.parent), *options) == 0
    assert np.isfinite(np.load(out)["x"]).all()


def test_a_gif_shows_clips_side_by_side(run: Path, tmp_path: Path) -> None:
    """Truth, measurement, two samples, their mean and spread: six, over eight frames."""
    out = tmp_path / "x.gif"
    options = ("--steps", "3", "--n", "2", "--out", str(out))
    assert called("restore", str(run), "--operator", "frames:0", *options) == 0
    with Image.open(out) as picture:
        assert picture.n_frames == 8  # pyright: ignore[reportAttributeAccessIssue]
        assert 5 * picture.height < picture.width < 7 * picture.height


def test_a_sheet_shows_frames_side_by_side(run: Path, tmp_path: Path) -> None:
    """Six clips, one a row, of eight frames."""
    out = tmp_path / "x.png"
    options = ("--steps", "3", "--n", "2", "--out", str(out))
    assert called("restore", str(run), "--operator", "frames:0", *options) == 0
    with Image.open(out) as picture:
        assert abs(picture.width / picture.height - 8 / 6) < 0.1


BAD = {
    "frames:8": "`--operator` must name frames from 0 to 7",
    "frames:3-1": "`--operator` must name frames from 0 to 7, in order",
    "frames:0-7": "`--operator` must leave a frame to be drawn, got all 8",
    "frames:": "`--operator` must list frames as in frames:0-2,7",
    "frames:one": "`--operator` must list frames as in frames:0-2,7",
    "frames:-1": "`--operator` must list frames as in frames:0-2,7",
    "blur:1": "`--operator` must be frames, box or mask for video and volumes",
    "downsample:2": "`--operator` must be frames, box or mask for video and volumes",
    "grey": "`--operator` must be frames, box or mask for video and volumes",
    "frames:0 --std 0 --method twisted": "`--std` must be above 0 for twisted",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_options_are_named(line: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operator, *options = line.split()
    out = tmp_path / "x.npz"
    assert called("restore", str(run), "--operator", operator, *options, "--out", str(out)) == 2
    assert BAD[line] in capsys.readouterr().err
    assert not out.exists()

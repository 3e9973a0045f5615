"""`scoresde restore`: every operator and method on a small run of images, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scoresde.cli.restoring import METHODS, PARTICLES
from tests.helpers.in_process import called

CONFIG = '[data]\npath = "digits"\n[network]\nwidths = [8]\nlayers = 1\n[training]\nsteps = 4\nbatch = 16\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("restoring")
    (folder / "c.toml").write_text(CONFIG)
    (folder / "points.toml").write_text(CONFIG.replace("digits", "moons").replace("layers = 1\n", ""))
    np.save(folder / "mask.npy", np.eye(8, dtype=np.uint8))
    np.save(folder / "wrong.npy", np.full((8, 8), 0.5))
    assert called("train", str(folder / "c.toml"), "--out", str(folder / "run")) == 0
    assert called("train", str(folder / "points.toml"), "--out", str(folder / "points")) == 0
    return folder


@pytest.mark.parametrize("operator", ["box:0,4,8,4", "mask:{folder}/mask.npy", "blur:0.8", "downsample:2", "grey"])
@pytest.mark.parametrize("method", [method for method in METHODS if method not in PARTICLES])
def test_every_operator_and_method(operator: str, method: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    options = ("--method", method, "--steps", "3", "--n", "2", "--out", str(out))
    assert called("restore", str(folder / "run"), "--operator", operator.format(folder=folder), *options) == 0
    x = np.load(out)["x"]
    assert x.shape == (2, 1, 8, 8)
    assert np.isfinite(x).all()


def test_a_picture_has_truth_measurement_samples_mean_and_spread(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    options = ("--operator", "box:0,4,8,4", "--steps", "3", "--n", "2", "--out", str(out))
    assert called("restore", str(folder / "run"), *options) == 0
    with Image.open(out) as picture:
        width, height = picture.size
    assert width > 5 * height


@pytest.mark.filterwarnings("ignore:few particles")
@pytest.mark.parametrize("method", PARTICLES)
def test_particles_on_the_command_line(method: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    options = ("--method", method, "--particles", "8", "--steps", "3", "--n", "2", "--out", str(out))
    assert called("restore", str(folder / "run"), "--operator", "downsample:4", *options) == 0
    assert np.isfinite(np.load(out)["x"]).all()


BAD = {
    "run --operator box:0,0,9,1": "`--operator` must be box",
    "run --operator box:0,0,8,8": "`--operator` must be box",
    "run --operator blur:-1": "`--operator` must be box",
    "run --operator downsample:3": "`--operator` must be box",
    "run --operator what": "`--operator` must be box",
    "run --operator mask:{folder}/none.npy": "`--operator` must name a .npy that can be read",
    "run --operator mask:{folder}/wrong.npy": "`--operator` must name a mask of shape",
    "run --operator grey --std -1": "`std` must",
    "run --operator grey --std 0 --method dps": "`--std` must be above 0 for dps",
    "run --operator blur:0.8 --std 0": "`--std` must be above 0 for blur",
    "run --operator frames:0": "`--operator` frames wants a model of video",
    "run --operator grey --method magic": "`method` must",
    "run --operator grey --index 100000": "`--index` must lie in",
    "points --operator grey": "`run` must be a model of images",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_options_are_named(line: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, *options = line.format(folder=folder).split()
    assert called("restore", str(folder / run), *options, "--out", str(tmp_path / "x.npz")) == 2
    assert BAD[line].replace("{folder}", str(folder)) in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()

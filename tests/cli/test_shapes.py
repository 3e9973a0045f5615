"""Samples of every shape through the commands: each works, or is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scoresde import runs
from tests.helpers.in_process import called

SHAPES = {"series": (2, 16), "images": (3, 8, 12), "volumes": (1, 4, 8, 8)}
CONFIG = """
[data]
path = "{path}"
kind = "{kind}"
[network]
kind = "patches"
widths = [16]
[training]
steps = {steps}
batch = 8
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each shape, taken up once."""
    folder = tmp_path_factory.mktemp("shapes")
    source = np.random.default_rng(0)
    for kind, shape in SHAPES.items():
        np.save(folder / f"{kind}.npy", source.random((40, *shape), dtype=np.float32))
        for steps, more in ((2, ()), (4, ("--resume",))):
            text = CONFIG.format(path=folder / f"{kind}.npy", kind=kind, steps=steps)
            (folder / f"{kind}.toml").write_text(text)
            assert called("train", str(folder / f"{kind}.toml"), "--out", str(folder / kind), *more) == 0
    return folder


@pytest.mark.parametrize("kind", SHAPES)
def test_it_is_sampled_and_judged(kind: str, folder: Path, tmp_path: Path) -> None:
    run = str(folder / kind)
    out = tmp_path / "x.npz"
    assert called("sample", run, "--n", "3", "--steps", "3", "--out", str(out)) == 0
    x = np.load(out)["x"]
    assert x.shape == (3, *SHAPES[kind])
    assert np.isfinite(x).all()
    assert called("info", run) == 0
    assert called("likelihood", run, "--n", "2", "--probes", "1", "--rtol", "0.1") == 0


def test_video_is_shown_as_a_gif(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One frame a picture; written again where asked, since it says that it is ours."""
    out = tmp_path / "x.gif"
    arguments = ("sample", str(folder / "volumes"), "--n", "2", "--steps", "2", "--out", str(out))
    assert called(*arguments) == 0
    with Image.open(out) as picture:
        assert picture.n_frames == 4  # type: ignore[attr-defined]
    assert called(*arguments) == 2
    assert "`--out` must not exist" in capsys.readouterr().err
    assert called(*arguments, "--overwrite") == 0

    foreign = tmp_path / "y.gif"
    Image.new("P", (4, 4)).save(foreign)
    assert called(*arguments[:-1], str(foreign), "--overwrite") == 2
    assert "`--out` must be new or hold samples that scoresde wrote" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("series", "x.gif", "`--out` must be a .png or .npz for series of shape (2, 16), got"),
        ("series", "x.csv", "`--out` must be a .png or .npz for series"),
        ("images", "x.gif", "`--out` must be a .png or .npz for images"),
        ("volumes", "x.csv", "`--out` must be a .png, .gif or .npz for volumes"),
    ],
)
def test_a_file_that_does_not_suit_is_refused(
    kind: str, name: str, said: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("sample", str(folder / kind), "--n", "2", "--steps", "2", "--out", str(tmp_path / name)) == 2
    assert said in capsys.readouterr().err


def test_sets_and_series_need_networks_of_their_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their arrays look the same: a network of the other is refused, and so is auto where nothing says which it is."""
    text = CONFIG.format(path=folder / "series.npy", kind="sets", steps=2)
    (folder / "sets.toml").write_text(text)
    assert called("train", str(folder / "sets.toml"), "--out", str(folder / "sets")) == 2
    assert "`network.kind` must be transformer for sets of shape (2, 16), got patches" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "network", "shape", "made"),
    [
        ("points", "transformer", (3,), "Transformer"),
        ("sets", "auto", (5, 2), "Transformer"),
        ("series", "auto", (2, 13), "UNetND"),
        ("volumes", "unet3d", (1, 2, 4, 5), "UNetND"),
    ],
)
def test_each_kind_has_its_network(kind: str, network: str, shape: tuple[int, ...], made: str, tmp_path: Path) -> None:
    """Trained and taken up, sampled and asked for likelihoods."""
    np.save(tmp_path / "data.npy", np.random.default_rng(0).standard_normal((40, *shape)).astype(np.float32))
    run = tmp_path / "run"
    for steps, more in ((2, ()), (4, ("--resume",))):
        text = CONFIG.format(path=tmp_path / "data.npy", kind=kind, steps=steps)
        (tmp_path / "c.toml").write_text(text.replace('"patches"', f'"{network}"'))
        assert called("train", str(tmp_path / "c.toml"), "--out", str(run), *more) == 0

    assert type(runs.load(run).denoiser.network).__name__ == made
    assert called("sample", str(run), "--n", "3", "--steps", "3", "--out", str(tmp_path / "x.npz")) == 0
    assert np.load(tmp_path / "x.npz")["x"].shape == (3, *shape)
    assert called("likelihood", str(run), "--n", "2", "--probes", "1", "--rtol", "0.1") == 0
    assert called("doctor", str(run), "--n", "8") in (0, 3)

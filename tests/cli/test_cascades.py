"""Cascades: a model that enlarges the images of another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scoresde import data, runs
from scoresde.data.low_resolution import Upsampling, condition, shrunk
from scoresde.data.samples import Dataset
from scoresde.runs.config import Config, ConfigError, DataConfig
from scoresde.samplers import sampling
from tests.helpers.in_process import called

LOW = """
[data]
path = "digits"
shrink = 2
[network]
widths = [8, 8]
[training]
steps = 2
batch = 32
label_dropout = 0.1
"""
HIGH = """
[cascade]
low = "{folder}/low"
[network]
widths = [8, 8]
[training]
steps = 4
batch = 32
[record]
save = 2
sample = 4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits of 4 x 4 pixels, and a stage that enlarges them to 8 x 8."""
    folder = tmp_path_factory.mktemp("cascade")
    for name, text in (("low", LOW), ("high", HIGH)):
        (folder / f"{name}.toml").write_text(text.format(folder=folder))
        assert called("train", str(folder / f"{name}.toml"), "--out", str(folder / name)) == 0
    return folder


def test_what_a_stage_is_given() -> None:
    """Without noise the enlarged copy; with noise its variance; and the level."""
    generator = torch.Generator().manual_seed(0)
    low = torch.full((4000, 1, 2, 2), 0.7)
    eps = torch.randn(low.shape, generator=generator)
    clean = condition(low, torch.zeros(4000), eps, 4)
    assert clean["low"].shape == (4000, 1, 8, 8)
    assert torch.allclose(clean["low"], torch.full_like(clean["low"], 0.7))

    noisy = condition(low, torch.full((4000,), 0.6), eps, 4)
    corner = noisy["low"][:, 0, 0, 0]  # of one pixel alone
    error = 0.6 / 4000**0.5
    assert (corner.mean() - 0.8 * 0.7).abs() < 6 * error
    assert (corner.std() - 0.6).abs() < 6 * error
    assert torch.equal(noisy["level"], torch.full((4000,), 0.6))


def test_images_are_shrunk() -> None:
    """To means of squares, with what else the data set is."""
    known = data.digits()
    small = Config(data=DataConfig(shrink=2)).dataset()
    assert small.shape == (1, 4, 4)
    assert (small.shift, small.flip) == (0, False)
    x = small.in_memory(3).x
    assert torch.allclose(x[1, 0, 0, 1], known.x[1, 0, 0:2, 2:4].mean())
    assert torch.equal(small.labels, known.labels)  # type: ignore[arg-type]
    assert Config(data=DataConfig("photos", shrink=4)).dataset().flip
    for path in ("digits", "moons"):
        with pytest.raises(ConfigError, match="shrink` must divide the sides of images"):
            Config(data=DataConfig(path, shrink=3)).dataset()


def test_the_copy_is_that_of_the_batch() -> None:
    """Of the images as they are shifted, by the levels that the batch was drawn with, anew at each step."""
    known = data.digits()
    stage = Upsampling(known, 2, 0.0)
    x, cond = stage.batch(3, 64, 5)
    assert torch.allclose(cond["low"], condition(shrunk(x, 2), torch.zeros(64), torch.zeros(64, 1, 4, 4), 2)["low"])

    noisy = Upsampling(known, 2, 0.5)
    x, cond = noisy.batch(3, 64, 5)
    part, some = noisy.batch(3, 64, 5, range(10, 20))
    assert torch.equal(part, x[10:20])
    assert torch.equal(some["low"], cond["low"][10:20])
    assert torch.equal(some["level"], cond["level"][10:20])
    assert 0 <= float(cond["level"].min()) < 0.1
    assert 0.4 < float(cond["level"].max()) <= 0.5
    assert not torch.equal(noisy.batch(4, 64, 5)[1]["level"], cond["level"])
    assert noisy.source is known
    assert len(noisy.take(torch.arange(7))) == 7
    assert noisy.take(torch.arange(7)).in_memory(5).cond["low"].shape == (5, 1, 8, 8)


def test_the_noise_of_a_copy_does_not_tell_its_level() -> None:
    """Level and noise are independent, in training and in what is held out: of black copies the noise is all there
    is."""

    count = 4000
    stage = Upsampling(Dataset(torch.zeros(count, 1, 4, 4)), 2, 0.5)
    for cond in (stage.batch(3, count, 5)[1], stage.in_memory(count).cond):
        size = (cond["low"][:, 0, 0, 0] / cond["level"]).abs()
        assert torch.corrcoef(torch.stack((cond["level"], size)))[0, 1].abs() < 6 / count**0.5


def test_the_chain_is_sampled(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its samples do not depend on the batch; its methods, its calls and its noise can be chosen."""
    run = str(folder / "high")
    arguments = ("sample", run, "--n", "4", "--steps", "3", "--label", "3", "--low-steps", "3", "--out")
    assert called(*arguments, str(tmp_path / "x.npz")) == 0
    assert called(*arguments, str(tmp_path / "y.npz"), "--batch", "2") == 0
    assert called(*arguments, str(tmp_path / "z.npz"), "--augment", "0.4", "--low-method", "unipc") == 0
    x, y, z = (np.load(tmp_path / f"{name}.npz")["x"] for name in "xyz")
    assert x.shape == (4, 1, 8, 8)
    assert np.allclose(x, y, atol=1e-3)
    assert not np.allclose(x, z, atol=1e-1)
    assert (folder / "high" / "samples" / "step-00000004.png").is_file()

    capsys.readouterr()
    assert called("info", run) == 0
    assert "enlarges by 2" in capsys.readouterr().out
    assert called("doctor", run) in (0, 3)
    assert called("likelihood", run, "--n", "2", "--probes", "1", "--rtol", "0.1") == 0
    assert "of each image given its low-resolution copy" in capsys.readouterr().out
    assert called("compare", run, "--out", str(tmp_path / "c")) == 2
    assert "it takes a low-resolution image with every sample" in capsys.readouterr().err
    assert called("restore", run, "--operator", "grey", "--out", str(tmp_path / "r.npz")) == 2
    assert "`run` must make samples alone" in capsys.readouterr().err


def test_the_network_heeds_the_copy(folder: Path) -> None:
    """In Python: another copy, another answer; none, a named error."""
    model = runs.load(folder / "high").denoiser
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for p in model.network.parameters():
        torch.nn.init.normal_(p, std=0.1, generator=torch.Generator().manual_seed(1))
    half = torch.tensor(0.7)
    answers = [
        model(x, half, half, {"low": torch.full_like(x, value), "level": torch.full((2,), level)}).x0
        for value, level in ((0.5, 0.1), (-0.5, 0.1), (0.5, 0.4))
    ]
    assert not torch.allclose(answers[0], answers[1])
    assert not torch.allclose(answers[0], answers[2])
    with pytest.raises(TypeError, match="`cond` must be"):
        model(x, half, half)
    with pytest.raises(ValueError, match="`low` must be like x"):
        model(x, half, half, {"low": x[..., :4], "level": torch.zeros(2)})


def test_a_stage_is_not_taken_for_data_that_vary_in_all_directions(folder: Path) -> None:
    """Its recommended sampler knows the size of what is left open by the small image, and no directions."""
    high = runs.load(folder / "high").denoiser.moments
    low = runs.load(folder / "low").denoiser.moments
    assert high is not None
    assert low is not None
    assert high.std.dim() == 0
    assert high.scale == pytest.approx(float(high.std))
    assert low.std.dim() == 3


def test_the_stages_begin_with_noise_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage's is not a part of the last one's, though one seed is given."""
    starts: list[torch.Tensor] = []
    begin = sampling._begin

    def seen(*arguments: Any) -> Any:
        plan, x = begin(*arguments)
        starts.append(x.flatten())
        return plan, x

    monkeypatch.setattr(sampling, "_begin", seen)
    assert called("sample", str(folder / "high"), "--n", "1", "--steps", "2", "--low-steps", "2", "--overwrite") == 0
    low, high = starts
    assert (len(low), len(high)) == (16, 64)
    assert not torch.isclose(low, high[:16]).any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--augment", "0.9"), "`--augment` must lie in [0, 0.5]"),
        (("--low-steps", "0"), "`low-steps` must lie"),
        (("--label", "11"), "`--label` must lie in [0, 10)"),
        (("--guidance", "2", "--label", "3"), "`--guidance` must be left out for a cascade"),
    ],
)
def test_options_of_a_chain_are_checked(
    options: tuple[str, ...], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("sample", str(folder / "high"), "--n", "2", *options) == 2
    assert said in capsys.readouterr().err


def test_stages_that_do_not_fit_are_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("sample", str(folder / "low"), "--n", "2", "--augment", "0.1") == 2
    assert "is no stage of a cascade" in capsys.readouterr().err

    for change, said in (
        (("widths = [8, 8]", 'kind = "dit"'), "`network.kind` must be unet for a stage of a cascade"),
        (("batch = 32", "batch = 32\nlabel_dropout = 0.1"), "the first stage takes the labels"),
        (('low = "', 'augment = 1.0\nlow = "'), "`cascade.augment` must be"),
        ((f'"{folder}/low"', f'"{folder}/high"'), "`cascade.low` must make smaller images"),
        ((f'low = "{folder}/low"', "augment = 0.3"), "`cascade.low` must be the folder of a run"),
        ((f"{folder}/low", f"{folder}/none"), "`cascade.low` must be the folder of a run"),
        (("[network]", "[latent]\nautoencoder = 'a'\n[network]"), "`latent.autoencoder` must be left out with"),
        (("[network]", '[data]\npath = "moons"\n[network]'), "`cascade.low` must make smaller images"),
    ):
        (tmp_path / "h.toml").write_text(HIGH.format(folder=folder).replace(*change))
        assert called("train", str(tmp_path / "h.toml"), "--out", str(tmp_path / "h")) == 2
        assert said in capsys.readouterr().err


def test_a_missing_or_changed_stage_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("low", "high"):
        shutil.copytree(folder / name, tmp_path / name)
    about = tmp_path / "high" / "run.json"
    about.write_text(about.read_text().replace(str(folder), str(tmp_path)))
    assert called("sample", str(tmp_path / "high"), "--n", "2", "--steps", "2", "--low-steps", "2") == 0

    shutil.rmtree(tmp_path / "low")
    capsys.readouterr()
    assert called("sample", str(tmp_path / "high"), "--n", "2", "--overwrite") == 2
    assert "run.json is missing" in capsys.readouterr().err

    config = tmp_path / "low.toml"
    config.write_text(LOW.format(folder=tmp_path).replace("steps = 2", "steps = 1"))
    assert called("train", str(config), "--out", str(tmp_path / "low")) == 0
    capsys.readouterr()
    assert called("sample", str(tmp_path / "high"), "--n", "2", "--overwrite") == 2
    assert "holds another model than the one whose images" in capsys.readouterr().err

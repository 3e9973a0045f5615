"""Autoencoders and models of their latents, through the commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scoresde import runs
from tests.helpers.in_process import called

AUTOENCODER = """
[network]
kind = "autoencoder"
widths = [8, 16]
latent_channels = 3
[loss]
std = 0.3
[training]
steps = {steps}
batch = 32
[record]
save = 2
log = 2
"""
LATENT = """
[latent]
autoencoder = "{autoencoder}"
[network]
widths = [8, 8]
[training]
steps = {steps}
batch = 32
label_dropout = 0.1
[record]
save = 2
sample = 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder, and a model of its latents that was taken up once."""
    folder = tmp_path_factory.mktemp("latents")
    told = {"autoencoder": folder / "a", "steps": 4}
    (folder / "a.toml").write_text(AUTOENCODER.format(**told))
    assert called("train", str(folder / "a.toml"), "--out", str(folder / "a")) == 0

    (folder / "l.toml").write_text(LATENT.format(**told).replace("sample = 0", "sample = 4"))
    assert called("train", str(folder / "l.toml"), "--out", str(folder / "l")) == 0
    return folder


def test_an_autoencoder_is_a_run(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its terms are noted, it is told and examined, and it makes no samples."""
    lines = [json.loads(line) for line in (folder / "a" / "log.jsonl").read_text().splitlines()]
    terms = [line for line in lines if "kl" in line]
    assert [line["step"] for line in terms] == [2, 4]
    assert all(set(line) == {"step", "reconstruction", "kl"} for line in terms)
    assert not any("levels" in line for line in lines)

    capsys.readouterr()
    assert called("info", str(folder / "a")) == 0
    assert "autoencoder" in capsys.readouterr().out
    assert called("doctor", str(folder / "a")) in (0, 3)
    assert "observation noise" in capsys.readouterr().out  # 4 steps do not reach 0.3
    assert called("sample", str(folder / "a")) == 2
    assert "holds an autoencoder, which makes no samples" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a", "l"])
def test_it_is_taken_up_to_the_same_bits(name: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / name
    text = (folder / f"{name}.toml").read_text().replace("sample = 4", "sample = 0")
    for steps, more in ((2, ()), (4, ("--resume",))):
        config = tmp_path / "c.toml"
        config.write_text(text.replace("steps = 4", f"steps = {steps}") + "\n")
        config.write_text(config.read_text().replace("[training]", "[training]\nschedule = 'constant'"))
        assert called("train", str(config), "--out", str(out), *more) == 0

    whole = tmp_path / "whole"
    assert called("train", str(config), "--out", str(whole)) == 0
    again = load_file(out / "model.safetensors")
    for key, value in load_file(whole / "model.safetensors").items():
        assert torch.equal(value, again[key]), key


def test_a_model_of_latents_makes_samples_like_the_data(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(folder / "l")
    out = tmp_path / "x.npz"
    assert called("sample", run, "--n", "3", "--steps", "3", "--label", "4", "--out", str(out)) == 0
    x = np.load(out)["x"]
    assert x.shape == (3, 1, 8, 8)

    model = runs.load(folder / "l")
    assert model.shape == (3, 4, 4)
    assert model.space is not None
    assert called("sample", run, "--n", "3", "--steps", "3", "--label", "4", "--batch", "1", "--out", str(out)) == 2
    assert called(
        "sample", run, "--n", "3", "--steps", "3", "--label", "4", "--batch", "1", "--out", str(out), "--overwrite"
    ) == 0  # fmt: skip
    assert np.allclose(np.load(out)["x"], x, atol=1e-3)  # in the data's units, 0 to 16
    assert called("sample", run, "--n", "4", "--steps", "2", "--out", str(tmp_path / "x.png")) == 0
    assert (folder / "l" / "samples" / "step-00000004.png").is_file()

    for command in (("info", run), ("doctor", run)):
        capsys.readouterr()
        assert called(*command) in (0, 3)
    assert called("info", run) == 0
    assert "latents" in capsys.readouterr().out
    given = ("likelihood", run, "--n", "3", "--probes", "1", "--rtol", "0.1")
    assert called(*given, "--batch", "1") == 0
    apart = capsys.readouterr().out.splitlines()
    assert called(*given) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0] == apart[0]  # the draw of a sample does not depend on the batch
    assert "at least" in told
    assert "a lower bound" in told
    assert "bits/dim" not in told


def test_it_is_restored_through_the_decoder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("restore", str(folder / "l"), "--operator", "box:0,4,8,4", "--steps", "2", "--n", "2", "--out")
    assert called(*arguments, str(tmp_path / "r.npz"), "--method", "dps") == 0
    assert np.load(tmp_path / "r.npz")["x"].shape == (2, 1, 8, 8)
    assert called(*arguments, str(tmp_path / "s.npz")) == 2
    assert "`--method` must be one of dps, tmpd, daps for a model of latents" in capsys.readouterr().err
    assert called(*arguments, str(tmp_path / "s.npz"), "--method", "daps", "--std", "0") == 2
    assert "`--std` must be above 0 for a model of latents" in capsys.readouterr().err


def test_runs_that_were_moved_together_still_load(folder: Path, tmp_path: Path) -> None:
    """The autoencoder is found beside the model of its latents, where it is not where it was."""
    for name in ("a", "l"):
        shutil.copytree(folder / name, tmp_path / name)
    told = (tmp_path / "l" / "run.json").read_text()
    (tmp_path / "l" / "run.json").write_text(told.replace(str(folder / "a"), "elsewhere/a"))

    model = runs.load(tmp_path / "l")
    assert model.space is not None
    assert model.space.folder == str(tmp_path / "a")
    assert runs.dataset(model.config, about=model.about["data"], beside=tmp_path / "l").shape == model.shape


def test_a_missing_or_changed_autoencoder_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "a"
    shutil.copytree(folder / "a", here)
    config = tmp_path / "l.toml"
    config.write_text((folder / "l.toml").read_text().replace(str(folder / "a"), str(here)))
    assert called("train", str(config), "--out", str(tmp_path / "l")) == 0

    shutil.rmtree(here)
    capsys.readouterr()
    assert called("info", str(tmp_path / "l")) == 0
    assert "latents" in capsys.readouterr().out  # what it stands on, told without it
    assert called("sample", str(tmp_path / "l"), "--n", "2") == 2
    assert "the autoencoder whose latents the model was trained on, lies neither there" in capsys.readouterr().err

    other = tmp_path / "other.toml"
    other.write_text((folder / "a.toml").read_text().replace("steps = 4", "steps = 3"))
    assert called("train", str(other), "--out", str(here)) == 0
    capsys.readouterr()
    assert called("sample", str(tmp_path / "l"), "--n", "2") == 2
    assert "holds another autoencoder than the model was trained with" in capsys.readouterr().err
    assert called("train", str(config), "--out", str(tmp_path / "l"), "--resume") == 2
    assert "was trained with weights of latent.autoencoder" in capsys.readouterr().err


def test_an_unfinished_autoencoder_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`info` and `doctor` take its latest checkpoint; no model stands on it."""
    here = tmp_path / "a"
    shutil.copytree(folder / "a", here)
    for name in ("run.json", "model.safetensors"):
        (here / name).unlink()
    assert called("info", str(here)) == 0
    assert "of the checkpoint at step 4" in capsys.readouterr().out
    (tmp_path / "l.toml").write_text(LATENT.format(autoencoder=here, steps=2))
    assert called("train", str(tmp_path / "l.toml"), "--out", str(tmp_path / "l")) == 2
    assert "`latent.autoencoder` must be a finished run" in capsys.readouterr().err


def test_points_have_latents_too(tmp_path: Path) -> None:
    """A table whose three columns lie near a line."""
    source = np.random.default_rng(0).standard_normal((200, 1))
    rows = source @ [[1.0, 2.0, -1.0]] + 0.1 * np.random.default_rng(1).standard_normal((200, 3))
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b,c", comments="")
    data = f'[data]\npath = "{tmp_path / "t.csv"}"\n'
    a = AUTOENCODER.format(steps=4).replace("[8, 16]\nlatent_channels = 3", "[16]\nlatent_channels = 1")
    (tmp_path / "a.toml").write_text(data + a)
    assert called("train", str(tmp_path / "a.toml"), "--out", str(tmp_path / "a")) == 0
    latent = LATENT.format(autoencoder=tmp_path / "a", steps=4).replace("label_dropout = 0.1", "")
    (tmp_path / "l.toml").write_text(data + latent.replace("[8, 8]", "[16]"))
    assert called("train", str(tmp_path / "l.toml"), "--out", str(tmp_path / "l")) == 0
    assert called("sample", str(tmp_path / "l"), "--n", "5", "--steps", "2", "--out", str(tmp_path / "x.csv")) == 0
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[0] == "a,b,c"
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("std = 0.3", 'name = "DSM"'), "`loss.name` must be ELBO exactly when network.kind is autoencoder"),
        (("std = 0.3", "std = 0.0"), "`loss.std` must be"),
        (("[8, 16]", "[8, 8, 8, 8, 8]"), "`network.widths` must suit samples of shape (1, 8, 8)"),
        (("latent_channels = 3", "latent_channels = 9"), "`network.latent_channels` must suit samples"),
        (("batch = 32", "batch = 32\nlabel_dropout = 0.1"), "`training.label_dropout` must be left out for an auto"),
        (
            ('kind = "autoencoder"\nwidths = [8, 16]\nlatent_channels = 3\n[loss]\nstd = 0.3', "latent_channels = 3"),
            "`network.latent_channels` must be left out",
        ),
        (("latent_channels = 3", 'latent_channels = 3\npredicts = "eps"'), "`network.predicts` must be left out"),
        (("[loss]", '[process]\nname = "EDM"\n[loss]'), "`process` must be left out for an autoencoder"),
        (("[loss]", '[levels]\nname = "LogitNormal"\n[loss]'), "`levels` must be left out for an autoencoder"),
        (("save = 2", "save = 2\nsample = 2"), "`record.sample` must be 0 for an autoencoder"),
    ],
)
def test_what_does_not_suit_is_told(
    change: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.toml").write_text(AUTOENCODER.format(steps=4).replace(*change))
    assert called("train", str(tmp_path / "a.toml"), "--out", str(tmp_path / "a")) == 2
    assert said in capsys.readouterr().err


def test_a_run_that_is_no_autoencoder_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given, said in (
        (folder / "l", "holds a denoiser; an autoencoder is trained with network.kind = autoencoder"),
        (tmp_path / "nothing", "is missing"),
    ):
        (tmp_path / "l.toml").write_text(LATENT.format(autoencoder=given, steps=2))
        assert called("train", str(tmp_path / "l.toml"), "--out", str(tmp_path / "l")) in (1, 2)
        assert said in capsys.readouterr().err

    (tmp_path / "l.toml").write_text("[latent]\n")
    assert called("train", str(tmp_path / "l.toml"), "--out", str(tmp_path / "l")) == 2
    assert "`latent.autoencoder` must be the folder of a run" in capsys.readouterr().err

    points = LATENT.format(autoencoder=folder / "a", steps=2).replace("label_dropout = 0.1", "")
    (tmp_path / "l.toml").write_text(points.replace("[8, 8]", "[8]") + '[data]\npath = "moons"\n')
    assert called("train", str(tmp_path / "l.toml"), "--out", str(tmp_path / "l")) in (1, 2)
    assert "`latent.autoencoder` must take samples of shape (2,)" in capsys.readouterr().err


def test_guides_must_be_of_the_same_latents(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A classifier of the latents guides; one of other numbers of the same shape does not, nor does a weak model."""
    run = str(folder / "l")
    classes = LATENT.format(autoencoder=folder / "a", steps=2).replace("label_dropout = 0.1", "")
    classifier = classes.replace("[8, 8]", '[8, 8]\nkind = "classifier"').replace("sample = 4", "")
    (tmp_path / "c.toml").write_text(classifier)
    assert called("train", str(tmp_path / "c.toml"), "--out", str(tmp_path / "c")) == 0
    arguments = ("sample", run, "--n", "2", "--steps", "2", "--guidance", "1", "--overwrite")
    assert called(*arguments, "--label", "3", "--classifier", str(tmp_path / "c")) == 0

    (tmp_path / "b.toml").write_text(AUTOENCODER.format(steps=3))
    assert called("train", str(tmp_path / "b.toml"), "--out", str(tmp_path / "b")) == 0
    (tmp_path / "o.toml").write_text(classifier.replace(str(folder / "a"), str(tmp_path / "b")))
    assert called("train", str(tmp_path / "o.toml"), "--out", str(tmp_path / "o")) == 0
    capsys.readouterr()
    assert called(*arguments, "--label", "3", "--classifier", str(tmp_path / "o")) == 2
    assert "`--classifier` must know samples as" in capsys.readouterr().err

    numbers = np.random.default_rng(0).random((80, 3, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=numbers, y=np.arange(80) % 10)
    plain = classifier.replace(f'[latent]\nautoencoder = "{folder / "a"}"', f'[data]\npath = "{tmp_path / "d.npz"}"')
    plain = plain.replace("[network]", 'kind = "images"\n[network]').replace("batch = 32", "batch = 16")
    (tmp_path / "p.toml").write_text(plain)
    assert called("train", str(tmp_path / "p.toml"), "--out", str(tmp_path / "p")) == 0
    capsys.readouterr()
    assert called(*arguments, "--label", "3", "--classifier", str(tmp_path / "p")) == 2
    assert "`--classifier` must know samples as" in capsys.readouterr().err

    denoiser = plain.replace('kind = "classifier"', "").replace("batch = 16", "batch = 16\nlabel_dropout = 0.1")
    (tmp_path / "w.toml").write_text(denoiser)
    assert called("train", str(tmp_path / "w.toml"), "--out", str(tmp_path / "w")) == 0
    capsys.readouterr()
    assert called(*arguments, "--weak", str(tmp_path / "w")) == 2
    assert "`--weak` must make samples as" in capsys.readouterr().err


def test_weights_from_elsewhere_are_of_the_data_themselves(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(folder / "l" / "model.safetensors")
    for name in ("a", "l"):
        given = ("import", weights, "--config", str(folder / f"{name}.toml"), "--shape", "1,8,8")
        assert called(*given, "--out", str(tmp_path / name)) == 2
        assert "`network.kind` must be that of a denoiser of the data themselves" in capsys.readouterr().err

"""Shapes are not guessed; units, column names and class names survive the way through a run."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde import data
from scoresde.data.samples import Dataset
from scoresde.denoisers.denoiser import Denoiser
from scoresde.evaluation.likelihood import log_likelihood
from scoresde.interop import models
from scoresde.networks import MLP
from scoresde.processes.forward import VPSDE
from scoresde.runs.config import ConfigError
from scoresde.runs.toml import parse
from scoresde.training import fit
from scoresde.training.state import Training
from tests.helpers.in_process import called

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(60, 1, 32), (40, 64, 3), (40, 3, 64), (40, 20, 30), (40, 5, 6, 7), (8, 1, 4, 4, 4)])
def test_a_shape_that_could_be_several_things_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=RNG.random(shape))
    with pytest.raises(ValueError, match=r'`kind` must be given .*data\.kind = "'):
        data.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("shape", "kind", "want"),
    [
        ((60, 1, 32), "series", (1, 32)),
        ((40, 64, 3), "sets", (64, 3)),
        ((40, 20, 30), "images", (1, 20, 30)),
        ((40, 28, 28), None, (1, 28, 28)),
        ((40, 16, 24, 3), None, (3, 16, 24)),
        ((40, 3, 16, 24), None, (3, 16, 24)),
        ((40, 7), None, (7,)),
        ((8, 1, 4, 4, 4), "volumes", (1, 4, 4, 4)),
    ],
)
def test_the_kind_says_it(shape: tuple[int, ...], kind: str | None, want: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RNG.random(shape, dtype=np.float32))
    assert data.load(tmp_path / "x.npy", kind=kind).shape == want
    config = parse({"data": {"path": str(tmp_path / "x.npy")} | ({} if kind is None else {"kind": kind})})
    config.denoiser(config.dataset().shape)
    if kind in ("series", "sets"):
        with pytest.raises(ConfigError, match=r"say which they are by data\.kind, series or sets"):
            parse({}).denoiser(want)


@pytest.mark.parametrize(
    ("table", "said"),
    [({"kind": "rows"}, r"`data\.kind`"), ({"path": ""}, r"`data\.path`"), ({"path": " "}, r"`data\.path`")],
)
def test_bad_keys_are_refused(table: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse({"data": table})
    with pytest.raises(ValueError, match="empty path"):
        data.load("")


def test_a_kind_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=RNG.random((9, 2)))
    with pytest.raises(ValueError, match=r"`kind` must fit the data, got images"):
        data.load(tmp_path / "x.npz", kind="images")


def test_series_and_volumes_are_trained_on_by_fit() -> None:
    """A network of one's own, any shape: two steps, and every parameter moves."""
    for shape in ((16, 2, 12), (16, 1, 3, 4, 4)):
        network = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(math.prod(shape[1:]), math.prod(shape[1:])),
            torch.nn.Unflatten(1, shape[1:]),
        )
        before = [p.clone() for p in network.parameters()]
        list(fit(Denoiser(Alone(network), VPSDE()), Dataset(torch.randn(shape)), Training(steps=2, batch=8, warmup=0)))
        assert all(not torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))


class Alone(torch.nn.Module):
    """A network of x alone."""

    def __init__(self, body: torch.nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_points_far_from_unit_size_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=RNG.normal(size=(200, 2)) * [300.0, 1.0])
    with pytest.warns(UserWarning, match=r"standard deviations \S+ to [23]\d\d.*\.csv"):
        data.load(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", x=RNG.normal(size=(200, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load(tmp_path / "y.npz")


def test_what_fit_is_given_is_named() -> None:
    denoiser = Denoiser(MLP(2, 8, 1), VPSDE())
    with pytest.raises(TypeError, match=r"`data` must be Samples, got Tensor; wrap it: Dataset\(x\)"):
        next(iter(fit(denoiser, torch.randn(8, 2), Training(steps=1, batch=4))))  # pyright: ignore[reportArgumentType]


def test_a_class_of_one_member_is_named() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    with pytest.raises(ValueError, match=r"`labels` of pets .*class dog"):
        Dataset(torch.randn(6, 2), labels, "pets", class_names=("cat", "dog", "owl")).split(0.5)


def test_grey_and_colour_are_told_apart(tmp_path: Path) -> None:
    for name, mode in (("a", "L"), ("b", "RGB")):
        Image.new(mode, (8, 8)).save(tmp_path / f"{name}.png")
    with pytest.raises(ValueError, match=r"all grey or all in colour, got .*a\.png in grey and .*b\.png in colour"):
        data.load(tmp_path)


def test_class_names_are_kept_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the folders of images to `info` and `sample --label NAME`."""
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(RNG.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / "pets" / name / f"{i}.png")
    config = tmp_path / "c.toml"
    config.write_text(
        f"[data]\npath = '{tmp_path / 'pets'}'\n[network]\nwidths = [8, 8]\n[training]\nsteps = 2\nbatch ="
        " 4\nlabel_dropout = 0.1\n"
    )
    run = str(tmp_path / "run")
    assert called("train", str(config), "--out", run) == 0
    assert called("info", run) == 0
    assert "cat, dog" in capsys.readouterr().out
    for label, out in (("dog", "a.npz"), ("1", "b.npz")):
        assert called("sample", run, "--n", "2", "--steps", "2", "--label", label, "--out", str(tmp_path / out)) == 0
    assert np.array_equal(np.load(tmp_path / "a.npz")["x"], np.load(tmp_path / "b.npz")["x"])
    assert called("sample", run, "--n", "2", "--steps", "2", "--label", "owl") == 2
    assert "cat, dog" in capsys.readouterr().err


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a table whose columns have units."""
    where = tmp_path_factory.mktemp("table")
    rows = "".join(f"{300 + 50 * a:.4f},{0.01 * b:.6f}\n" for a, b in RNG.normal(size=(400, 2)))
    (where / "t.csv").write_text("mass,height\n" + rows)
    (where / "c.toml").write_text(
        f"[data]\npath = '{where / 't.csv'}'\n[network]\nwidths = [16]\n[training]\nsteps = 40\nbatch = 32\n"
    )
    assert called("train", str(where / "c.toml"), "--out", str(where / "run")) == 0
    return where


def test_a_table_comes_back_with_its_columns_and_units(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("sample", str(table / "run"), "--n", "64", "--out", str(table / "s.csv")) == 0
    lines = (table / "s.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("mass,height", 65)
    values = np.array([[float(v) for v in line.split(",")] for line in lines[1:]])
    assert np.all(np.abs(values.mean(0) - [300, 0]) < [100, 0.02])
    back = data.load(table / "s.csv")
    assert (back.columns, len(back)) == (("mass", "height"), 64)
    assert called("sample", str(table / "run"), "--n", "2", "--out", str(table / "s.csv"), "--overwrite") == 2
    assert "a .csv never says so" in capsys.readouterr().err


def test_likelihood_is_in_the_units_of_the_data(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log-determinant is added and told; there are no bits for numbers that are no integers."""
    assert called("likelihood", str(table / "run"), "--n", "8", "--probes", "0") == 0
    said = capsys.readouterr().out
    model = models.load(table / "run")
    held_out = model.held_out()
    mean = float(log_likelihood(model.denoiser, held_out.in_memory(8).x, rtol=1e-4, atol=1e-4).log_prob.mean())
    scale = float(torch.tensor(held_out.half_range, dtype=torch.float64).log().sum())
    assert f"{mean - scale:.2f} +-" in said
    assert "in the data's units" in said
    assert f"{mean:.2f} in the model's scale" in said
    assert "bits" not in said


def test_a_table_of_integers_has_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in RNG.integers(0, 50, (100, 2))))
    (tmp_path / "c.toml").write_text(
        f"[data]\npath = '{tmp_path / 't.csv'}'\n[network]\nwidths = [8]\n[training]\nsteps = 2\nbatch = 8\n"
    )
    assert called("train", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")) == 0
    assert called("likelihood", str(tmp_path / "run"), "--n", "4", "--probes", "0") == 0
    assert "bits/dim of the integers" in capsys.readouterr().out


def test_a_mapped_file_that_is_cut_is_named(tmp_path: Path) -> None:
    """Reading what is gone would end the process."""
    np.save(tmp_path / "x.npy", RNG.normal(size=(4000, 8)).astype(np.float32))
    samples = data.load(tmp_path / "x.npy")
    samples.samples(torch.tensor([3999]))
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(4096)
    with pytest.raises(ValueError, match=r"`data` must stay as it is .*x\.npy"):
        samples.samples(torch.tensor([3999]))

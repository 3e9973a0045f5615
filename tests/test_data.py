"""Data in, checked; files out, whole."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde import data, runs
from scoresde.checkpoint import CheckpointError, load_run, write_whole
from scoresde.config import Config, ConfigError, NetworkConfig, parse, read
from scoresde.data import Dataset
from scoresde.metrics import frechet, frechet_gaussian, nearest
from scoresde.training import Training


def test_digits_are_the_embedded_set() -> None:
    digits = data.digits()
    train, held_out = digits.split()
    assert digits.x.shape == (1797, 1, 8, 8)
    assert (digits.x.min(), digits.x.max()) == (-1, 1)
    assert (len(train.x), len(held_out.x)) == (1437, 360)
    assert held_out.labels is not None
    assert torch.bincount(held_out.labels).min() >= 34


def test_shifts_move_columns_and_fill_with_background() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4).expand(3, 1, 4, 4)
    moved = data.shifted(x, torch.tensor([-1, 0, 2]))
    assert torch.equal(moved[1], x[1])
    assert torch.equal(moved[0, 0, :, :3], x[0, 0, :, 1:])
    assert torch.equal(moved[2, 0, :, 2:], x[2, 0, :, :2])
    assert (moved[0, 0, :, 3] == 0).all()
    assert (moved[2, 0, :, :2] == 0).all()


def test_batches_run_through_epochs_without_repeats() -> None:
    points = Dataset(torch.arange(20.0).reshape(10, 2))
    seen = torch.cat([points.batch(step, 4, seed=3)[0] for step in range(5)])
    assert sorted(seen[:10, 0].tolist()) == sorted(seen[10:, 0].tolist()) == points.x[:, 0].tolist()
    assert torch.equal(points.batch(2, 4, seed=3)[0], seen[8:12])


def _write_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("array", "shape", "low", "high"),
    [
        (np.array([[[0, 255], [128, 64]]] * 3, dtype=np.uint8), (3, 1, 2, 2), -1.0, 1.0),
        (np.linspace(0, 1, 36).reshape(3, 2, 2, 3), (3, 3, 2, 2), -1.0, 1.0),
        (np.linspace(-1, 1, 24).reshape(2, 3, 2, 2), (2, 3, 2, 2), -1.0, 1.0),
        (np.linspace(-7, 9, 10).reshape(5, 2), (5, 2), -7.0, 9.0),
    ],
)
def test_arrays_load_in_the_models_scale(tmp_path: Path, array: np.ndarray, shape: tuple[int, ...], low: float, high: float) -> None:
    loaded = data.load(_write_npz(tmp_path / "a.npz", x=array))
    assert loaded.x.shape == shape
    assert loaded.x.min() == pytest.approx(low)
    assert loaded.x.max() == pytest.approx(high)
    back = loaded.x * loaded.half_range + loaded.centre
    assert back.double().sort().values.flatten().sum() == pytest.approx(float(array.astype(float).sum()), rel=1e-6)


def test_folders_of_classes_load_with_labels(tmp_path: Path) -> None:
    for name, value in (("cats", 10), ("dogs", 200)):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(np.full((6, 5), value, np.uint8)).save(tmp_path / name / f"{i}.png")
    loaded = data.load(tmp_path)
    assert loaded.x.shape == (4, 1, 6, 5)
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.full((2, 3), np.nan)}, "NaN"),
        ({"x": np.zeros((0, 3))}, "empty"),
        ({"x": np.zeros(4)}, "shape"),
        ({"x": np.array([{}, {}], dtype=object)}, "plain numeric"),
        ({"x": np.array(["a"])}, "dtype"),
        ({"x": np.full((2, 4, 4), 300.0)}, "300"),
        ({"a": np.zeros((2, 2)), "b": np.zeros((2, 2))}, "named x or images"),
        ({"x": np.zeros((2, 2)), "y": np.zeros(3, int)}, "labels"),
        ({"x": np.zeros((2, 2)), "y": np.zeros(2)}, "labels"),
    ],
)
def test_bad_arrays_are_refused_by_name(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    path = _write_npz(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=said) as caught:
        data.load(path)
    assert "bad.npz" in str(caught.value)


def test_bad_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"not a zip")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    (tmp_path / "broken").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "mixed" / "a.png")
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "mixed" / "b.png")
    (tmp_path / "broken" / "a.png").write_bytes(b"no image")
    for name, said in (("x.npz", "x.npz"), ("empty", "none in"), ("mixed", "b.png"), ("broken", "a.png"), ("absent.npz", "does not exist")):
        with pytest.raises(ValueError, match=said):
            data.load(tmp_path / name)


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"old")
    for name in ("fsync", "replace", "chmod"):

        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="disk full"):
                write_whole(path, b"new")
        assert path.read_bytes() == b"old"
        assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    config = Config(network=NetworkConfig(widths=(16,)), training=Training(steps=3, batch=8))
    points = Dataset(torch.randn(20, 2, generator=torch.Generator().manual_seed(0)), name="points", centre=2.0, half_range=3.0)
    runs.train(config, points, tmp_path / "run", "scoresde train x.toml")
    return tmp_path / "run"


def test_a_run_comes_back_whole(run_folder: Path) -> None:
    """The reloaded model answers to the bit like the one that was saved, and training again gives the same file."""
    trained = runs.load(run_folder)
    again = runs.train(trained.config, Dataset(torch.randn(20, 2, generator=torch.Generator().manual_seed(0))), run_folder.with_name("again"), "again")
    x, alpha, sigma = torch.ones(3, 2), torch.tensor(0.6), torch.tensor(0.8)
    assert torch.equal(trained.denoiser(x, alpha, sigma).eps, again.denoiser(x, alpha, sigma).eps)
    assert trained.scaling == (2.0, 3.0)
    hashes = [json.loads((f / "run.json").read_text())["sha256"] for f in (run_folder, run_folder.with_name("again"))]
    assert hashes[0] == hashes[1]
    assert parse(trained.config.as_dict()) == trained.config


def test_every_flipped_bit_and_truncation_is_noticed(run_folder: Path) -> None:
    path = run_folder / "model.safetensors"
    whole = path.read_bytes()
    for k in range(60):
        at = (k * 7919) % len(whole)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << (k % 8))]) + whole[at + 1 :])
        with pytest.raises(CheckpointError, match="SHA-256"):
            load_run(run_folder)
        path.write_bytes(whole[:at])
        with pytest.raises(CheckpointError, match="SHA-256"):
            load_run(run_folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "run.json").unlink(), "run.json is missing"),
        (lambda f: (f / "run.json").write_text("{"), "not readable JSON"),
        (lambda f: (f / "run.json").write_text("[]"), "not a run description"),
        (lambda f: _edit(f, format=99), "newer"),
        (lambda f: _edit(f, config={**_about(f)["config"], "network": {"widths": [8]}}), "another architecture"),
    ],
)
def test_bad_runs_say_what_is_wrong(run_folder: Path, change, said: str) -> None:
    shutil.rmtree(run_folder / "checkpoints")  # to which a damaged model would fall back
    change(run_folder)
    with pytest.raises(CheckpointError, match=said):
        runs.load(run_folder)


def _about(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def _edit(folder: Path, **changes: object) -> None:
    (folder / "run.json").write_text(json.dumps({**_about(folder), **changes}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[training]\nstep = 5", r"line 2.*`training.step`.*did you mean training.steps"),
        ("[training]\nsteps = '5'", r"line 2.*`training.steps`.*integer"),
        ("[training]\nlr = -1", r"`training.lr`"),
        ("[trainin]\nlr = 1", r"`trainin`.*did you mean training"),
        ("[process]\nname = 'VP'", r"`process.name`.*VPSDE"),
        ("[process]\nbeta_min = 30", r"`process.beta_max`"),
        ("[network]\npredicts = 'epsilon'", r"`network.predicts`.*eps"),
        ("[record]\nsave = 0", r"`record.save`"),
        ("[training]\nprecision = 'half'", r"`training.precision`.*bfloat16"),
        ("[training]\ncompile = 1", r"`training.compile`.*true or false"),
        ("[data]\nheld_out = 1.5", r"`data.held_out`"),
        ("training = 3", r"`training` must be a table"),
        ("[data]\npath = 'a'\npath = 'b'", r"c.toml: .*overwrite"),
        ("[data", r"c.toml: .*"),
    ],
)
def test_bad_configurations_name_key_and_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read(path)


def test_the_documented_configuration_is_read() -> None:
    config = read(Path(__file__).parent.parent / "docs" / "digits.toml")
    assert config.training.steps == 3600
    assert parse(config.as_dict()) == config


def test_frechet_distances() -> None:
    """T-MET-01: one half on a diagonal pair by hand, zero on itself, symmetric."""
    a, b = torch.tensor([1.0, 4.0], dtype=torch.float64).diag(), torch.tensor([9.0, 4.0], dtype=torch.float64).diag()
    zero, shift = torch.zeros(2, dtype=torch.float64), torch.tensor([3.0, 0.0], dtype=torch.float64)
    assert frechet_gaussian(zero, a, shift, b) == pytest.approx(9 + (3 - 1) ** 2, abs=1e-12)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert frechet(x, x) == pytest.approx(0, abs=1e-10)
    assert frechet(x, 2 * x) == pytest.approx(frechet(2 * x, x), rel=1e-10)
    assert nearest(x[:5], x).max() < 1e-6

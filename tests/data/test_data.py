"""Data in, checked; files out, whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde import data, runs
from scoresde.data import samples
from scoresde.data.mapped import Mapped
from scoresde.data.samples import Dataset
from scoresde.data.scale import original
from scoresde.evaluation.judge import frechet, frechet_gaussian, nearest
from scoresde.runs.config import Config, ConfigError, DataConfig, NetworkConfig
from scoresde.runs.run_folder import load_run
from scoresde.runs.toml import parse, read
from scoresde.storage.files import CheckpointError, write_whole
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
    moved = samples.shifted(x, torch.tensor([-1, 0, 2]))
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
def test_arrays_load_in_the_models_scale(
    tmp_path: Path, array: np.ndarray, shape: tuple[int, ...], low: float, high: float
) -> None:
    loaded = data.load(_write_npz(tmp_path / "a.npz", x=array)).in_memory(10)
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
    loaded = data.load(tmp_path).in_memory(10)
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
    for name, said in (
        ("x.npz", "x.npz"),
        ("empty", "none in"),
        ("mixed", "b.png"),
        ("broken", "a.png"),
        ("absent.npz", "does not exist"),
    ):
        with pytest.raises(ValueError, match=said):
            data.load(tmp_path / name)


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).integers(0, 255, (40, 6, 5, 3), dtype=np.uint8),
        np.random.default_rng(0).random((40, 4, 4)),
        np.random.default_rng(0).normal(size=(40, 3)).astype(np.float16),
    ],
)
def test_a_mapped_file_reads_like_the_same_in_memory(tmp_path: Path, array: np.ndarray) -> None:
    labels = np.arange(40) % 3
    np.save(tmp_path / "a.npy", array)
    np.save(tmp_path / "a.labels.npy", labels)
    mapped = data.load(tmp_path / "a.npy")
    memory = data.load(_write_npz(tmp_path / "a.npz", x=array, y=labels))
    assert isinstance(mapped, Mapped)
    assert mapped.stored.data_ptr() != mapped.stored.clone().data_ptr()
    for a, b in zip(mapped.split(0.25), memory.split(0.25), strict=True):
        assert (len(a), a.shape, a.classes) == (len(b), b.shape, b.classes)
        for got, want in zip(a.batch(3, 7, 1), b.batch(3, 7, 1), strict=True):
            assert got is not None
            assert want is not None
            assert torch.equal(got, want)
        assert torch.equal(a.in_memory(5).x, b.in_memory(5).x)
    assert runs.fingerprint(mapped) == runs.fingerprint(memory)


def test_labels_beside_a_mapped_file_are_integers(tmp_path: Path) -> None:
    """Others would be cut to integers in silence."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(4, 3)))
    np.save(tmp_path / "a.labels.npy", np.array([0.5, 1.9, 0.0, 1.0]))
    with pytest.raises(ValueError, match=r"`labels` must be integers, got dtype torch.float64 in .*a\.labels\.npy"):
        data.load(tmp_path / "a.npy")


def test_a_built_in_set_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a file has the name."""
    assert data.load("two_sines").shape == (1, 64) == data.SETS["two_sines"]().shape
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moons").mkdir()
    with pytest.raises(ValueError, match="moons"):
        data.load("moons")


@pytest.mark.parametrize("name", ["A.CSV", "A.Npz"])
def test_the_case_of_an_ending_does_not_matter(name: str, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(8, 3))
    path = tmp_path / name
    if path.suffix == ".CSV":
        np.savetxt(path, points, delimiter=",")
    else:
        with path.open("wb") as file:
            np.savez(file, x=points)
    assert data.load(path).shape == (3,)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_mapped_file_takes_no_memory(tmp_path: Path) -> None:
    """A file of 256 MB is checked and trained on with less than a quarter of it in memory of the process' own."""
    code = """
import sys, torch
from scoresde import VPSDE, Denoiser, data
from scoresde.data.samples import Dataset
from scoresde.networks import MLP
from scoresde.training.state import Training
from scoresde.training import fit
def train(points):
    return [p.loss > 0 for p in fit(Denoiser(MLP(64, 8, 1), VPSDE()), points, Training(steps=3, batch=64))]
def own():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) * 1024
train(Dataset(torch.zeros(64, 64)))
before = own()
print(train(data.load(sys.argv[1])), own() - before)
"""
    np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.float32, shape=(1_000_000, 64)).flush()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big.npy")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps, grown = done.stdout.rsplit("] ", 1)
    assert steps == "[True, True, True"
    assert int(grown) < 64e6


def test_tables_are_standardised_and_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    table = np.c_[rng.normal(5, 2, 50), np.full(50, 7.0), rng.normal(-1e6, 3e5, 50)]
    lines = ["a,label,fixed,b", *(f"{a},{k % 4},{f},{b}" for k, (a, f, b) in enumerate(table))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n\n")
    loaded = data.load(tmp_path / "t.csv")
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [k % 4 for k in range(50)]
    x = loaded.in_memory(50).x
    assert x.mean(0).abs().max() < 1e-6
    assert x.std(0, correction=0).tolist() == pytest.approx([1, 0, 1])
    back = original(x.double(), loaded.centre, loaded.half_range).numpy()
    assert np.abs(back - table).max() < 1e-6 * np.abs(table).max()
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n5,7\n")
    assert data.load(tmp_path / "bare.csv").shape == (2,)
    config = Config(
        data=DataConfig(path=str(tmp_path / "t.csv")),
        network=NetworkConfig(widths=(8,)),
        training=Training(steps=2, batch=8),
    )
    trained = runs.train(config, loaded, tmp_path / "run", "scoresde train x.toml")
    assert torch.equal(runs.load(tmp_path / "run").original(x), trained.original(x))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3,x\n", r"'x' in column b in line 3 of .*t.csv"),
        ("1,2\n3\n", r"1 cells in line 2 of .*t.csv"),
        ("1,2\n3,nan\n", r"'nan' in column 2 in line 2"),
        ("a,b\n1,\n", r"'' in column b in line 2"),
        ("", r"not empty.*t.csv"),
        ("a,b\n", r"not empty.*t.csv"),
        ("a,label\n1,0.5\n", r"`labels` must be integers, got 0.5"),
        ("a,label\n1,-1\n", r"`labels`"),
    ],
)
def test_bad_tables_name_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        data.load(tmp_path / "t.csv")


def test_bad_array_files_name_file_and_row(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    x = np.zeros((9, 2), np.float32)
    x[6, 1] = np.inf
    np.save(tmp_path / "inf.npy", x)
    np.savez(tmp_path / "inf.npz", x=x)
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "swapped.npy", np.zeros((3, 2), ">f4"))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "inf.npy").read_bytes()[:100])
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    save_file({"x": torch.from_numpy(x)}, tmp_path / "inf.safetensors")
    cases = [
        ("inf.npy", "row 6"),
        ("inf.npz", "row 6"),
        ("inf.safetensors", "row 6"),
        ("object.npy", "plain numbers"),
        ("swapped.npy", "byte order"),
    ]
    for name, said in [*cases, ("cut.npy", "readable"), ("cut.safetensors", "readable")]:
        with pytest.raises(ValueError, match=said) as caught:
            data.load(tmp_path / name)
        assert name in str(caught.value)
    save_file(
        {"images": torch.zeros(3, 4, 4, dtype=torch.uint8), "labels": torch.arange(3)}, tmp_path / "good.safetensors"
    )
    good = data.load(tmp_path / "good.safetensors")
    assert (len(good), good.shape, good.classes) == (3, (1, 4, 4), 3)


def test_images_of_any_size_are_cropped_and_resized(tmp_path: Path) -> None:
    """The middle square of a wide image: its grey margins are cut off."""
    wide = np.full((20, 60), 100, np.uint8)
    wide[:, 20:40] = 250
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(np.full((30, 30), 250, np.uint8)).save(tmp_path / "b.png")
    loaded = data.load(tmp_path, size=10)
    assert loaded.shape == (1, 10, 10)
    assert torch.equal(loaded.in_memory(2).x[0], loaded.in_memory(2).x[1])


def test_flips_mirror_about_half() -> None:
    """Each sample is itself or its mirror image; of 4000 the share lies within 5 standard errors of a half."""
    x = torch.arange(8.0).reshape(1, 1, 2, 4).expand(400, 1, 2, 4).contiguous()
    images = Dataset(x, flip=True)
    drawn = torch.cat([images.batch(step, 400, 0)[0] for step in range(10)])
    mirrored = (drawn == x[0].flip(-1)).flatten(1).all(1)
    assert ((drawn == x[0]).flatten(1).all(1) | mirrored).all()
    assert abs(mirrored.double().mean() - 0.5) < 5 * 0.5 / 4000**0.5
    part = images.batch(3, 400, 0, range(100, 160))[0]
    assert torch.equal(part, images.batch(3, 400, 0)[0][100:160])


@pytest.mark.parametrize("name", ["moons", "swiss_roll", "checkerboard", "eight_gaussians", "photos"])
def test_toy_sets_are_themselves(name: str) -> None:
    """The same every time, within [-2, 2], and on the shape their name promises."""
    toy = data.SETS[name]()
    assert torch.equal(toy.x, data.SETS[name]().x)
    assert toy.x.abs().max() <= 2
    x = toy.x.double()
    if name == "moons":
        assert torch.bincount(toy.labels if toy.labels is not None else torch.zeros(1)).tolist() == [5000, 5000]
        radius = torch.hypot(x[::2, 0] + 0.5, x[::2, 1] + 0.25)
        assert abs(radius.mean() - 1.00125) < 5 * 0.05 / 5000**0.5  # E sqrt((1 + a)^2 + b^2) = 1 + s^2/2 + O(s^4)
    elif name == "swiss_roll":
        radius, angle = torch.hypot(*x.T), torch.atan2(x[:, 1], x[:, 0])
        turns = (10 * radius - angle) / (2 * torch.pi)
        assert (
            (turns - turns.round()).abs() < 6 * 0.3 / (2 * torch.pi) * 1.3
        ).all()  # six deviations of the noise, in turns
    elif name == "checkerboard":
        assert ((x + 2).floor().clamp(max=3).sum(1) % 2 == 0).all()
        counts = torch.bincount(((x + 2).floor().clamp(max=3) @ torch.tensor([4.0, 1.0], dtype=torch.float64)).long())
        assert ((counts[counts > 0] - 1250).abs() < 6 * 1250**0.5).all()
    elif name == "eight_gaussians":
        assert toy.classes == 8
        assert torch.hypot(*x.T).mean() == pytest.approx(1.4 + 0.01 / 2.8, abs=5e-3)
    else:
        assert toy.shape == (3, 32, 32)
        assert toy.flip


def test_points_are_not_flipped() -> None:
    with pytest.raises(ConfigError, match=r"`data.flip`"):
        Config(data=DataConfig(path="moons", flip=True)).dataset()
    assert Config(data=DataConfig(path="photos", flip=False)).dataset().flip is False


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
    points = Dataset(
        torch.randn(20, 2, generator=torch.Generator().manual_seed(0)), name="points", centre=2.0, half_range=3.0
    )
    runs.train(config, points, tmp_path / "run", "scoresde train x.toml")
    return tmp_path / "run"


def test_a_run_comes_back_whole(run_folder: Path) -> None:
    """The reloaded model answers to the bit like the one that was saved, and training again gives the same file."""
    trained = runs.load(run_folder)
    again = runs.train(
        trained.config,
        Dataset(torch.randn(20, 2, generator=torch.Generator().manual_seed(0))),
        run_folder.with_name("again"),
        "again",
    )
    x, alpha, sigma = torch.ones(3, 2), torch.tensor(0.6), torch.tensor(0.8)
    assert torch.equal(trained.denoiser(x, alpha, sigma).eps, again.denoiser(x, alpha, sigma).eps)
    assert torch.equal(trained.original(torch.tensor([[1.0, -1.0]])), torch.tensor([[5.0, -1.0]]))
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
    config = read(Path(__file__).parents[2] / "docs" / "digits.toml")
    assert config.training.steps == 3600
    assert parse(config.as_dict()) == config


def test_frechet_distances() -> None:
    """One half on a diagonal pair by hand, zero on itself, symmetric."""
    a, b = torch.tensor([1.0, 4.0], dtype=torch.float64).diag(), torch.tensor([9.0, 4.0], dtype=torch.float64).diag()
    zero, shift = torch.zeros(2, dtype=torch.float64), torch.tensor([3.0, 0.0], dtype=torch.float64)
    assert frechet_gaussian(zero, a, shift, b) == pytest.approx(9 + (3 - 1) ** 2, abs=1e-12)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert frechet(x, x) == pytest.approx(0, abs=1e-10)
    assert frechet(x, 2 * x) == pytest.approx(frechet(2 * x, x), rel=1e-10)
    assert nearest(x[:5], x).max() < 1e-6

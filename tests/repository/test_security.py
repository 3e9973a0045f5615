"""Files that mean harm: nothing in them is executed, and every loader answers with one of our errors."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import pickle
import random
import shutil
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from scoresde import data, runs
from scoresde.interop import importing, models, pipelines
from scoresde.runs import config, toml
from scoresde.storage import checkpoints
from scoresde.storage.files import CheckpointError
from scoresde.training import Training
from tests.helpers.in_process import called
from tests.helpers.pickles import Loud
from tests.helpers.pipelines import written

OURS = (CheckpointError, ValueError, TypeError, OSError)  # ConfigError is a ValueError
POINTS = np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good file of every kind: a run with a checkpoint, a configuration, data in every format, a pipeline, a torch
    file."""
    folder = tmp_path_factory.mktemp("good")
    np.savez(folder / "a.npz", x=POINTS)
    np.save(folder / "a.npy", POINTS)
    (folder / "a.csv").write_text("p,q\n" + "\n".join(f"{a},{b}" for a, b in POINTS.tolist()))
    (folder / "a.safetensors").write_bytes(save({"x": torch.from_numpy(POINTS)}))
    (folder / "images").mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "images" / "a.png")
    torch.save({"model": {"w": torch.ones(3)}, "step": 1}, folder / "w.pt")
    written(folder / "pipeline")
    (folder / "c.toml").write_text(
        '[data]\npath = "a.npz"\n[process]\nname = "VPSDE"\nbeta_max = 19.0\n[network]\nwidths ='
        " [8]\n[training]\nsteps = 4\n"
    )
    chosen = config.Config(
        data=config.DataConfig(path=str(folder / "a.npz")),
        network=config.NetworkConfig(widths=(4,)),
        training=Training(steps=2, batch=4),
    )
    runs.train(chosen, data.load(folder / "a.npz"), folder / "run", "test")
    assert (folder / "run" / "checkpoints").is_dir()
    return folder


LOADERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "npz": ("a.npz", data.load),
    "npy": ("a.npy", lambda p: data.load(p).samples(torch.arange(2))),
    "csv": ("a.csv", data.load),
    "safetensors data": ("a.safetensors", data.load),
    "safetensors weights": ("a.safetensors", importing.read),
    "torch": ("w.pt", importing.read),
    "toml": ("c.toml", toml.read),
    "run.json": ("run/run.json", lambda p: runs.load(p.parent)),
    "weights of a run": ("run/model.safetensors", lambda p: runs.load(p.parent)),
    "checkpoint": ("run/checkpoints/step-00000002.safetensors", checkpoints.unseal),
    "image": ("images/a.png", lambda p: data.load(p.parent)),
    "pipeline scheduler": ("pipeline/scheduler/scheduler_config.json", lambda p: pipelines.load(p.parents[1])),
    "pipeline network": ("pipeline/unet/config.json", lambda p: pipelines.load(p.parents[1])),
    "pipeline weights": ("pipeline/unet/diffusion_pytorch_model.safetensors", lambda p: pipelines.load(p.parents[1])),
}


def copied(good: Path, name: str, to: Path, content: bytes) -> Path:
    """The folder around one file, with that file's content replaced."""
    import shutil

    top = name.split("/")[0]
    if "/" in name:
        shutil.copytree(good / top, to / top, dirs_exist_ok=True)
    (to / name).write_bytes(content)
    return to / name


@pytest.mark.parametrize("kind", LOADERS)
def test_the_good_files_load(kind, good):
    name, load = LOADERS[kind]
    load(good / name)


# -- security
# --------------------------------------------------------------------------------------------------------------


def payloads(touched: Path) -> list[bytes]:
    """Pickles that touch a file when read: plain, as torch writes them, in an object array of NumPy, in an .npz."""
    plain = pickle.dumps(Loud(touched))
    zipped, array, archive = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(Loud(touched), zipped)
    np.save(array, np.array([Loud(touched)], dtype=object), allow_pickle=True)
    np.savez(archive, x=np.array([Loud(touched)], dtype=object))
    return [plain, zipped.getvalue(), array.getvalue(), archive.getvalue()]


@pytest.mark.parametrize("kind", LOADERS)
def test_a_pickle_in_any_place_is_not_executed(kind, good, tmp_path):
    """Loaders: the payload does not run, and the file is refused (a run falls back to its checkpoint, with a
    warning)."""
    name, load = LOADERS[kind]
    touched = tmp_path / "touched"
    for payload in payloads(touched):
        file = copied(good, name, tmp_path, payload)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name in ("run/run.json", "run/model.safetensors"):
                load(file)
            else:
                with pytest.raises(OURS):
                    load(file)
        assert not touched.exists()


def test_no_command_executes_a_pickle(good, tmp_path, capsys):
    """Commands: one line, exit code 2, nothing touched."""
    touched = tmp_path / "touched"
    evil = copied(good, "run/run.json", tmp_path, payloads(touched)[0]).parent
    for file in (evil / "model.safetensors", *(evil / "checkpoints").glob("step-*")):
        file.write_bytes(payloads(touched)[1])
    for suffix, payload in zip((".pkl", ".pt", ".npy", ".npz"), payloads(touched), strict=True):
        (tmp_path / f"evil{suffix}").write_bytes(payload)
    (tmp_path / "c.toml").write_text(f'[data]\npath = "{tmp_path / "evil.npz"}"\n')
    out = ("--out", str(tmp_path / "out"))
    attempts = [(command, str(evil)) for command in ("sample", "likelihood", "doctor", "info")]
    attempts += [
        ("train", str(tmp_path / "c.toml"), *out),
        ("train", str(tmp_path / "evil.pkl"), *out),
        ("demo", "--data", str(tmp_path / "evil.npy"), *out),
    ]
    attempts += [("import", str(tmp_path / f"evil{suffix}"), *out) for suffix in (".pkl", ".pt", ".npz")] + [
        ("import", str(evil), *out)
    ]
    for attempt in attempts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert called(*attempt) == 2, attempt
        said = capsys.readouterr().err
        assert said.startswith("scoresde: "), attempt
        assert said.count("\n") == 1, attempt
        assert not touched.exists(), attempt


# -- security
# --------------------------------------------------------------------------------------------------------------


def header(entries: dict, body: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + body


@cache
def abuses() -> dict[str, bytes]:
    """Safetensors that lie: a header longer than the file or than memory, tensors over each other or beyond the end,
    far too many of them."""
    f32 = {"dtype": "F32", "shape": [1]}
    return {
        "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
        "header of 100 MB": struct.pack("<Q", 10**8) + b"{}",
        "header past the end": struct.pack("<Q", 100) + b"{}",
        "overlapping tensors": header({f"t{i}": {**f32, "data_offsets": [0, 4]} for i in range(1000)}, bytes(4)),
        "a tensor beyond the end": header(
            {"t": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}, bytes(4)
        ),
        "a shape that overflows": header(
            {"t": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, bytes(4)
        ),
        "100 000 tensors": header(
            {f"t{i}": {**f32, "data_offsets": [4 * i, 4 * i + 4]} for i in range(100_000)}, bytes(400_000)
        ),
        "not finite": save({"w": torch.tensor([1.0, float("inf")])}),
        "a deep header": struct.pack("<Q", 20_000) + b"[" * 20_000,
        "empty": b"",
    }


ABUSED = """
import resource, sys
from pathlib import Path
from scoresde import importing
from scoresde.storage.files import CheckpointError
import safetensors.torch, torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for file in sorted(Path(sys.argv[1]).iterdir()):
    try:
        importing.read(file)
        sys.exit(f"{file} was read")
    except CheckpointError as error:
        assert str(file) in str(error) and len(str(error)) < 600, error
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_safetensors_that_lie_are_refused_in_little_memory(tmp_path):
    """Each is a CheckpointError naming the file; all together take less than 200 MB beyond the import."""
    for i, content in enumerate(abuses().values()):
        (tmp_path / f"{i}.safetensors").write_bytes(content)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ABUSED, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 200e6


@pytest.mark.parametrize("kind", ["weights of a run", "safetensors data", "checkpoint"])
@pytest.mark.parametrize("abuse", [name for name in abuses() if name != "100 000 tensors"])
def test_lying_safetensors_in_other_places(kind, abuse, good, tmp_path):
    """The same in every place that safetensors are read; a run that has a good checkpoint falls back to it."""
    name, load = LOADERS[kind]
    content = abuses()[abuse]
    file = copied(good, name, tmp_path, content)
    if kind == "weights of a run":
        import hashlib

        about = json.loads((file.parent / "run.json").read_text())
        (file.parent / "run.json").write_text(json.dumps({**about, "sha256": hashlib.sha256(content).hexdigest()}))
        for kept in (file.parent / "checkpoints").glob("step-*"):
            kept.unlink()
    with pytest.raises(OURS):
        load(file)


def test_a_torch_file_that_unpacks_to_more_is_refused(tmp_path):
    """A zip of compressed zeros."""
    torch.save({"w": torch.zeros(1_000_000)}, tmp_path / "w.pt")
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as old,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(CheckpointError, match="would unpack"):
        importing.read(tmp_path / "bomb.pt")


# -- security
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("# " + "x" * 10_000_000, "larger than"),
        ("a = " + "[" * 1000 + "]" * 1000, "."),
        ("a = " + "{b=" * 1000 + "1" + "}" * 1000, "."),
        ("[training]\nstep = 3\n", r"line 2: `training.step`.*did you mean training.steps"),
        ("[trainings]\nsteps = 3\n", "trainings"),
        ("[training]\nsteps = 3\nsteps = 4\n", "steps|overwrite"),
        ('[training]\nsteps = "3"\n', r"`training.steps`"),
        ("[training]\nsteps = nan\n", r"`training.steps`"),
        ("training = 3\n", "`training`"),
        ("\x00", "."),
        ('[process]\nname = "__import__"\n', "`process.name`"),
        ('[process]\nname = ["VPSDE"]\n', "`process"),
    ],
    ids=range(12),
)
def test_configurations_that_mean_harm(text, match, tmp_path):
    """A ConfigError that names the key, or the place."""
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(config.ConfigError, match=match):
        toml.read(tmp_path / "c.toml")


NAMES = [
    "../x",
    "/etc/x",
    "a/../../x",
    "..\\x",
    "C:\\x",
    "a\x00b",
    "a\nb",
    "~root",
    "$HOME",
    "a;b",
    "a b",
    "%2e%2e%2fx",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere(name, tmp_path):
    """Twelve names no tensor may have."""
    (tmp_path / "w.safetensors").write_bytes(save({name: torch.ones(1)}))
    with pytest.raises(CheckpointError, match="named"):
        importing.read(tmp_path / "w.safetensors")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links here")
def test_a_link_out_of_an_image_folder_is_refused(good, tmp_path):
    """What is trained on lies in the folder that was named."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").symlink_to(good / "images" / "a.png")
    with pytest.raises(ValueError, match=r"`data` .*outside"):
        data.load(tmp_path / "images")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested JSON."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with something else at a place, or nothing where it is `...`."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    if copy[path[0]] is ...:
        del copy[path[0]]
    return copy


def test_descriptions_that_tell_something_else_are_refused(good, tmp_path):
    """Each value of run.json removed, and replaced by every other kind: the run works, or a CheckpointError names
    it."""
    shutil.copytree(good / "run", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    file, refused = tmp_path / "run" / "run.json", {}
    about = json.loads(file.read_text())
    for path, new in itertools.product(
        list(places(about))[1:], (..., None, -1, 1.5, math.nan, "x", [], [1, 2, 3], ["x"], {}, {"a": 1})
    ):
        file.write_text(json.dumps(replaced(about, path, new)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's, of networks without a weight
                model = models.load(tmp_path / "run")
            model.summary()
            assert model.original(torch.zeros(2, *model.shape)).isfinite().all()
        except CheckpointError as error:
            refused[path] = str(error)
        except Exception as error:
            raise AssertionError(f"{path} = {new}: {error!r}") from error
    assert all(str(tmp_path / "run") in said for said in refused.values()), refused
    assert {path[-1] for path in refused} >= {
        "config",
        "shape",
        "centre",
        "steps_done",
        "versions",
        "command",
        "sha256",
        "widths",
    }


@pytest.mark.parametrize(
    ("place", "new", "said"),
    [
        ("data.shape", [10**5], "Wrong shape"),
        ("data.shape", [2**19], "`fourier`"),
        ("config.network.widths", [4096], "Wrong shape"),
        ("config.network.layers", 64, "Missing key"),
    ],
)
def test_no_memory_is_taken_for_a_network_that_does_not_fit(place, new, said, good, tmp_path, monkeypatch):
    """A description of a far larger network than the weights are of: refused with no layer of it built."""
    shutil.copytree(good / "run", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    file = tmp_path / "run" / "run.json"
    about, built = json.loads(file.read_text()), []
    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", lambda layer: built.append(layer.weight.device.type))
    runs.load(tmp_path / "run")
    assert set(built) == {"meta", "cpu"}
    built.clear()
    file.write_text(json.dumps(replaced(about, tuple(place.split(".")), new)))
    with pytest.raises(CheckpointError, match=f"another architecture.*{said}"):
        runs.load(tmp_path / "run")
    assert "cpu" not in built


# -- security
# --------------------------------------------------------------------------------------------------------------


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One to four changes: bits flipped, bytes set, pieces cut, doubled, moved or replaced by numbers and brackets."""
    b = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, n = rng.randrange(len(b) + 1), rng.choice((1, 2, 4, 8, 64))
        piece = bytes(b[rng.randrange(len(b) + 1) :][:n])
        word = rng.choice((b"-1", b"99999999999999999999", b"{", b"]", b'"', b"null", b"nan", b"1e999"))
        new = rng.choice((b"", rng.randbytes(n), piece, b"\xff" * n, b"\0" * n, word))
        b[at : at + rng.choice((0, n))] = new
    return bytes(b) if rng.random() < 0.9 else bytes(b[: rng.randrange(len(b) + 1)])


def fuzz(kind: str, good: Path, folder: Path, count: int, seed: int) -> None:
    name, load = LOADERS[kind]
    content, rng = (good / name).read_bytes(), random.Random(f"{kind} {seed}")
    file = copied(good, name, folder, content)
    for i in range(count):
        file.write_bytes(mutated(content, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                load(file)
            except OURS:
                continue
            except BaseException as error:
                raise AssertionError(f"{kind}, seed {seed}, file {i}: {error!r}") from error


QUICK = [kind for kind in LOADERS if "pipeline" not in kind]


@pytest.mark.parametrize("kind", QUICK)
def test_mutated_files_meet_only_our_errors(kind, good, tmp_path):
    """Some 275 files."""
    fuzz(kind, good, tmp_path, 25, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOADERS)
def test_ten_thousand_mutated_files(kind, good, tmp_path):
    """The whole set of files."""
    fuzz(kind, good, tmp_path, 200 if "pipeline" in kind else 860, seed=1)


# -- security
# --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bad_inputs_are_refused_without_asserts(tmp_path):
    """The suite of bad inputs under python -O, where assert statements are gone."""
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-O",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore::pytest.PytestConfigWarning",
        "tests/repository/test_bad_input.py",
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:]

"""Clips, tables of other libraries, volumes of pixels: read, told apart, and refused by name."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde import data

RNG = np.random.default_rng(0)
INSTALLED = {name: importlib.util.find_spec(name) is not None for name in ("pyarrow", "datasets")}


def save_clip(frames: np.ndarray, path: Path) -> np.ndarray:
    """An animation without loss, (frames, H, W) or (frames, H, W, 3) uint8."""
    path.parent.mkdir(exist_ok=True, parents=True)
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, lossless=True)  # a GIF is so in any case
    return frames


def grey(count: int = 3, height: int = 6, width: int = 8) -> np.ndarray:
    return RNG.integers(0, 256, (count, height, width), dtype=np.uint8)


def coloured(count: int = 3, height: int = 6, width: int = 8) -> np.ndarray:
    return RNG.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_one_file_is_one_clip(suffix: str, tmp_path: Path) -> None:
    frames = save_clip(grey(), tmp_path / f"a{suffix}")
    read = data.load(tmp_path / f"a{suffix}")
    assert read.shape == (1, 3, 6, 8)
    assert torch.equal(data.unscaled(read).x[0, 0], torch.from_numpy(frames).float())


def test_a_clip_in_colour_has_three_channels(tmp_path: Path) -> None:
    frames = save_clip(coloured(), tmp_path / "a.webp")
    read = data.unscaled(data.load(tmp_path / "a.webp"))
    assert torch.equal(read.x[0], torch.from_numpy(frames).permute(3, 0, 1, 2).float())


def test_a_folder_of_clips_is_a_set_and_its_folders_are_classes(tmp_path: Path) -> None:
    clips = [save_clip(grey(), tmp_path / name) for name in ("left/a.gif", "left/b.gif", "right/a.webp")]
    read = data.load(tmp_path)
    assert (len(read), read.shape, read.class_names) == (3, (1, 3, 6, 8), ("left", "right"))
    assert read.labels is not None
    assert read.labels.tolist() == [0, 0, 1]
    assert torch.equal(data.unscaled(read).x[:, 0], torch.from_numpy(np.stack(clips)).float())
    assert data.load(tmp_path, kind="volumes").shape == (1, 3, 6, 8)


def test_one_clip_in_colour_makes_all_of_them_so(tmp_path: Path) -> None:
    save_clip(grey(), tmp_path / "a.gif")
    save_clip(coloured(), tmp_path / "b.webp")
    read = data.load(tmp_path).in_memory(2).x
    assert read.shape == (2, 3, 3, 6, 8)
    assert torch.equal(read[0, 0], read[0, 2])
    assert not torch.equal(read[1, 0], read[1, 2])


def test_clips_are_cropped_and_resized_as_images_are(tmp_path: Path) -> None:
    save_clip(grey(height=6, width=8), tmp_path / "a.gif")
    save_clip(grey(height=9, width=7), tmp_path / "b.gif")
    assert data.load(tmp_path, size=5).shape == (1, 3, 5, 5)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: grey(height=7), r"clips of one size, got \(7, 8\) in .*b\.gif but \(6, 8\) in .*a\.gif; give a size"),
        (lambda: grey(count=4), r"clips of as many frames, got 4 in .*b\.gif but 3 in .*a\.gif"),
        (lambda: grey(count=1), r"images or clips, not both, got .*a\.gif with several frames and .*b\.gif with one"),
    ],
)
def test_clips_that_differ_are_refused(other: Any, said: str, tmp_path: Path) -> None:
    save_clip(grey(), tmp_path / "a.gif")
    save_clip(other(), tmp_path / "b.gif")
    with pytest.raises(ValueError, match=said):
        data.load(tmp_path)


def test_bad_clips_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a no more")
    for path in (tmp_path, tmp_path / "a.gif"):
        with pytest.raises(ValueError, match=r"`data` must hold readable (clips|images), got .*a\.gif"):
            data.load(path)
    save_clip(grey(), tmp_path / "a.gif")
    with pytest.raises(ValueError, match="`kind` must be volumes for the pictures of"):
        data.load(tmp_path, kind="images")


def test_volumes_of_pixels_are_scaled_as_images_are(tmp_path: Path) -> None:
    raw = RNG.integers(0, 256, (4, 1, 3, 5, 6), dtype=np.uint8)
    np.savez(tmp_path / "v.npz", x=raw)
    np.save(tmp_path / "v.npy", raw)
    for name in ("v.npz", "v.npy"):
        read = data.load(tmp_path / name, kind="volumes")
        assert (read.centre, read.half_range, read.kind) == (127.5, 127.5, "volumes")
        assert torch.allclose(data.unscaled(read).x, torch.from_numpy(raw).float(), atol=1e-4)


@pytest.mark.parametrize("told", [[0.0, 0.0], [np.nan, 1.0], [1.0, 1.0, 1.0], [[0.0] * 2, [1.0] * 2]])
def test_a_scale_that_is_none_is_refused(told: list[float], tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 3)) + np.arange(3), scoresde_scale=np.array(told))
    with pytest.raises(ValueError, match="`scoresde_scale` must be centre and half range"):
        data.load(tmp_path / "x.npz")


# Tables of other libraries. Where a library is missing, the reader is tried on a stand-in with the names it uses; what
# is the library's own, the format of the file, is tested only where it is installed.


def in_place_of(name: str, module: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, name, module)


class Column(list[Any]):
    """Of a stand-in's table."""

    def to_numpy(self) -> np.ndarray:
        return np.array(self)


def parquet(path: Path, columns: dict[str, list[Any]], patch: pytest.MonkeyPatch) -> Path:
    """A .parquet of these columns, or a stand-in that answers for one."""
    if INSTALLED["pyarrow"]:
        import pyarrow  # pyright: ignore[reportMissingImports]
        from pyarrow import parquet as real  # pyright: ignore[reportMissingImports]

        real.write_table(pyarrow.table(columns), path)
        return path

    def read_table(asked: Path) -> SimpleNamespace:
        assert asked == path
        return SimpleNamespace(column_names=list(columns), column=lambda name: Column(columns[name]))

    module = ModuleType("pyarrow")
    module.parquet = SimpleNamespace(read_table=read_table)  # type: ignore[attr-defined]
    in_place_of("pyarrow", module, patch)
    path.touch()
    return path


def test_a_parquet_is_read_as_a_csv_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {
        "mass": [300.5, 250.0, 1.0],
        "label": [1, 0, 1],
        "on": [True, False, True],
        "__index_level_0__": [3, 4, 5],
    }
    read = data.load(parquet(tmp_path / "t.parquet", columns, monkeypatch))
    (tmp_path / "t.csv").write_text("mass,label,on\n300.5,1,1\n250,0,0\n1,1,1\n")
    same = data.load(tmp_path / "t.csv")
    assert isinstance(read, data.Dataset)
    assert isinstance(same, data.Dataset)
    assert read.columns == same.columns == ("mass", "on")
    assert read.labels is not None
    assert read.labels.tolist() == [1, 0, 1]
    assert torch.equal(read.x, same.x)
    assert (read.centre, read.half_range) == (same.centre, same.half_range)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": [1.0, 2.0], "city": ["Bern", "Ulm"]}, "columns of numbers, got dtype .* in column city of"),
        ({"a": [1.0, float("nan")]}, "finite numbers, got nan or an empty cell in row 1 of column a of"),
        ({"a": [1.0, 2.0], "label": [0.5, 1.0]}, "`labels` must be integers, got 0.5"),
        ({"__index_level_0__": [1, 2]}, "columns of numbers, got none in"),
    ],
)
def test_a_parquet_of_other_things_is_refused(
    columns: dict[str, list[Any]], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=said):
        data.load(parquet(tmp_path / "t.parquet", columns, monkeypatch))


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None in sys.modules makes an import fail as a missing library does."""
    (tmp_path / "t.parquet").touch()
    in_place_of("pyarrow", None, monkeypatch)
    with pytest.raises(ValueError, match=r"got .*t\.parquet: .* pip install pyarrow, or save it as a \.csv"):
        data.load(tmp_path / "t.parquet")

    in_place_of("datasets", None, monkeypatch)
    with pytest.raises(ValueError, match="library datasets, which is not installed; pip install datasets"):
        data.load(saved_folder(tmp_path / "d"))


def test_a_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR0")
    with pytest.raises(ValueError, match=r"readable \.parquet, got .*t\.parquet"):
        data.load(tmp_path / "t.parquet")


def saved_folder(path: Path) -> Path:
    """The two files by which a saved data set is known."""
    path.mkdir()
    for name in ("dataset_info.json", "state.json"):
        (path / name).write_text("{}")
    return path


class Stored:
    """Stands in for a data set of the library."""

    def __init__(self, columns: dict[str, list[Any]], names: list[str] | None):
        self.columns = columns
        self.column_names = list(columns)
        self.features = {"label": SimpleNamespace(names=names)} if names else {}

    def with_format(self, kind: str) -> dict[str, np.ndarray]:
        assert kind == "numpy"
        return {name: np.array(values) for name, values in self.columns.items()}

    def __getitem__(self, name: str) -> Iterator[Any]:
        return iter(self.columns[name])


def saved(path: Path, columns: dict[str, list[Any]], patch: pytest.MonkeyPatch, names: list[str] | None = None) -> Path:
    """A folder that `datasets` saved, or a stand-in that answers for one."""
    if INSTALLED["datasets"]:
        import datasets  # pyright: ignore[reportMissingImports]

        real = datasets.Dataset.from_dict(columns)
        if names:
            real = real.cast_column("label", datasets.ClassLabel(names=names))
        real.save_to_disk(str(path))
        return path

    in_place_of("datasets", SimpleNamespace(load_from_disk=lambda asked: Stored(columns, names)), patch)
    return saved_folder(path)


def test_images_of_datasets_are_read_as_a_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [Image.fromarray(frame) for frame in grey(4, 6, 6)]
    columns = {"image": images, "label": [0, 1, 1, 0], "id": ["a", "b", "c", "d"]}
    folder = saved(tmp_path / "d", columns, monkeypatch, ["cat", "dog"])
    (tmp_path / "files").mkdir()
    for k, image in enumerate(images):
        image.save(tmp_path / "files" / f"{k}.png")
    read = data.load(folder)
    assert read.labels is not None
    assert (read.labels.tolist(), read.class_names) == ([0, 1, 1, 0], ("cat", "dog"))
    assert torch.equal(read.in_memory(4).x, data.load(tmp_path / "files").in_memory(4).x)
    assert data.load(folder, size=4).shape == (1, 4, 4)


def test_images_of_datasets_that_differ_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [Image.new("L", (4, 4)), Image.new("L", (5, 4))]
    with pytest.raises(ValueError, match=r"one size, got \(4, 5\) in row 1 of .*d but \(4, 4\) in row 0"):
        data.load(saved(tmp_path / "d", {"image": images}, monkeypatch))


def test_columns_of_datasets_are_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"mass": [300.5, 250.0, 1.0], "label": [1, 0, 1]}
    read = data.load(saved(tmp_path / "d", columns, monkeypatch, ["off", "on"]))
    assert (read.columns, read.shape, read.class_names) == (("mass",), (1,), ("off", "on"))
    assert data.unscaled(read).x[:, 0].tolist() == pytest.approx(columns["mass"])
    with pytest.raises(ValueError, match="`kind` must be points for the columns mass, label, got images"):
        data.load(tmp_path / "d", kind="images")


def test_labels_of_datasets_that_are_no_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"image": [Image.new("L", (4, 4))] * 2, "label": ["cat", "dog"]}
    with pytest.raises(ValueError, match="`labels` must be integers, got 'cat'"):
        data.load(saved(tmp_path / "d", columns, monkeypatch))


def test_splits_are_told(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    with pytest.raises(ValueError, match="which holds several: train, test; name the folder of one"):
        data.load(tmp_path)

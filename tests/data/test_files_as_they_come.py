"""Files nobody here wrote: pixels of every mode, folders with strangers in them, tables from spreadsheets, dtypes
torch does not know."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde import data


def of_folder(tmp_path, *images):
    """What a folder of these images is read as."""
    for k, image in enumerate(images):
        image.save(tmp_path / f"{k}.png")
    return data.load(tmp_path)


def test_sixteen_bits_of_grey_are_read_over_their_whole_range(tmp_path):
    """0, 32768 and 65535 are -1, 0 and 1, to the eight bits that are kept."""
    values = np.array([[0, 32768, 65535, 257]] * 4, dtype=np.uint16)
    read = of_folder(tmp_path, Image.fromarray(values))
    assert read.x[0, 0, 0].tolist() == pytest.approx([-1.0, 0.0, 1.0, -1 + 2 / 255], abs=1.001 / 255)


def test_a_photo_is_upright(tmp_path):
    """EXIF orientation 6: the camera lay on its side, and the top of the picture is its left column as stored."""
    stored = np.zeros((4, 6), np.uint8)
    stored[:, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    read = data.load(tmp_path)
    assert read.shape == (1, 6, 4)
    assert (read.x[0, 0, 0] == 1).all()
    assert (read.x[0, 0, 1:] == -1).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_modes_of_eight_bits_are_read(mode, tmp_path):
    """White is 1 and black is -1, in one channel where the mode is grey and in three where it has colours."""
    white = Image.new("RGB", (6, 6), "white")
    read = of_folder(tmp_path, white.convert(mode))
    assert read.shape == (1 if mode in ("1", "L", "LA") else 3, 6, 6)
    assert (read.x == 1).all()


def test_a_mode_without_a_known_range_is_refused_by_its_name(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match="mode 'F'"):
        data.load(tmp_path)


def test_masks_of_zeros_and_ones_use_the_whole_range(tmp_path):
    """uint8 images of 0 and 1 alone are -1 and 1."""
    np.savez(tmp_path / "m.npz", x=np.random.default_rng(0).integers(0, 2, (8, 4, 4), dtype=np.uint8))
    assert set(data.load(tmp_path / "m.npz").x.unique().tolist()) == {-1.0, 1.0}


def test_hidden_folders_are_no_classes(tmp_path):
    """What editors and systems leave behind is left out."""
    for folder in ("cat", ".ipynb_checkpoints", "__MACOSX"):
        (tmp_path / folder).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / folder / "a.png")
    read = data.load(tmp_path)
    assert len(read) == 1
    assert read.labels is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_refused(tmp_path):
    """A named pipe would be waited for without end."""
    os.mkfifo(tmp_path / "z.png")
    with pytest.raises(ValueError, match=r"z\.png"):
        data.load(tmp_path)


def test_an_image_too_large_is_refused_before_it_is_read(tmp_path):
    Image.new("1", (13_000, 13_000)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match=r"large\.png"):
        data.load(tmp_path)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_a_dtype_torch_does_not_know_is_refused_by_name(kind, dtype, tmp_path):
    values = np.ones((4, 3), dtype)
    path = tmp_path / f"a.{kind}"
    np.savez(path, x=values) if kind == "npz" else np.save(path, values)
    with pytest.raises(ValueError, match=np.dtype(dtype).name):
        data.load(path)


TABLES = {
    "byte-order mark": "\ufefflabel,a\n0,1.5\n1,2.5\n",
    "semicolons": "label;a\n0;1.5\n1;2.5\n",
    "tabs": "label\ta\n0\t1.5\n1\t2.5\n",
    "bars": "label|a\n0|1.5\n1|2.5\n",
    "carriage returns": "label,a\r\n0,1.5\r\n1,2.5\r\n",
    "empty lines": "label,a\n\n0,1.5\n , \n1,2.5\n\n",
    "label last": "a,label\n1.5,0\n2.5,1\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_the_first_line_of_a_table_is_read_right(kind, tmp_path):
    """One column of numbers in its own units, labels 0 and 1."""
    (tmp_path / "t.csv").write_text(TABLES[kind], encoding="utf-8", newline="")
    read = data.load(tmp_path / "t.csv")
    assert read.labels.tolist() == [0, 1]
    assert read.shape == (1,)
    units = read.x.double() * torch.tensor(read.half_range) + torch.tensor(read.centre)
    assert units.flatten().tolist() == pytest.approx([1.5, 2.5], rel=1e-6)

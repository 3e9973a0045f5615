"""Samples as files: pictures that suit their shape, and numbers in the units of the data."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde import data
from scoresde.reports.shapes import save_picture
from tests.helpers.in_process import called

RNG = np.random.default_rng(0)
KINDS = {
    "points": (3,),
    "series": (2, 16),
    "images": (1, 8, 8),
    "volumes": (1, 4, 8, 8),
    "sets": (10, 3),
}


def drawn(path: Path) -> np.ndarray:
    """Pixels (H, W, 3) of a picture that says it is ours."""
    with Image.open(path) as image:
        assert image.info["Software"] == "scoresde"
        return np.asarray(image.convert("RGB")).astype(int)


def blue(pixels: np.ndarray) -> np.ndarray:
    """Where the first colour was drawn."""
    return (pixels[..., 2] - pixels[..., 0] > 60) & (pixels[..., 2] > 150)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_tells_samples_apart(kind: str, tmp_path: Path) -> None:
    """Other samples, another picture; the same ones, the same."""
    x = torch.from_numpy(RNG.uniform(-1, 1, (9, *KINDS[kind]))).float()
    save_picture(x, kind, tmp_path / "a.png")
    save_picture(x.clone(), kind, tmp_path / "b.png")
    save_picture(-x, kind, tmp_path / "c.png")
    assert np.array_equal(drawn(tmp_path / "a.png"), drawn(tmp_path / "b.png"))
    assert not np.array_equal(drawn(tmp_path / "a.png"), drawn(tmp_path / "c.png"))


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
def test_a_table_is_drawn_whatever_its_width(width: int, tmp_path: Path) -> None:
    """Wider than four columns it looks as wide as four do."""
    x = torch.from_numpy(RNG.normal(size=(40, width)))
    save_picture(x, "points", tmp_path / "a.png", names=[f"column {k}" for k in range(width)])
    pixels = drawn(tmp_path / "a.png")
    assert blue(pixels).sum() > 200
    save_picture(x[:, :4], "points", tmp_path / "b.png", names=[f"column {k}" for k in range(min(4, width))])
    assert np.array_equal(pixels, drawn(tmp_path / "b.png"))


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_sets_are_drawn_in_one_to_three_dimensions(width: int, tmp_path: Path) -> None:
    x = torch.from_numpy(RNG.normal(size=(5, 12, width)))
    save_picture(x, "sets", tmp_path / "a.png")
    assert blue(drawn(tmp_path / "a.png")).sum() > 100


def test_a_line_lies_where_the_numbers_do(tmp_path: Path) -> None:
    """A series that rises is drawn from the lower left to the upper right."""
    save_picture(torch.linspace(0, 1, 50).reshape(1, 1, 50), "series", tmp_path / "a.png")
    row, column = np.nonzero(blue(drawn(tmp_path / "a.png")))
    assert np.corrcoef(row, column)[0, 1] < -0.99


def test_slices_of_a_volume_lie_side_by_side(tmp_path: Path) -> None:
    """The first on the left, white where the voxel is 1; a volume a row."""
    x = torch.full((2, 1, 4, 8, 8), -1.0)
    x[0, 0, 2] = 1
    x[1, 0, 0] = 1
    save_picture(x, "volumes", tmp_path / "a.png")
    pixels = drawn(tmp_path / "a.png")
    height, width = pixels.shape[0] / 2, pixels.shape[1] / 4
    seen = [[pixels[int((r + 0.5) * height), int((c + 0.5) * width), 0] for c in range(4)] for r in range(2)]
    assert seen == [[0, 0, 255, 0], [255, 0, 0, 0]]


def test_volumes_in_units_of_their_own_use_the_whole_grey_scale(tmp_path: Path) -> None:
    x = torch.linspace(0, 500, 4).reshape(1, 1, 4, 1, 1).expand(1, 1, 4, 8, 8)
    save_picture(x, "volumes", tmp_path / "a.png")
    middle = drawn(tmp_path / "a.png")[:, :, 0]
    assert (middle.min(), middle.max()) == (0, 255)


def test_groups_have_rows_or_colours(tmp_path: Path) -> None:
    """Six samples in two groups: two rows of three, or two colours."""
    x = torch.from_numpy(RNG.normal(size=(6, 1, 8)))
    save_picture(x, "series", tmp_path / "a.png", groups=2)
    height, width, _ = drawn(tmp_path / "a.png").shape
    assert width > 1.5 * height
    save_picture(x.flatten(1), "points", tmp_path / "b.png", groups=2)
    pixels = drawn(tmp_path / "b.png")
    assert ((pixels[..., 0] - pixels[..., 2] > 60) & (pixels[..., 0] > 150)).sum() > 50


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`kind`"):
        save_picture(torch.zeros(2, 2), "rows", tmp_path / "a.png")


def trained(folder: Path, path: str, more: str = "", network: str = "widths = [16]") -> Path:
    """A run of two steps on a file or a named set, with a picture on the way."""
    text = f"[data]\npath = '{path}'\n{more}\n[network]\n{network}\n[training]\nsteps = 2\nbatch = 8\n"
    (folder / "c.toml").write_text(text + "[record]\nsample = 2\n")
    assert called("train", str(folder / "c.toml"), "--out", str(folder / "run")) == 0
    return folder / "run"


def sampled(run: Path, out: str, *more: str) -> Path:
    target = run.parent / out
    assert called("sample", str(run), "--n", "6", "--steps", "2", "--out", str(target), *more) == 0
    return target


PATCHES = 'kind = "patches"\nwidths = [16]'
FILES: dict[str, tuple[tuple[int, ...], Any, str, str]] = {
    "series": ((1, 16), 40.0, 'kind = "series"', PATCHES),
    "volumes": ((1, 3, 8, 8), None, 'kind = "volumes"', PATCHES),
    "images": ((1, 8, 8), None, "", "widths = [8]"),
}


@pytest.mark.parametrize("kind", FILES)
def test_arrays_come_back_in_their_units(kind: str, tmp_path: Path) -> None:
    """Series as they are, here about 40 in size; pixels of 8 bits from 0 to 255."""
    shape, scale, more, network = FILES[kind]
    raw = RNG.integers(0, 256, (40, *shape), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=raw if scale is None else scale + RNG.normal(size=raw.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # series of other than unit size are warned of
        run = trained(tmp_path, str(tmp_path / "x.npz"), more, network)
        picture = sampled(run, "x.png")
        arrays = np.load(sampled(run, "y.npz"))["x"]

    assert arrays.shape == (6, *shape)
    if scale is None:
        assert 60 < arrays.mean() < 195
        assert arrays.std() > 1.01  # of the model's scale it would be less
    back = data.load(run.parent / "y.npz", kind=None if kind == "images" else kind)
    assert np.allclose(data.unscaled(back).x.numpy(), arrays, rtol=1e-5, atol=1e-3)
    if scale is None:
        assert (back.centre, back.half_range) == (127.5, 127.5)

    assert drawn(picture).std() > 5
    assert drawn(run / "samples" / "step-00000002.png").std() > 5


def test_a_picture_of_a_table_has_its_units_and_names(tmp_path: Path) -> None:
    """The same samples from the file that says the units make the same picture."""
    rows = "".join(f"{300 + 50 * a:.4f},{0.01 * b:.6f},{b:.5f}\n" for a, b in RNG.normal(size=(60, 2)))
    (tmp_path / "t.csv").write_text("mass,height,third\n" + rows)
    run = trained(tmp_path, str(tmp_path / "t.csv"))
    values = np.loadtxt(sampled(run, "x.csv"), delimiter=",", skiprows=1)
    save_picture(torch.from_numpy(values), "points", tmp_path / "same.png", names=("mass", "height", "third"))
    assert np.array_equal(drawn(sampled(run, "x.png")), drawn(tmp_path / "same.png"))
    assert drawn(run / "samples" / "step-00000002.png").std() > 5


def test_wines_come_back_as_wines(tmp_path: Path) -> None:
    """From the set of the package, with its names; a label by its name."""
    run = trained(tmp_path, "wine", network="widths = [16]\n")
    out = sampled(run, "x.csv")
    back = data.load(out)
    assert back.columns == data.wine().columns
    values = np.loadtxt(out, delimiter=",", skiprows=1)
    assert 300 < values[:, -1].mean() < 1300  # proline, in mg/l


def test_a_named_set_needs_no_kind(tmp_path: Path) -> None:
    """Series by their name alone, through training, pictures and arrays."""
    run = trained(tmp_path, "two_sines", network=PATCHES)
    assert drawn(sampled(run, "x.png")).std() > 5
    assert np.load(sampled(run, "x.npz"))["x"].shape == (6, 1, 64)


def test_scales_of_guidance_are_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "a,b,label\n" + "".join(f"{a},{b},{a > 0:d}\n" for a, b in RNG.normal(size=(60, 2)))
    )
    (tmp_path / "c.toml").write_text(
        f"[data]\npath = '{tmp_path / 't.csv'}'\n[network]\nwidths = [16]\n[training]\nsteps = 2\nbatch = 8\n"
        "label_dropout = 0.1\n"
    )
    assert called("train", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")) == 0
    strip = drawn(sampled(tmp_path / "run", "x.png", "--label", "1", "--guidance", "1,3"))
    assert ((strip[..., 0] - strip[..., 2] > 60) & (strip[..., 0] > 150)).any()


def test_clips_go_in_and_out(tmp_path: Path) -> None:
    """GIFs that were sampled are a set to train on."""
    frames = RNG.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    (tmp_path / "clips").mkdir()
    for k, clip in enumerate(frames):
        first, *rest = (Image.fromarray(frame) for frame in clip)
        first.save(tmp_path / "clips" / f"{k}.gif", save_all=True, append_images=rest)
    run = trained(tmp_path, str(tmp_path / "clips"), network=PATCHES)
    assert np.load(sampled(run, "x.npz"))["x"].shape == (6, 1, 3, 8, 8)
    assert drawn(sampled(run, "x.png")).std() > 5
    assert len(data.load(sampled(run, "x.gif"))) == 1

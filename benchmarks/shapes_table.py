"""What works for which shape of data, tried: `python -m benchmarks.shapes_table` writes docs/shapes.md.

Every command runs in this process, on 40 samples of each shape and a network of a few thousand weights. A cell says
`works`, or what the command said.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from benchmarks.common import refilled
from scoresde import cli, data
from scoresde.compare import trained
from scoresde.interop import models

PAGE = Path(__file__).parents[1] / "docs" / "shapes.md"
COUNT = 40
STARTS = 2  # of a comparison, which takes 64 else
NETWORKS = ("auto", "patches")  # tried in this order
WORKS = "works"
COLUMNS = ("train", "resume", "sample", "doctor", "likelihood", "compare", "save", "load")
CONFIG = """
[data]
path = '{path}'
{kind}
[network]
kind = "{network}"
widths = [16]
[training]
steps = {steps}
batch = 8
"""
Row = dict[str, str]


def array(shape: tuple[int, ...], kind: str | None = None) -> Callable[[Path], tuple[Path, str | None]]:
    """A file of samples, and what is said of their kind."""

    def made(folder: Path) -> tuple[Path, str | None]:
        path = folder / "data.npy"
        np.save(path, np.random.default_rng(0).uniform(-1, 1, (COUNT, *shape)).astype(np.float32))
        return path, kind

    return made


def table(folder: Path) -> tuple[Path, str | None]:
    """A table with units and names."""
    path = folder / "data.csv"
    rows = np.random.default_rng(0).normal(size=(COUNT, 3)) * (50, 0.01, 1) + (300, 0, 5)
    np.savetxt(path, rows, delimiter=",", header="mass,height,age", comments="")
    return path, None


def video(folder: Path) -> tuple[Path, str | None]:
    """A folder of clips."""
    path = folder / "clips"
    path.mkdir()

    for k, clip in enumerate(np.random.default_rng(0).integers(0, 256, (COUNT, 3, 4, 4), dtype=np.uint8)):
        first, *rest = (Image.fromarray(frame) for frame in clip)
        first.save(path / f"{k:02d}.gif", save_all=True, append_images=rest)

    return path, None


SHAPES: dict[str, tuple[Callable[[Path], tuple[Path, str | None]], str, tuple[str, ...]]] = {
    "points": (array((2,)), "(N, d) in a `.npy`", ("png", "csv", "npz")),
    "table with names": (table, "a `.csv`", ("png", "csv", "npz")),
    "series": (array((2, 16), "series"), "(N, C, L) in a `.npy`", ("png", "npz")),
    "images": (array((1, 8, 8)), "(N, C, H, W) in a `.npy`", ("png", "npz")),
    "volumes": (array((1, 4, 4, 4), "volumes"), "(N, C, D, H, W) in a `.npy`", ("png", "gif", "npz")),
    "video": (video, "a folder of `.gif`", ("png", "gif", "npz")),
    "sets": (array((6, 2), "sets"), "(N, P, d) in a `.npy`", ("png", "npz")),
}  # how data are made, where they lie, and the files that samples of them go to


def said(*arguments: str) -> str:
    """`works`, or the last line that a command printed of its error."""
    heard = io.StringIO()
    quiet = io.StringIO()
    code: Any = 0

    with (
        mock.patch.object(sys, "argv", ["scoresde", *arguments]),
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(heard),
    ):
        try:
            cli.main()
        except SystemExit as done:
            code = done.code or 0

    found = arguments[0] == "doctor" and code == 3  # it looked, and found something
    if code == 0 or found:
        return WORKS

    lines = [line for line in heard.getvalue().splitlines() if "warning: " not in line]
    return lines[-1].removeprefix("scoresde: ") if lines else f"exit code {code}"


def run_of(folder: Path, path: Path, kind: str | None) -> tuple[str, str, str]:
    """(network, train, resume): the first network that takes the data, and how both commands ended."""
    config = folder / "config.toml"
    run = folder / "run"
    refused: list[str] = []

    def written(network: str, steps: int) -> str:
        told = "" if kind is None else f'kind = "{kind}"'
        config.write_text(CONFIG.format(path=path, kind=told, network=network, steps=steps), encoding="utf-8")
        return str(config)

    for network in NETWORKS:
        answer = said("train", written(network, 2), "--out", str(run))
        if answer == WORKS:
            return network, answer, said("train", written(network, 3), "--out", str(run), "--resume")
        refused.append(answer)

    return "none", refused[0], refused[0]


def loaded(folder: Path, ends: tuple[str, ...]) -> str:
    """Whether arrays and tables of samples are read again as the data that they are like."""
    model = models.load(folder / "run")

    for end in [end for end in ends if end in ("npz", "csv")]:
        try:
            back = data.load(folder / f"saved.{end}", kind=model.kind)
        except ValueError as error:
            return str(error)

        if back.shape != model.shape:
            return f"`{end}` came back as {back.shape}"
        if end == "csv" and model.columns is not None and list(back.columns or ()) != model.columns:
            return f"columns came back as {back.columns}"

    return WORKS


def row(name: str, folder: Path) -> Row:
    """What each command says of one shape."""
    make, _, ends = SHAPES[name]
    path, kind = make(folder)
    network, train, resume = run_of(folder, path, kind)
    cells = {"network": network, "train": train, "resume": resume}

    if train != WORKS:
        return cells | dict.fromkeys(COLUMNS[2:], "no run")

    run = str(folder / "run")
    few = ("--n", "4", "--steps", "2")
    cells["sample"] = said("sample", run, *few)
    cells["doctor"] = said("doctor", run, "--n", "8")
    cells["likelihood"] = said("likelihood", run, "--n", "2", "--probes", "1", "--rtol", "0.1")
    methods = ("--methods", "best,ddim", "--budgets", "2")
    cells["compare"] = said("compare", run, *methods, "--out", str(folder / "compare"))
    saved = [said("sample", run, *few, "--out", str(folder / f"saved.{end}")) for end in ends]
    cells["save"] = next((answer for answer in saved if answer != WORKS), WORKS)
    cells["load"] = loaded(folder, ends)

    return cells


def tried() -> dict[str, Row]:
    """Every shape through every command, in a folder that is removed."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = Path(name)
        rows: dict[str, Row] = {}

        with (
            mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(place / "cache")}),
            mock.patch.object(trained, "of_folder", partial(trained.of_folder, n=STARTS)),
        ):
            for shape in SHAPES:
                folder = place / shape.replace(" ", "_")
                folder.mkdir()
                cells = row(shape, folder)
                rows[shape] = {key: cell.replace(f"{folder}/", "").replace("|", "/") for key, cell in cells.items()}

    return rows


def text(rows: dict[str, Row]) -> str:
    """docs/shapes.md.

    Args:
        rows: of `tried`.
    """
    head = f"| shape | data | network | {' | '.join(COLUMNS)} |\n{'|---' * (len(COLUMNS) + 3)}|\n"
    refusals = list(dict.fromkeys(cell for cells in rows.values() for key, cell in cells.items() if key in COLUMNS))
    notes = [cell for cell in refusals if cell not in (WORKS, "no run")]
    lines = ""

    for shape, cells in rows.items():
        told = [
            cells[key] if cells[key] not in notes else f"refused ({notes.index(cells[key]) + 1})" for key in COLUMNS
        ]
        lines += f"| {shape} | {SHAPES[shape][1]} | {cells['network']} | {' | '.join(told)} |\n"

    listed = "\n".join(f"{k}. {note}" for k, note in enumerate(notes, 1)) or "Nothing is refused."
    files = "\n".join(
        f"| {shape} | {', '.join(f'`.{end}`' for end in ends)} |" for shape, (_, _, ends) in SHAPES.items()
    )

    return refilled(f"""# Shapes

Generated by `python -m benchmarks.shapes_table`, which runs every command on {COUNT} small samples of each shape. A test
runs it again and compares.

{head}{lines}
`network` is the first of {" and ".join(f"`{name}`" for name in NETWORKS)} that takes the data. `doctor` works where it ends
its examination, whatever it finds. `save` samples to every file that suits the shape, `load` reads arrays and tables of
samples by `data.load`, in the units, with the shape and the names of the data.

## Refusals

{listed}

## Files of samples

| shape | files |
|---|---|
{files}

A `.png` draws what suits the shape: a grid of images, lines, points in the plane or in space, slices, or pairs of
columns. A `.gif` shows a volume's slices, or a clip's frames, one after the other. Numbers in `.npz` and `.csv` are in
the units of the data.
""")


def main() -> None:
    page = text(tried())
    PAGE.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()

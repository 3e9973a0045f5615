"""Files and command lines that must be refused: rows 61 to 64 and what commands make of others.

Cases as in `bad_inputs`, called with a folder that `ground` has filled.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from scoresde import cli, data, runs
from scoresde.runs import config, toml
from scoresde.runs.config import ConfigError
from scoresde.storage.files import CheckpointError
from scoresde.training import Training
from tests.helpers.bad_inputs import Case


class Said(Exception):
    """Exit code 2 and this one line."""


def command(*arguments: Any) -> None:
    """`scoresde ARGUMENTS`; raises Said where it ends with exit code 2 and one line on the standard error, as usage
    errors must."""
    typed, heard = sys.argv, io.StringIO()
    sys.argv = ["scoresde", *map(str, arguments)]
    try:
        with contextlib.redirect_stderr(heard):
            cli.main()
    except SystemExit as stop:
        lines = heard.getvalue().strip().splitlines()
        if stop.code == 2 and len(lines) == 1:
            raise Said(lines[0]) from None
        raise RuntimeError(f"exit code {stop.code} and {lines}") from None
    finally:
        sys.argv = typed


def ground(folder: Path) -> Path:
    """Good files in `folder`: a finished run without checkpoints, its data and configuration."""
    np.savez(folder / "points.npz", x=np.linspace(-1, 1, 60).reshape(20, 3))
    network, training = config.NetworkConfig(widths=(4,)), Training(steps=1, batch=4)
    chosen = config.Config(config.DataConfig(str(folder / "points.npz")), network=network, training=training)
    runs.train(chosen, data.load(folder / "points.npz"), folder / "run", "test")
    shutil.rmtree(folder / "run" / "checkpoints")
    return folder


def stored(folder: Path, **arrays: Any) -> Any:
    """Load arrays from a file."""
    np.savez(folder / "bad.npz", **arrays)
    return data.load(folder / "bad.npz")


def told(folder: Path, text: str) -> Any:
    """Read a configuration."""
    (folder / "bad.toml").write_text(text)
    return toml.read(folder / "bad.toml")


def damaged(change: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Load the run after a change."""

    def loaded(folder: Path) -> Any:
        shutil.rmtree(folder / "bad", ignore_errors=True)
        change(Path(shutil.copytree(folder / "run", folder / "bad")))
        return runs.load(folder / "bad")

    return loaded


def about(folder: Path, **change: Any) -> None:
    """Change what run.json says."""
    (folder / "run.json").write_text(json.dumps({**json.loads((folder / "run.json").read_text()), **change}))


def reweighted(rename: Callable[[str], str | None]) -> Callable[[Path], Any]:
    """Weights under other names, their hash as it should be."""

    def change(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = load(path.read_bytes())
        content = save({new: value for name, value in tensors.items() if (new := rename(name)) is not None})
        path.write_bytes(content)
        about(folder, sha256=hashlib.sha256(content).hexdigest())

    return change


def cut(path: Path, flip: bool = False) -> None:
    """Half of a file, or all of it with one bit changed."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if flip else content[: len(content) // 2])


def wider(folder: Path) -> None:
    """A description of a network the weights are not of."""
    chosen = json.loads((folder / "run.json").read_text())["config"]
    about(folder, config={**chosen, "network": {**chosen["network"], "widths": [8]}})


def refused(*arguments: str) -> Callable[[Path], None]:
    """A command; RUN, OUT and FILE stand for the run, a new folder and a file, BELOW for what cannot be."""
    stand = {"RUN": "run", "OUT": "out", "FILE": "points.npz", "BELOW": "points.npz/a.npz"}
    return lambda folder: command(*(folder / stand[a] if a in stand else a for a in arguments))


SAMPLE = ("sample", "RUN", "--steps", "2", "--n", "1")
FILES = [
    Case(*case)
    for case in (
        (61, "empty", lambda f: stored(f, x=np.zeros((0, 3))), ValueError, "`data` .*empty.*bad.npz"),
        (61, "nan", lambda f: stored(f, x=np.full((2, 3), np.nan)), ValueError, "`data` must be finite, .*bad.npz"),
        (61, "ndim", lambda f: stored(f, x=np.zeros(4)), ValueError, "`data` .*shape.*bad.npz"),
        (
            61,
            "objects",
            lambda f: stored(f, x=np.array([{}, {}], dtype=object)),
            ValueError,
            "`data` must be .*plain numeric.*bad.npz",
        ),
        (61, "labels", lambda f: stored(f, x=np.zeros((2, 2)), y=np.zeros(2)), ValueError, "`labels` must be integers"),
        (61, "absent", lambda f: data.load(f / "absent.npz"), ValueError, "`data` .*does not exist"),
        (
            62,
            "unknown key",
            lambda f: told(f, "[training]\nstep = 5"),
            ConfigError,
            r"line 2.*`training.step`.*did you mean training.steps",
        ),
        (
            62,
            "unknown table",
            lambda f: told(f, "[trainin]\nlr = 1"),
            ConfigError,
            "line 1: `trainin`.*did you mean training",
        ),
        (
            62,
            "number as a string",
            lambda f: told(f, "[training]\nsteps = '5'"),
            ConfigError,
            "line 2: `training.steps` must be an integer",
        ),
        (
            62,
            "wrong type",
            lambda f: told(f, "[process]\nbeta_max = [1]"),
            ConfigError,
            "line 2: `process.beta_max` must be a number",
        ),
        (62, "wrong value", lambda f: told(f, "[process]\n\nbeta_min = 30"), ConfigError, "`process.beta_max`"),
        (
            62,
            "duplicate key",
            lambda f: told(f, "[data]\npath = 'a'\npath = 'b'"),
            ConfigError,
            r"bad.toml: .*overwrite.*line 3.*: path = 'b'",
        ),
        (63, "missing", lambda f: runs.load(f / "absent"), CheckpointError, "absent/run.json is missing"),
        (
            63,
            "file for a folder",
            lambda f: runs.load(f / "points.npz"),
            CheckpointError,
            "points.npz/run.json is missing",
        ),
        (
            63,
            "weights missing",
            damaged(lambda f: (f / "model.safetensors").unlink()),
            CheckpointError,
            "model.safetensors is missing",
        ),
        (
            63,
            "directory for a file",
            damaged(lambda f: (f / "run.json").unlink() or (f / "run.json").mkdir()),
            CheckpointError,
            "run.json is missing",
        ),
        (
            63,
            "truncated",
            damaged(lambda f: cut(f / "model.safetensors")),
            CheckpointError,
            "model.safetensors does not match .*truncated",
        ),
        (
            63,
            "bad hash",
            damaged(lambda f: cut(f / "model.safetensors", flip=True)),
            CheckpointError,
            "model.safetensors does not match the SHA-256",
        ),
        (
            63,
            "truncated description",
            damaged(lambda f: cut(f / "run.json")),
            CheckpointError,
            "run.json is not readable JSON",
        ),
        (63, "newer", damaged(lambda f: about(f, format=99)), CheckpointError, "run.json has format 99, newer than"),
        (63, "other architecture", damaged(wider), CheckpointError, "model.safetensors holds another architecture"),
        (
            63,
            "missing keys",
            damaged(reweighted(lambda n: None if n.endswith("bias") else n)),
            CheckpointError,
            "model.safetensors .*Missing key.*bias",
        ),
        (
            63,
            "unexpected keys",
            damaged(reweighted(lambda n: n.replace("bias", "basis"))),
            CheckpointError,
            "model.safetensors .*Unexpected key.*basis",
        ),
        (64, "folder exists", refused("demo", "--out", "RUN"), Said, "`--out` must be a new folder.*--overwrite"),
        (
            64,
            "file exists",
            refused(*SAMPLE, "--out", "FILE"),
            Said,
            "`--out` must be new or hold sam.*another name",
        ),
        (
            64,
            "below a file",
            refused("demo", "--out", "BELOW"),
            Said,
            "`--out` must be a path that can be written.*points.npz is a file",
        ),
        (
            64,
            "samples below a file",
            refused(*SAMPLE, "--out", "BELOW"),
            Said,
            "`--out` must be a path that can be written",
        ),
        (
            64,
            "rows below a file",
            refused("compare", "--problem", "gaussian3", "--out", "BELOW"),
            Said,
            "`--out` must be a path that can be written",
        ),
        (64, "null", refused("demo", "--out", "a\0b"), Said, "--out.*null"),
        (64, "null in samples", refused(*SAMPLE, "--out", "a\0b.png"), Said, "--out.*null"),
        (64, "null in a run", refused("info", "a\0b"), Said, "null"),
        (64, "unknown flag", refused("sample", "RUN", "--stepps", "5"), Said, "--stepps"),
        (64, "unknown command", refused("sampel", "RUN"), Said, "sampel"),
        (64, "no such device", refused("sample", "RUN", "--device", "tpu"), Said, "`--device` must be cpu or cuda"),
        *(
            []
            if torch.cuda.is_available()
            else [
                (64, "cuda absent", refused("sample", "RUN", "--device", "cuda"), Said, "`--device` must be cpu here")
            ]
        ),
        (17, "command", refused("sample", "RUN", "--steps", "0"), Said, "`steps`"),
        (19, "command", refused("sample", "RUN", "--steps", "2.5"), Said, "--steps"),
        (44, "command", refused("sample", "RUN", "--method", "ddimm"), Said, "`method` .*did you mean 'ddim'"),
        (45, "command", refused("sample", "RUN", "--sed", "1"), Said, "--sed.*--seed"),
        (46, "command", refused("sample", "RUN", "--rtol", "1e-3"), Said, "`--rtol` must not be given for ddim"),
        (
            46,
            "command, adaptive",
            refused("sample", "RUN", "--method", "probability_flow", "--steps", "5"),
            Said,
            "`--steps` must not be given",
        ),
        (51, "command", refused("sample", "RUN", "--seed", "-1"), Said, "`seed`"),
    )
]

"""A network of one's own by name: run only where that is allowed, and what is wrong with it told before training."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scoresde import runs
from scoresde.data.samples import Dataset
from scoresde.runs import own_code, toml
from scoresde.runs.config import ConfigError
from scoresde.storage.files import CheckpointError
from tests.helpers.in_process import called

SOURCE = """
import pathlib

import torch

pathlib.Path("imported").touch()


class Net(torch.nn.Module):
    def __init__(self, width, deep=False):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.SiLU(), torch.nn.Linear(width, 2))

    def forward(self, x, c_noise):
        return self.body(torch.cat([x, c_noise[:, None].to(x.dtype) / 1000], 1))


class Wide(Net):
    def forward(self, x, c_noise):
        return torch.cat([super().forward(x, c_noise)] * 2, 1)


class Idle(torch.nn.Module):
    def forward(self, x, c_noise):
        return x


class Broken(Net):
    def __init__(self, width):
        raise RuntimeError("no such layer")


def function(width):
    return Net(width)
"""
CONFIG = """
[data]
path = "{path}"
[network]
kind = "{kind}"
options = {options}
[training]
steps = {steps}
batch = 8
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A current directory with data and a module of a name of its own: that name."""
    name = f"net_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    np.save(tmp_path / "data.npy", np.random.default_rng(0).standard_normal((100, 2)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return name


def train(kind: str, *more: str, options: str = "{width = 8}", steps: int = 2) -> int:
    Path("c.toml").write_text(CONFIG.format(path="data.npy", kind=kind, options=options, steps=steps))
    return called("train", "c.toml", "--out", "run", *more)


def test_it_is_trained_taken_up_sampled_and_judged(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(f"{here}:Net", "--allow-code") == 0
    assert train(f"{here}:Net", "--allow-code", "--resume", steps=4) == 0
    about = json.loads(Path("run/run.json").read_text())
    assert about["network_source"] == hashlib.sha256(Path(f"{here}.py").read_bytes()).hexdigest()
    assert about["config"]["network"]["options"] == {"width": 8}
    assert about["training"]["steps_done"] == 4

    assert called("sample", "run", "--allow-code", "--n", "3", "--steps", "2", "--out", "x.npz") == 0
    assert np.load("x.npz")["x"].shape == (3, 2)
    assert called("likelihood", "run", "--allow-code", "--n", "2", "--rtol", "0.1") == 0
    assert called("doctor", "run", "--allow-code", "--n", "8") in (0, 3)
    capsys.readouterr()
    assert called("info", "run", "--allow-code") == 0
    assert about["network_source"][:16] in capsys.readouterr().out


def test_nothing_is_imported_unless_that_is_allowed(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither for training nor for a run, and what would run is said; what one command allows, no other has."""
    assert train(f"{here}:Net") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"`network.kind` must be a network of ours, or be allowed to run code, got {here}:Net" in said
    assert f"{here}.py) and call Net(width=8)" in said
    assert "add --allow-code" in said
    assert not Path("imported").exists()

    assert train(f"{here}:Net", "--allow-code") == 0
    Path("imported").unlink()
    for command in (("sample",), ("info",), ("doctor",), ("likelihood",)):
        assert called(*command, "run") == 2
        assert "allowed to run code" in capsys.readouterr().err
    assert not own_code.is_allowed()
    with pytest.raises(own_code.OwnCodeError, match="in Python allow_code"):
        runs.load("run")


@pytest.mark.processes
@pytest.mark.slow
def test_a_run_is_compared(here: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By workers too, which may what their parent may."""
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert train(f"{here}:Net", "--allow-code") == 0
    asked = ("compare", "run", "--methods", "ddim", "--budgets", "2,3", "--jobs", "2", "--out", "rows")
    assert called(*asked) == 2
    assert "allowed to run code" in capsys.readouterr().err
    assert called(*asked, "--allow-code") == 0


def test_a_source_that_has_changed_is_told(here: str) -> None:
    """With both hashes, when the run is loaded and when it is taken up; the run is used all the same."""
    assert train(f"{here}:Net", "--allow-code") == 0
    file = Path(f"{here}.py")
    then = hashlib.sha256(file.read_bytes()).hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs.load("run", allow_code=True)

    file.write_text(SOURCE + "\n")
    now = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.warns(UserWarning, match=f"has changed .* {now} now, {then} then"):
        loaded = runs.load("run", allow_code=True)
    assert loaded.shape == (2,)
    with pytest.warns(UserWarning, match=f"has changed .* {now} now, {then} then"):
        assert train(f"{here}:Net", "--allow-code", "--resume", steps=4) == 0


def test_python_allows_it_for_a_while(here: str) -> None:
    config = toml.parse(
        {"network": {"kind": f"{here}:Net", "options": {"width": 4}}, "training": {"steps": 1, "batch": 4}}
    )
    data = Dataset(torch.randn(16, 2, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(own_code.OwnCodeError):
        runs.train(config, data, Path("run"), "tests")
    with runs.allow_code():
        runs.train(config, data, Path("run"), "tests")
    first, again = (runs.load("run", allow_code=True).denoiser for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_weights_from_elsewhere_become_its_run(here: str) -> None:
    """The source's hash is kept there too."""
    assert train(f"{here}:Net", "--allow-code") == 0
    weights = {
        f"model.{name}": w for name, w in runs.load("run", allow_code=True).denoiser.network.state_dict().items()
    }
    save_file(weights, "theirs.safetensors")
    asked = ("import", "theirs.safetensors", "--config", "c.toml", "--shape", "2", "--out", "imported_run")
    assert called(*asked) == 2
    assert called(*asked, "--allow-code") == 0
    assert "network_source" in json.loads(Path("imported_run/run.json").read_text())
    assert called("sample", "imported_run", "--allow-code", "--n", "2", "--steps", "2", "--out", "y.npz") == 0


def test_weights_of_another_class_are_refused(here: str) -> None:
    assert train(f"{here}:Net", "--allow-code") == 0
    path = Path("run/run.json")
    path.write_text(path.read_text().replace('"width": 8', '"width": 9'))
    with pytest.raises(CheckpointError, match="another architecture"):
        runs.load("run", allow_code=True)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("{here}_not:Net", "{}", "there is no module {here}_not"),
        ("{here}:Absent", "{}", "`network.kind` must name a class of {here}"),
        ("{here}:function", "{width = 8}", "`network.kind` must name a subclass of torch.nn.Module"),
        ("{here}:Net", "{}", "`network.options` must be what {here}:Net takes, (width, deep=False)"),
        ("{here}:Net", "{width = 8, wide = 3}", "got an unexpected keyword argument 'wide'"),
        ("{here}:Broken", "{width = 8}", "RuntimeError: no such layer"),
        ("{here}:Wide", "{width = 8}", "`network` must return the shape of its input (2, 2), got (2, 4)"),
        ("{here}:Idle", "{}", "`network.kind` must name a network with weights to train"),
        ("solvers:solve", "{}", "`network.kind` must name a subclass of torch.nn.Module"),
    ],
)
def test_what_does_not_fit_is_told_before_training(
    kind: str, options: str, said: str, here: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(kind.format(here=here), "--allow-code", options=options) == 2
    assert said.replace("{here}", here) in " ".join(capsys.readouterr().err.split())
    assert not Path("run/checkpoints").exists()


def test_a_module_that_fails_is_told(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(f"{here}_bad.py").write_text("import no_such_library_at_all\n")
    assert train(f"{here}_bad:Net", "--allow-code") == 2
    assert "No module named 'no_such_library_at_all'" in capsys.readouterr().err
    Path(f"{here}_worse.py").write_text("1 / 0\n")
    assert train(f"{here}_worse:Net", "--allow-code") == 2
    assert "that can be imported" in capsys.readouterr().err


def test_nothing_installed_is_hidden_by_a_file_of_its_name(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("scoresde.py").write_text("raise SystemExit")
    assert train(f"{here}:Net", "--allow-code") == 0


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "form": ({"kind": "a:b:c"}, "`network.kind` must be package.module:Class"),
    "path": ({"kind": "../net.py:Net"}, "`network.kind` must be package.module:Class"),
    "no class": ({"kind": "net:"}, "`network.kind` must be package.module:Class"),
    "options without": ({"options": {"width": 3}}, "`network.options` must be left out for auto"),
    "options are a table": ({"kind": "a:B", "options": 3}, "`network.options` must be a table"),
    "option's name": ({"kind": "a:B", "options": {"a-b": 3}}, "`network.options` must be numbers, text"),
    "option's value": ({"kind": "a:B", "options": {"x": float("nan")}}, "`network.options` must be numbers, text"),
    "widths": ({"kind": "a:B", "widths": [8]}, "`network.widths` must be left out for a:B"),
    "checkpointing": ({"kind": "a:B", "checkpointing": True}, "`network.checkpointing` must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_configuration_that_cannot_be_is_named(name: str) -> None:
    table, said = BAD[name]
    with pytest.raises(ConfigError, match=said):
        toml.parse({"network": table})

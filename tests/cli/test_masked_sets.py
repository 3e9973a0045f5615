"""Sets of several sizes through the commands: trained with their masks, sampled in the sizes that were seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.in_process import called

CONFIG = """
[data]
path = "{path}"
kind = "sets"
[network]
widths = [16]
{network}
[training]
steps = {steps}
batch = 8
{training}
[record]
{record}
"""


def config(folder: Path, steps: int = 2, network: str = "", training: str = "", record: str = "") -> str:
    path = folder / "c.toml"
    path.write_text(
        CONFIG.format(path=folder / "sets.npz", steps=steps, network=network, training=training, record=record)
    )
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets of 2 or 5 points, and a run of them that was taken up once."""
    folder = tmp_path_factory.mktemp("masked")
    source = np.random.default_rng(0)
    mask = np.arange(5) < np.where(np.arange(60) % 3 == 0, 2, 5)[:, None]
    np.savez(folder / "sets.npz", x=source.standard_normal((60, 5, 2)).astype(np.float32), mask=mask)
    assert called("train", config(folder), "--out", str(folder / "run")) == 0
    assert called("train", config(folder, 4), "--out", str(folder / "run"), "--resume") == 0
    return folder


def drawn(folder: Path, out: Path, *more: str) -> tuple[np.ndarray, np.ndarray]:
    assert called("sample", str(folder / "run"), "--n", "24", "--steps", "3", "--out", str(out), *more) == 0
    with np.load(out) as found:
        return found["x"], found["mask"]


def test_samples_have_the_sizes_that_were_seen(folder: Path, tmp_path: Path) -> None:
    """The same whatever the batch; 0 beyond the mask, and other sizes for another seed."""
    x, mask = drawn(folder, tmp_path / "a.npz")
    assert x.shape == (24, 5, 2)
    assert set(mask.sum(1).tolist()) == {2, 5}
    assert not x[~mask].any()
    assert (np.abs(x).sum(2) > 0)[mask].all()

    again, same = drawn(folder, tmp_path / "b.npz", "--batch", "7")
    assert np.array_equal(same, mask)
    np.testing.assert_allclose(again, x, atol=1e-5)
    assert not np.array_equal(drawn(folder, tmp_path / "c.npz", "--seed", "1")[1], mask)


def test_a_run_knows_its_sizes(folder: Path) -> None:
    told = json.loads((folder / "run" / "run.json").read_text())["data"]
    assert {size: count for size, count in told["set_sizes"].items() if size in ("2", "5")} == told["set_sizes"]
    assert sum(told["set_sizes"].values()) == told["count"] == 48
    assert told["moments"] is None
    assert called("info", str(folder / "run")) == 0


def test_another_mask_is_another_data_set(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though the points are the same."""
    x = np.sign(np.random.default_rng(0).standard_normal((60, 5, 2))).astype(np.float32)
    for name, size in (("a", 4), ("b", 3)):
        np.savez(tmp_path / "sets.npz", x=x * (np.arange(5) < 3)[:, None], mask=np.tile(np.arange(5) < size, (60, 1)))
        more = () if name == "a" else ("--resume",)
        code = called("train", config(tmp_path), "--out", str(tmp_path / "run"), *more)
        assert code == (0 if name == "a" else 2)
    assert "data.fingerprint" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["likelihood", "doctor", "compare"])
def test_what_needs_one_space_refuses_them(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(command, str(folder / "run")) == 2
    said = capsys.readouterr().err
    assert "must be of samples of one size here" in said
    assert "2, 5 points" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": 'kind = "patches"'}, "`network.kind` must be transformer for sets with a mask"),
        ({"training": "label_dropout = 0.1"}, "`training.label_dropout` must be left out for sets with a mask"),
        ({"record": "sample = 1"}, "`record.sample` must be 0 for sets with a mask"),
    ],
)
def test_what_does_not_suit_them_is_named(
    change: dict[str, str], said: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("train", config(folder, **change), "--out", str(tmp_path / "run")) == 2
    assert said in capsys.readouterr().err


def test_damaged_counts_are_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    for file in ("run.json", "model.safetensors"):
        (tmp_path / "run" / file).write_bytes((folder / "run" / file).read_bytes())
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    about["data"]["set_sizes"] = {"two": 3}
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    assert called("info", str(tmp_path / "run")) == 2
    assert "`data.set_sizes`" in capsys.readouterr().err

"""What a run writes while it trains, and configurations with losses, levels and labels through the command line."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde import EDM, VPSDE, Moments, cli, exact, runs
from scoresde.data import SETS
from scoresde.data.samples import Dataset
from scoresde.denoisers.denoiser import KarrasPreconditioning
from scoresde.reports.images import save_losses
from scoresde.runs.config import (
    LEVELS,
    LOSSES,
    NORMS,
    PROCESSES,
    TABLES,
    Config,
    ConfigError,
    DataConfig,
    NetworkConfig,
)
from scoresde.runs.gallery import Gallery
from scoresde.runs.journal import CELLS, Record, by_level
from scoresde.runs.toml import parse, read
from scoresde.training import SIMPLE, Objective, Training
from scoresde.training.losses import DSM, KarrasWeighted
from scoresde.training.noise_levels import LogNormal
from scoresde.training.norms import Absolute, Huber
from scoresde.training.sliced import Sliced
from scoresde.training.validation import held_out_loss
from solvers import SeededNoise

F64 = torch.float64


@pytest.mark.parametrize("process", [VPSDE(), EDM()], ids=repr)
def test_loss_curves_are_means_over_cells_of_lam(process: Any) -> None:
    t = process.t_min + (process.t_max - process.t_min) * torch.linspace(0, 1, 500, dtype=F64) ** 3
    lam = process.lam(t)
    curve = by_level(t, lam.float(), process)
    middles = [float(k) for k in curve]
    assert len(curve) == CELLS
    assert sorted(middles) == middles
    width = (middles[-1] - middles[0]) / (CELLS - 1)
    assert all(abs(value - middle) <= width / 2 + 0.01 for middle, value in zip(middles, curve.values(), strict=True))
    assert list(by_level(t[:1], torch.ones(1), process).values()) == [1.0]


def test_the_held_out_loss_at_the_true_score_is_the_closed_form() -> None:
    """The same noise each time; 512 stratified levels of the closed form, to 5 standard errors."""
    mean, var, sde = torch.zeros(2, dtype=F64), torch.tensor([0.25, 1.0], dtype=F64), VPSDE()
    data = Dataset(exact.Gaussian(mean, var).sample(700, seed=4).float())
    true: Any = exact.Gaussian(mean, var, sde)
    true.register_parameter("nothing", torch.nn.Parameter(torch.zeros(())))  # a device is read off it
    found = held_out_loss(true, data, SIMPLE, Training(batch=100))
    assert math.isclose(found, held_out_loss(true, data, SIMPLE, Training(batch=512)), rel_tol=1e-6)
    u = SeededNoise(0).uniform(5, range((1 << 28) - 1, 1 << 28), (512, 1)).flatten()
    t = sde.t_min + (sde.t_max - sde.t_min) * (torch.arange(512) + u) / 512
    a2, s2 = (sde.alpha(t) ** 2).unsqueeze(1), (sde.sigma(t) ** 2).unsqueeze(1)
    each = a2 * var / (a2 * var + s2)  # of one element, times a chi-square of one degree
    assert abs(found - each.mean()) < 5 * (2 * each.square().sum()).sqrt() / each.numel()


def test_a_run_notes_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of log.jsonl, the same in TensorBoard where it is installed, pictures and their quality where asked for."""
    seen: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert (Path(folder).name, purge_step) == ("tensorboard", 1)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            seen.append((name, value, step))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    images = Dataset(SeededNoise(0).uniform(0, range(1), (60, 1, 6, 6), torch.float32)[0] * 2 - 1)
    config = Config(
        network=NetworkConfig(widths=(8, 8)),
        training=Training(steps=4, batch=20),
        record=Record(save=100, log=2, sample=4),
    )
    monkeypatch.setattr("scoresde.runs.gallery._DRAWN", 66)
    runs.train(config, images, tmp_path, "tests", held_out=images.take(torch.arange(30)))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 4]
    assert lines[0].keys() == {"step", "loss", "grad_norm", "rate", "samples_per_second", "skipped", "levels"}
    assert lines[2].keys() == {"step", "frechet"}
    assert ("frechet", lines[2]["frechet"], 4) in seen
    assert {f"levels/{k}" for k in lines[0]["levels"]} <= {name for name, _, step in seen if step == 2}
    with Image.open(tmp_path / "samples" / "step-00000004.png") as grid:
        assert grid.size == (8 * 31 + 1, 8 * 31 + 1)


def test_quality_of_points_is_the_sliced_distance(tmp_path: Path) -> None:
    """At the exact score it is that of two exact sets."""
    true: Any = exact.Gaussian(torch.zeros(2), 1.0, VPSDE())
    true.register_parameter("nothing", torch.nn.Parameter(torch.zeros(())))
    data = Dataset(exact.Gaussian(torch.zeros(2), 1.0).sample(4000, seed=2).float())
    found = Gallery(tmp_path, data, data, 0).draw(true, 10)
    assert found.keys() == {"sliced_w2"}
    assert 0 < found["sliced_w2"] < 0.3


def test_objectives_are_configured_and_come_back() -> None:
    config = parse(
        {
            "network": {"predicts": "karras", "sigma_data": 0.7, "kind": "dit", "checkpointing": True},
            "loss": {"name": "KarrasWeighted", "sigma_data": 0.7, "norm": {"name": "Huber", "delta": 0.3}},
            "levels": {"name": "LogNormal", "mean": -1.0, "std": 1.1},
        }
    )
    assert config.objective == Objective(KarrasWeighted(sigma_data=0.7, norm=Huber(0.3)), LogNormal(-1.0, 1.1))
    assert config.network.table == KarrasPreconditioning(0.7)
    assert parse(json.loads(json.dumps(config.as_dict()))) == config
    assert parse({"loss": {"norm": "Absolute"}}).objective == Objective(DSM(norm=Absolute()))
    for name in LOSSES:
        made = parse({"loss": {"name": name}})
        assert parse(made.as_dict()) == made
    for name in LEVELS:
        assert type(parse({"levels": {"name": name}}).objective.levels) is LEVELS[name]
    assert parse({"loss": {"name": "Sliced", "probes": 3}}).objective.loss == Sliced(3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[loss]\nname = 'MSE'", r"line 2.*`loss.name`.*DSM"),
        ("[loss]\ngama = 5", r"`loss.gama`"),
        ("[loss]\nname = 'MinSNR'\ngamma = -5", r"`loss.gamma`"),
        ("[loss]\nnorm = 'L1'", r"`loss.norm.name`.*Absolute"),
        ("[levels]\nname = 'LogNormal'\nstd = 0", r"`levels.std`"),
        ("[level]\nname = 'LogNormal'", r"`level`.*did you mean levels"),
        ("[network]\nkind = 'mlp'\ncheckpointing = true", r"`network.checkpointing`"),
        ("[network]\nkind = 'cnn'", r"`network.kind`.*unet"),
        ("[network]\nkind = 'patches'\npatch = 4", r"line 3.*`network.patch`"),
        ("[network]\nkind = 'unet'\npatch = [4, 4]", r"`network.patch` must be left out unless kind is patches"),
        ("[data]\nflip = 1", r"`data.flip`"),
        ("[data]\nsize = 2", r"`data.size`"),
    ],
)
def test_bad_objectives_name_key_and_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read(tmp_path / "c.toml")


@pytest.mark.parametrize(("kind", "shape"), [("mlp", (1, 4, 4)), ("unet", (3,)), ("dit", (3,))])
def test_networks_are_for_their_data(kind: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"`network.kind` must be"):
        Config(network=NetworkConfig(kind=kind)).denoiser(shape)


@pytest.mark.parametrize("patch", [(4, 4), (4, 4, 3), (4, 4, 4, 4)])
def test_a_patch_must_divide_its_samples(patch: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"`network.patch` must hold a divisor of each of the sides \[8, 16, 16\]"):
        Config(network=NetworkConfig(kind="patches", patch=patch)).denoiser((1, 8, 16, 16))


def test_a_patch_is_as_asked_or_of_some_256_tokens() -> None:
    def network(patch: tuple[int, ...]) -> Any:
        return NetworkConfig(kind="patches", patch=patch).build((1, 8, 16, 16), None)

    assert network((8, 2, 4)).patch == (8, 2, 4)
    assert network(()).patch == (2, 2, 2)


def test_a_conditional_run_through_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Train with hidden labels, draw with and without a label, from the last and the best checkpoint; a label too
    large is named."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["scoresde", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    training = "[training]\nsteps = 6\nbatch = 32\nlabel_dropout = 0.1\n[record]\nsave = 2\n"
    (tmp_path / "c.toml").write_text("[data]\npath = 'moons'\n[network]\nwidths = [16]\n" + training)
    assert call("train", tmp_path / "c.toml", "--out", tmp_path / "run") == 0
    drawn = []
    for k, more in enumerate(([], ["--label", 0], ["--label", 1], ["--best"])):
        assert call("sample", tmp_path / "run", "--steps", 4, "--n", 3, *more, "--out", tmp_path / f"{k}.npz") == 0
        drawn.append(np.load(tmp_path / f"{k}.npz")["x"])
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])
    capsys.readouterr()
    assert call("sample", tmp_path / "run", "--label", 2, "--out", tmp_path / "x.npz") == 2
    assert "`--label` must lie in [0, 2)" in capsys.readouterr().err
    (tmp_path / "c.toml").write_text((tmp_path / "c.toml").read_text().replace("label_dropout = 0.1\n", ""))
    assert call("train", tmp_path / "c.toml", "--out", tmp_path / "run") == 2
    assert "--resume" in capsys.readouterr().err
    assert call("train", tmp_path / "c.toml", "--out", tmp_path / "run", "--resume") == 2
    assert "training.label_dropout = 0.1, now None" in capsys.readouterr().err
    assert call("train", tmp_path / "c.toml", "--out", tmp_path / "run", "--overwrite") == 0
    assert call("sample", tmp_path / "run", "--label", 1, "--out", tmp_path / "x.npz") == 2
    assert "not class-conditional" in capsys.readouterr().err


def test_a_transformer_trains_and_comes_back(tmp_path: Path) -> None:
    images = Dataset(SeededNoise(0).uniform(0, range(1), (30, 1, 6, 5), torch.float32)[0] * 2 - 1)
    config = Config(
        network=NetworkConfig(kind="dit", widths=(16,), layers=1, checkpointing=True),
        training=Training(steps=3, batch=10),
    )
    trained = runs.train(config, images, tmp_path, "tests")
    again = runs.load(tmp_path)
    x = (images.x[:3], torch.tensor(0.6), torch.tensor(0.8))
    assert torch.equal(trained.denoiser(*x).eps, again.denoiser(*x).eps)
    assert dataclasses.replace(again.config, training=config.training) == config


def test_the_page_on_training_runs_and_names_every_key() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "training.md").read_text(encoding="utf-8")
    block = re.search(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert block
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block[1]],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    keys = [field.name for kind in (DataConfig, NetworkConfig, Training, Record) for field in dataclasses.fields(kind)]
    names = [*SETS, *PROCESSES, *TABLES, *LOSSES, *LEVELS, *NORMS, *keys]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_folders_and_files_are_named_by_text_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration, a run, its moments and a picture, without a Path."""
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text("[training]\nsteps = 2\nbatch = 8\n[network]\nwidths = [8]\n")
    points = Dataset(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), name="points")
    model = runs.train(read("c.toml"), points, "run", "test")
    assert runs.load("run").shape == model.shape

    moments = Moments.of(points.x)
    moments.save("m.safetensors")
    assert Moments.load("m.safetensors") == moments
    save_losses([1, 2], [0.5, 0.4], "loss.png")
    assert Path("loss.png").stat().st_size > 0

"""Imported weights: whose names they bear in the file, and what a run made of them does not know."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scoresde import runs
from scoresde.interop import importing, models
from scoresde.runs import toml
from scoresde.storage.files import CheckpointError
from tests.helpers.bad_files import Said, command

NETWORK = '[network]\nkind = "mlp"\nwidths = [16]\n'


@pytest.fixture
def described(tmp_path):
    """A TOML file that describes a network of points, and no data."""
    (tmp_path / "net.toml").write_text(NETWORK)
    return tmp_path / "net.toml"


def succeeds(*arguments: object) -> None:
    """`scoresde ARGUMENTS` ends with exit code 0."""
    with pytest.raises(RuntimeError, match="exit code 0"):
        command(*arguments)


def network() -> torch.nn.Module:
    """The network that file describes, with weights of its own."""
    made = toml.parse({"network": {"kind": "mlp", "widths": [16]}}).denoiser((2,)).network
    with torch.no_grad():
        for k, p in enumerate(made.parameters()):
            p.add_(0.01 * (k + 1))
    return made


def imported(tmp_path: Path, described: Path, text: str = "") -> Path:
    """The folder of an import; `text` goes into its configuration."""
    described.write_text(NETWORK + text)
    torch.save(network().state_dict(), tmp_path / "w.pth")
    succeeds("import", tmp_path / "w.pth", "--config", described, "--shape", "2", "--out", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def points(tmp_path):
    """A file of points in units of its own."""
    values = np.random.default_rng(0).normal(size=(120, 2)) * 3 + 1
    np.savez(tmp_path / "points.npz", x=values.astype(np.float32))
    return tmp_path / "points.npz"


# -- what an import knows
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["doctor", "likelihood"])
def test_an_import_asks_for_data(name, tmp_path, described):
    """A run that knows no data names the flag that gives it some."""
    run = imported(tmp_path, described)
    with pytest.raises(Said, match=r"--data.*does not say what it was trained on"):
        command(name, run)


def test_an_import_takes_data(tmp_path, described, points):
    """Points come to it in the file's own units."""
    run = imported(tmp_path, described)
    succeeds("likelihood", run, "--data", points, "--n", "4")
    held_out = models.load(run).held_out(str(points))
    assert held_out.x[:2].numpy() == pytest.approx(np.load(points)["x"][:2], rel=1e-5)


def test_an_import_is_told_from_a_run_that_knows_its_data(tmp_path, described):
    told = models.load(imported(tmp_path, described)).summary()
    assert told["data"].startswith("not said")


def test_an_import_of_another_shape_names_both(tmp_path, described):
    run = imported(tmp_path, described)
    with pytest.raises(Said, match=r"--data.*\(2,\).*\(1, 8, 8\)"):
        command("doctor", run, "--data", "digits")


def test_an_import_whose_configuration_names_data_knows_them(tmp_path, described, points):
    """It is examined on what it held out, and has the moments of the data."""
    run = imported(tmp_path, described, f'[data]\npath = "{points}"\n')
    model = models.load(run)
    assert len(model.held_out()) == 24
    assert model.denoiser.moments is not None


def test_compare_takes_an_import(tmp_path, described):
    """Deterministic methods are judged by their distance from the flow; no data set is made up."""
    run = imported(tmp_path, described)
    succeeds("compare", run, "--methods", "ddim,unipc", "--budgets", "4,6", "--out", tmp_path / "compared")
    rows = [json.loads(line) for line in (tmp_path / "compared" / "rows.jsonl").read_text().splitlines()]
    assert {row["method"] for row in rows} == {"ddim", "unipc"}
    with pytest.raises(Said, match="deterministic"):
        command("compare", run, "--methods", "ddpm", "--budgets", "4", "--out", tmp_path / "more")


@pytest.mark.parametrize("flag", ["--resume", "--overwrite"])
def test_training_never_overwrites_an_import(flag, tmp_path, described, points):
    run = imported(tmp_path, described)
    before = (run / "model.safetensors").read_bytes()
    described.write_text(NETWORK + f'[data]\npath = "{points}"\n[training]\nsteps = 2\nbatch = 8\n')
    with pytest.raises(Said, match=r"imported weights, w\.pth"):
        command("train", described, "--out", run, flag)
    assert (run / "model.safetensors").read_bytes() == before


# -- the names of other trainers
# -------------------------------------------------------------------------------------------


def chosen(tmp_path: Path, stored: object) -> dict[str, torch.Tensor]:
    """The weights of the run that is made of a file with `stored`."""
    torch.save(stored, tmp_path / "w.pth")
    made = toml.parse({"network": {"kind": "mlp", "widths": [16]}})
    importing.convert(tmp_path / "w.pth", tmp_path / "out", made, (2,))
    return runs.load(tmp_path / "out").denoiser.network.state_dict()


def prefixed(prefix: str, scale: float = 1.0) -> dict[str, torch.Tensor]:
    return {prefix + name: scale * value for name, value in network().state_dict().items()}


PREFIXES = [
    "_orig_mod.",
    "module.",
    "model.",
    "net.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "denoiser.unet.",
    "generator.",
    "model.diffusion_model.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_trainers_are_seen_through(prefix, tmp_path):
    found = chosen(tmp_path, {**prefixed(prefix), "betas": torch.linspace(0, 1, 10), "step": torch.tensor(3)})
    assert all(torch.equal(found[name], value) for name, value in network().state_dict().items())


@pytest.mark.parametrize("group", ["model_state_dict", "state_dict", "network", "weights", "my_net"])
def test_groups_of_trainers_are_seen_through(group, tmp_path):
    found = chosen(
        tmp_path, {group: prefixed("module."), "epoch": 3, "optimizer_state_dict": {"state": {0: torch.ones(2)}}}
    )
    assert all(torch.equal(found[name], value) for name, value in network().state_dict().items())


AVERAGES = {
    "ema_state_dict": lambda average: {"state_dict": prefixed(""), "ema_state_dict": average},
    "state_dict_ema": lambda average: {"state_dict": prefixed(""), "state_dict_ema": average},
    "ema": lambda average: {"model": prefixed("module."), "ema": average},
    "ema_model beside online_model": lambda average: {
        "model": prefixed("model."),
        "ema": {"online_model": prefixed("model."), "ema_model": average, "initted": torch.ones(1)},
    },
    "swa_model": lambda average: {
        "net": prefixed(""),
        "swa_model": {"n_averaged": torch.tensor(3), **{f"module.{k}": v for k, v in average.items()}},
    },
    "names without dots": lambda average: {
        "state_dict": {
            **prefixed("model.diffusion_model."),
            **{
                f"model_ema.{f'diffusion_model.{name}'.replace('.', '')}": average[name]
                for name, _ in network().named_parameters()
            },
            "model_ema.decay": torch.tensor(0.99),
        },
    },
}


@pytest.mark.parametrize("kind", AVERAGES)
def test_the_average_is_taken_where_there_is_one(kind, tmp_path):
    """Not the raw weights beside it; buffers that it leaves out come from these."""
    found = chosen(tmp_path, AVERAGES[kind](prefixed("", 2.0)))
    for name, value in network().named_parameters():
        assert torch.equal(found[name], 2 * value), name


def test_two_networks_that_fit_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="'student' and 'teacher'"):
        chosen(tmp_path, {"student": prefixed(""), "teacher": prefixed("", 2.0)})


def test_a_refusal_shows_names_found_and_wanted(tmp_path):
    stored = {f"blocks.{k}.weight": torch.ones(2) for k in range(5)}
    with pytest.raises(CheckpointError, match=r"first names found: blocks\.0\.weight, .*; first wanted: \w+"):
        chosen(tmp_path, stored)


def test_a_larger_network_is_refused(tmp_path):
    """All the names are there, and more in the same parts."""
    with pytest.raises(CheckpointError, match=r"body\.99\.weight has no place"):
        chosen(tmp_path, {**prefixed("net."), "net.body.99.weight": torch.ones(3)})


# -- tensors that are not plain numbers
# ------------------------------------------------------------------------------------

FOREIGN = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "compressed sparse": lambda: torch.eye(3).to_sparse_csr(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "meta": lambda: torch.ones(3, device="meta"),
    "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "larger than stored": lambda: torch.zeros(1).expand(10**12),
    "not finite and complex": lambda: torch.tensor([complex(0, float("nan"))]),
}


@pytest.mark.filterwarnings("ignore:.*(Sparse|sparse|quantize|deprecated)")
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_tensors_are_refused_by_name(kind, tmp_path):
    torch.save({"layer": {"weight": FOREIGN[kind]()}}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"layer\.weight|is a pickle"):
        importing.read(tmp_path / "w.pth")


def test_many_views_of_one_storage_are_refused(tmp_path):
    """Unpacked they would take two thousand times the file."""
    base = torch.zeros(10_000)
    torch.save({f"w{k}": base.view(100, 100) for k in range(2000)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="would unpack"):
        importing.read(tmp_path / "w.pth")


def test_tied_weights_are_read(tmp_path):
    """A tensor shared by two layers is no attack."""
    base = torch.arange(6.0)
    torch.save({"a": base, "b": base.view(2, 3)}, tmp_path / "w.pth")
    assert importing.read(tmp_path / "w.pth")["b"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_one_name_twice_is_refused(tmp_path):
    torch.save({"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"two tensors that are both named 'a\.b'"):
        importing.read(tmp_path / "w.pth")


def test_float8_in_safetensors_is_refused_by_name(tmp_path):
    from safetensors.torch import save_file

    save_file({"layer.weight": torch.ones(3).to(torch.float8_e5m2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"layer\.weight.*F8"):
        importing.read(tmp_path / "w.safetensors")


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
def test_weights_of_another_kind_of_number_are_refused(dtype, tmp_path):
    """Nothing is cast in silence between floating, complex and whole numbers."""
    stored = {name: value.to(dtype) for name, value in network().state_dict().items()}
    with pytest.raises(CheckpointError, match=str(dtype).removeprefix("torch.")):
        chosen(tmp_path, stored)


def test_half_precision_weights_are_taken(tmp_path):
    found = chosen(tmp_path, {name: value.half() for name, value in network().state_dict().items()})
    assert all(torch.equal(found[name], value.half().float()) for name, value in network().state_dict().items())

"""Weights from elsewhere: what is read, under which names, and what is refused with a reason."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file, save_file

from scoresde import VPSDE, runs, sample
from scoresde.interop import importing, pipelines
from scoresde.runs.toml import parse
from scoresde.samplers.catalogue import ddim
from scoresde.storage import weights
from scoresde.storage.files import CheckpointError
from tests.helpers.in_process import called
from tests.helpers.pickles import Loud
from tests.helpers.pipelines import written

CONFIG = parse({"network": {"widths": [16]}})


def state() -> dict[str, torch.Tensor]:
    """Weights of the network CONFIG describes for points in the plane."""
    network = CONFIG.denoiser((2,)).network
    return {
        k: v + 0.01 * torch.arange(v.numel(), dtype=v.dtype).reshape(v.shape) for k, v in network.state_dict().items()
    }


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("group", ["", "model", "state_dict", "ema"])
def test_a_torch_file_becomes_a_run(tmp_path, group, prefix):
    """State dicts plain, grouped, and from parallel training: the run has these weights and samples."""
    inner = {prefix + k: v for k, v in state().items()}
    stored = {group: inner, "step": 7, "optimizer": {"state": {0: torch.ones(3)}}} if group else inner
    torch.save(stored, tmp_path / "w.pth")
    said = importing.convert(tmp_path / "w.pth", tmp_path / "run", CONFIG, (2,), "scoresde import w.pth")
    assert "scoresde sample" in said
    trained = runs.load(tmp_path / "run")
    for name, value in trained.denoiser.network.state_dict().items():
        assert torch.equal(value, state()[name])
    assert trained.config.process == VPSDE()
    assert sample(trained.denoiser, (3, 2), ddim(4)).isfinite().all()


def test_the_average_is_preferred_and_named_as_score_sde_keeps_it(tmp_path):
    """score_sde files hold model, a step, and the average as a list in the order of the parameters, buffers left
    out."""
    parameters = dict(CONFIG.denoiser((2,)).network.named_parameters())
    stored = {
        "model": {f"module.{k}": torch.zeros_like(v) + (0 if k in parameters else v) for k, v in state().items()},
        "step": 9,
    }
    stored["ema"] = {"decay": 0.999, "num_updates": 9, "shadow_params": [state()[k] for k in parameters]}
    torch.save(stored, tmp_path / "checkpoint_9.pth")
    chosen = weights.select(
        importing.read(tmp_path / "checkpoint_9.pth"), CONFIG.denoiser((2,)).network, tmp_path / "checkpoint_9.pth"
    )
    assert chosen.keys() == state().keys()
    for name, value in chosen.items():
        assert torch.equal(value, state()[name]), name


def test_a_file_without_configuration_becomes_safetensors(tmp_path):
    """Every tensor by its dotted name, optimiser state left out; safetensors are taken as they are."""
    torch.save(
        {
            "net": {"a": torch.ones(2).expand(3, 2), "b": [torch.zeros(1), torch.ones(1)]},
            "optimizer": {"m": torch.ones(9)},
        },
        tmp_path / "w.pt",
    )
    importing.convert(tmp_path / "w.pt", tmp_path / "out")
    stored = load_file(tmp_path / "out" / "weights.safetensors")
    assert {k: tuple(v.shape) for k, v in stored.items()} == {"net.a": (3, 2), "net.b.0": (1,), "net.b.1": (1,)}
    assert importing.read(tmp_path / "out" / "weights.safetensors").keys() == stored.keys()


def test_a_pipeline_folder_is_imported(tmp_path):
    """A diffusers folder becomes one with the same weights and chain."""
    body = written(tmp_path / "theirs", DDPMScheduler(50))
    said = importing.convert(tmp_path / "theirs", tmp_path / "ours")
    assert f"scoresde sample {tmp_path / 'ours'}" in said
    made = pipelines.load(tmp_path / "ours")
    x, t = torch.ones(2, 1, 8, 8), torch.tensor([3.0, 4.0])
    assert torch.equal(made.network(x, t), body(x, t).sample)
    assert made.process.steps == 50


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".pth", ".ckpt", ".bin", ".pickle"])
def test_a_file_with_code_is_refused_with_the_way_out(tmp_path, suffix):
    """EDM's pickles, and torch files that need a class: nothing runs, the message says what to do."""
    file, touched = tmp_path / f"network{suffix}", tmp_path / "touched"
    if suffix in (".pkl", ".pickle", ".bin"):
        file.write_bytes(pickle.dumps({"ema": Loud(touched)}))
    else:
        torch.save({"ema": Loud(touched)}, file)
    with pytest.raises(CheckpointError, match=r"runs the code inside.*safetensors\.torch\.save_file"):
        importing.read(file)
    assert not touched.exists()


def test_what_else_is_wrong_is_said(tmp_path):
    """Missing, empty, not finite, of another network, of odd names, of another kind."""

    def refused(name, match, **more):
        with pytest.raises(CheckpointError, match=match):
            importing.convert(tmp_path / name, tmp_path / "out", **more)

    refused("none.pt", "does not exist")
    refused(".", "model_index|config.json")
    (tmp_path / "w.onnx").write_bytes(b"x")
    refused("w.onnx", "must be .safetensors")
    (tmp_path / "bad.pt").write_bytes(b"not a file of torch")
    refused("bad.pt", "bad.pt")
    torch.save({"step": 3}, tmp_path / "empty.pt")
    refused("empty.pt", "no tensors")
    torch.save({"a": torch.tensor([1.0, float("nan")])}, tmp_path / "nan.pt")
    refused("nan.pt", "NaN or Inf in a")
    save_file({"a": torch.ones(3)}, tmp_path / "other.safetensors")
    refused("other.safetensors", "another architecture", config=CONFIG, shape=(2,))
    deep = torch.ones(1)
    for _ in range(30):
        deep = {"k": deep}
    torch.save(deep, tmp_path / "deep.pt")
    refused("deep.pt", "nested deeper")


def test_the_command(tmp_path, capsys):
    """scoresde import: a run in one line; usage errors and refusals in one line with exit code 2."""
    torch.save(state(), tmp_path / "w.pt")
    (tmp_path / "c.toml").write_text("[network]\nwidths = [16]\n")
    flags = ("--config", str(tmp_path / "c.toml"), "--shape", "2")
    assert called("import", str(tmp_path / "w.pt"), "--out", str(tmp_path / "run"), *flags) == 0
    assert called("info", str(tmp_path / "run")) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["command"].startswith("scoresde import")
    capsys.readouterr()
    for wrong in (("--shape", "2"), ("--config", str(tmp_path / "c.toml")), (*flags[:3], "2,x"), (*flags[:3], "0")):
        assert called("import", str(tmp_path / "w.pt"), "--out", str(tmp_path / "no"), *wrong) == 2
        assert "`--shape`" in capsys.readouterr().err
    (tmp_path / "e.pkl").write_bytes(pickle.dumps(1))
    assert called("import", str(tmp_path / "e.pkl"), "--out", str(tmp_path / "no")) == 2
    assert capsys.readouterr().err.count("\n") == 1

"""Commands on a saved pipeline of diffusers: what they do, and where they cannot, why."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scoresde import V, catalogue, sample
from scoresde.compare import runner, trained
from scoresde.data import load
from scoresde.evaluation.likelihood import bits_per_dim, log_likelihood
from scoresde.interop import models, pipelines
from tests.helpers.in_process import called
from tests.helpers.pipelines import written


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline folder, as it comes out of `scoresde import`."""
    home = tmp_path_factory.mktemp("pipelines")
    written(home / "theirs")
    assert called("import", str(home / "theirs"), "--out", str(home / "ours")) == 0
    return home / "ours"


@pytest.mark.parametrize(
    ("name", "make"), [("ddim", catalogue.ddim), ("ddpm", catalogue.ddpm), ("unipc", catalogue.unipc)]
)
def test_samples_are_those_of_the_loaded_pipeline(name, make, pipeline, tmp_path):
    """Bit for bit, in its own scale."""
    assert (
        called(
            "sample",
            str(pipeline),
            "--method",
            name,
            "--steps",
            "4",
            "--n",
            "3",
            "--seed",
            "5",
            "--out",
            str(tmp_path / "x.npz"),
        )
        == 0
    )
    ours = sample(pipelines.load(pipeline), (3, 1, 8, 8), make(4), 5)
    assert np.array_equal(np.load(tmp_path / "x.npz")["x"], ours.numpy())


def test_euler_maruyama_runs_along_its_chain(pipeline, tmp_path):
    assert (
        called(
            "sample",
            str(pipeline),
            "--method",
            "euler_maruyama",
            "--steps",
            "5",
            "--n",
            "2",
            "--out",
            str(tmp_path / "x.npz"),
        )
        == 0
    )
    model = pipelines.load(pipeline)
    ours = sample(model, (2, 1, 8, 8), catalogue.euler_maruyama(5, model.process))
    assert np.array_equal(np.load(tmp_path / "x.npz")["x"], ours.numpy())


def test_labels_are_handed_on(tmp_path, capsys):
    """A class-conditional pipeline is sampled with a label of its own, and says so without one."""
    written(tmp_path / "p", num_class_embeds=3)
    assert (
        called(
            "sample", str(tmp_path / "p"), "--steps", "3", "--n", "2", "--label", "2", "--out", str(tmp_path / "x.npz")
        )
        == 0
    )
    ours = sample(pipelines.load(tmp_path / "p"), (2, 1, 8, 8), catalogue.ddim(3), cond=torch.full((2,), 2))
    assert np.array_equal(np.load(tmp_path / "x.npz")["x"], ours.numpy())
    for flags, said in ((["--label", "3"], "[0, 3)"), ([], "class_labels"), (["--label", "-1"], "`--label`")):
        capsys.readouterr()
        assert called("sample", str(tmp_path / "p"), "--steps", "3", "--n", "2", *flags) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
    assert called("compare", str(tmp_path / "p"), "--out", str(tmp_path / "c")) == 2
    assert "class label" in capsys.readouterr().err


def test_info_says_what_is_known(pipeline, capsys):
    assert called("info", str(pipeline)) == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in ("ddpm.trained(1000)", "(1, 8, 8)", "Eps()", "SHA-256", "not said"):
        assert part in said


def test_likelihood_of_given_data(pipeline, capsys):
    """The number log_likelihood gives, in bits of the data's own scale, where 16 grey levels are eight to the unit."""
    assert called("likelihood", str(pipeline), "--data", "digits", "--n", "2", "--probes", "1", "--rtol", "0.1") == 0
    said = capsys.readouterr().out
    x = models.load(pipeline).held_out("digits").in_memory(2)
    assert x.unit == pytest.approx(8.0)
    mean = log_likelihood(pipelines.load(pipeline), x.x, probes=1, rtol=0.1, atol=0.1).log_prob.mean()
    assert f"{mean:.2f} in the model's scale" in said
    assert f"{mean.item() - 64 * math.log(x.unit):.2f} +-" in said
    assert f"{bits_per_dim(mean, 64, 8.0):.3f} bits/dim" in said


def test_the_unit_of_a_table_is_its_geometric_mean(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{sign * 2},{sign * 8}\n" for sign in (-1, 1)))
    assert load(tmp_path / "t.csv").unit == pytest.approx(4.0)


def test_the_doctor_examines_it_on_given_data(pipeline, capsys):
    """Random weights are worse than a Gaussian on any data."""
    assert called("doctor", str(pipeline), "--data", "digits") == 3
    assert "worse than a Gaussian" in capsys.readouterr().out


def test_compare_judges_deterministic_methods(pipeline, tmp_path, monkeypatch):
    """Against the converged flow of the pipeline's own model, which is another one where a scheduler reads the same
    weights differently."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real = trained.of_folder
    monkeypatch.setattr(trained, "of_folder", lambda folder, device: replace(real(folder, device, 2), steps=20))
    runner.problem.cache_clear()
    runner.reference.cache_clear()
    assert called("compare", str(pipeline), "--methods", "ddim", "--budgets", "5", "--out", str(tmp_path / "c")) == 0
    (row,) = runner.Store(tmp_path / "c").rows
    assert (row["metric"], row["calls"], row["n"]) == ("rms", 5, 2)
    assert row["error"] > 10 * row["floor"] > 0
    case = runner.problem(str(pipeline))
    again = runner.entry("ddim").bind(5.0)(case, case.start(0), 0)
    assert row["error"] == pytest.approx(float((again - case.reference(0)[0]).square().mean().sqrt()), rel=1e-6)
    other = tmp_path / "v"
    model = pipelines.load(pipeline)
    pipelines.save(type(model)(model.network, model.process, V(), time=model.time), other, 8)
    assert (runner.reference(str(other), 0)[0] - runner.reference(str(pipeline), 0)[0]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["doctor", "P"], "`--data` must name data"),
        (["likelihood", "P"], "`--data` must name data"),
        (["likelihood", "P", "--data", "photos"], "shape (1, 8, 8)"),
        (["doctor", "P", "--data", "absent"], "absent"),
        (["sample", "P", "--label", "1"], "`--label`"),
        (["sample", "P", "--best"], "no checkpoint"),
        (["compare", "P", "--methods", "ddim,ddpm", "--out", "OUT"], "deterministic"),
        (["train", "P", "--out", "OUT"], "no such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, said, pipeline, tmp_path, capsys):
    named = {"P": str(pipeline), "OUT": str(tmp_path / "out")}
    assert called(*(named.get(a, a) for a in arguments)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_a_run_is_a_run_though_pipeline_files_lie_beside_it(pipeline, tmp_path):
    """run.json decides."""
    import shutil

    shutil.copytree(pipeline, tmp_path / "both")
    (tmp_path / "both" / "run.json").write_text("{")
    assert not pipelines.is_pipeline(tmp_path / "both")
    assert called("info", str(tmp_path / "both")) == 2

"""The doctor: planted faults are found by name, alone and with evidence; the healthy get no finding."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import scoresde
from benchmarks.doctor import Changed, Dropout, Model, Oracle, faults, oracles, sources, trained
from scoresde import EDM, VPSDE, X0, Denoiser, Finding, RectifiedFlow, Score, V, doctor, exact
from scoresde.evaluation.interpretations import Velocity
from tests.helpers.in_process import called

THREE = sources()[0]
DATA = THREE.truth.sample(64, seed=3).float()
VP = VPSDE()


def model(process=VP, table=None, data=DATA, cond=None) -> Model:
    table = Score() if table is None else table
    return Model("exact", Oracle(THREE.truth, process, table), process, table, data, cond)


def names(findings) -> list[str]:
    return [finding.what for finding in findings]


@pytest.mark.parametrize(
    ("process", "table"), [(VP, Score()), (EDM(), V()), (RectifiedFlow(), X0())], ids=lambda p: type(p).__name__
)
def test_planted_faults_are_found_and_the_healthy_left_alone(process, table):
    """Closed-form networks: every fault that can be planted in one is the only thing found, with figures and a
    remedy."""
    healthy = model(process, table)
    assert doctor(healthy.denoiser(), process, DATA) == ()
    for fault, name, examine in faults(healthy, 0):
        findings = examine()
        assert names(findings) == [name], fault
        assert any(character.isdigit() for character in findings[0].evidence), fault
        assert findings[0].remedy


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_all_models_of_the_benchmark(seed):
    """No false alarm; at least 95 % of the planted faults found."""
    hits = []
    for each in oracles(seed):
        assert doctor(each.denoiser(), each.process, each.data, each.cond, seed=seed) == ()
        hits += [name in names(examine()) for _, name, examine in faults(each, seed)]
    assert sum(hits) >= 0.95 * len(hits)


def test_a_trained_network_and_its_faults():
    """A small MLP, trained here: healthy as it is; each fault found."""
    (healthy,) = (m for m in trained(400, 0, [VP], [V()]))
    assert doctor(healthy.denoiser(), VP, healthy.data, raw=healthy.denoiser()) == ()
    for fault, name, examine in faults(healthy, 0):
        assert name in names(examine()), fault


def test_a_dead_condition():
    """Two classes: used, nothing; unused, found."""
    cond = torch.arange(64) % 2
    each = model(cond=cond, data=(THREE.truth.sample(64, seed=3) + (0.4 * cond - 0.2).unsqueeze(1)).float())
    assert doctor(each.denoiser(), VP, each.data, cond) == ()
    assert names(doctor(each.denoiser(Changed(each.network, deaf=True)), VP, each.data, cond)) == ["condition ignored"]


def test_plain_scores_and_exact_denoisers():
    """A score(x, t) is enough; denoisers that are no networks are read by their eps."""
    score = THREE.truth.score(VP)
    assert doctor(score, VP, DATA.double()) == ()
    assert doctor(THREE.truth, VP, DATA.double()) == ()
    assert names(doctor(lambda x, t: -score(x, t), VP, DATA.double())) == ["wrong sign"]
    assert names(doctor(lambda x, t: VP.sigma(t) * score(x, t), VP, DATA.double())) == ["missing 1/sigma"]


def test_two_faults_at_once():
    """Sign and clock together: both are named."""
    each = model(table=V())
    both = each.denoiser(Changed(each.network, after=lambda f, c: -f), scale=1.0)
    assert names(doctor(both, VP, DATA)) == ["wrong sign", "wrong time scale"]


def test_a_velocity_field_is_recognised():
    """F = eps - x0 handed over as v along the variance-preserving process."""
    flow = Denoiser(lambda x, c: THREE.truth(x, VP.alpha(c.double()), VP.sigma(c.double())).velocity, VP, V())
    (finding,) = doctor(flow, VP, DATA)
    assert finding.what == "Velocity read as V"
    assert "alpha" in finding.remedy
    assert doctor(Denoiser(flow.network, VP, Velocity()), VP, DATA) == ()


def test_a_network_deaf_to_the_noise_level():
    """The same answer at every level, much worse than it need be."""
    deaf = Denoiser(lambda x, c: THREE.truth(x, VP.alpha(0.05), VP.sigma(0.05)).eps, VP)
    assert set(names(doctor(deaf, VP, DATA))) >= {"noise level ignored"}


def test_batch_mates():
    """Batch normalisation in train mode."""
    each = model()
    mixing = Changed(each.network, after=lambda f, c: f * 2 / (1 + f.std(0)))
    assert "samples depend on their batch" in names(doctor(each.denoiser(mixing), VP, DATA))


def test_data_too_large_for_the_process():
    """Centimetres where metres were meant: the prior does not cover the data."""
    wide = exact.GaussianMixture(100 * torch.tensor([[-0.6, 0.0], [0.6, 0.0]]), 200.0)
    (finding,) = doctor(wide, VP, wide.sample(64, seed=1))
    assert finding.what == "data too large for the process"


def test_modes_are_left_alone():
    """Train mode stays train mode, eval stays eval."""
    each = model().denoiser(Changed(model().network, after=Dropout())).train()
    each.network.network.eval()
    assert names(doctor(each, VP, DATA)) == names(doctor(each, VP, DATA)) == ["output not repeatable"]
    assert each.training
    assert not each.network.network.training


def test_findings_are_values():
    finding = Finding("a", "b", "c")
    assert finding == Finding("a", "b", "c")
    assert str(finding) == "a: b; c"
    assert scoresde.doctor is doctor


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: doctor(THREE.truth, "vp", DATA), TypeError, "process"),
        (lambda: doctor(3, VP, DATA), TypeError, "score"),
        (lambda: doctor(THREE.truth, VP, DATA.tolist()), TypeError, "batch"),
        (lambda: doctor(THREE.truth, VP, DATA[:3]), ValueError, "batch"),
        (lambda: doctor(THREE.truth, VP, DATA[:1].expand(64, 2)), ValueError, "batch"),
        (lambda: doctor(THREE.truth, VP, DATA / 0), ValueError, "batch"),
        (lambda: doctor(THREE.truth, VP, DATA, torch.zeros(3)), ValueError, "cond"),
        (lambda: doctor(THREE.truth, VP, DATA, seed=-1), ValueError, "seed"),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=f"`{name}`"):
        call()


def test_the_command_examines_a_run(tmp_path, capsys):
    """A run with good weights passes with 0; the same weights under another table exit with 3 and say so; the stale
    average is seen."""
    data = tmp_path / "points.npz"
    np.savez(data, x=THREE.truth.sample(2000, seed=7).numpy())
    config = tmp_path / "c.toml"
    config.write_text(f'[data]\npath = "{data}"\n[training]\nsteps = 500\nbatch = 256\nlr = 4e-3\n')
    run = tmp_path / "run"
    assert called("train", str(config), "--out", str(run)) == 0
    assert called("doctor", str(run)) == 0
    assert "nothing found" in capsys.readouterr().out
    about = json.loads((run / "run.json").read_text())
    about["config"]["network"]["predicts"] = "score"
    (run / "run.json").write_text(json.dumps(about))
    assert called("doctor", str(run)) == 3
    assert "V read as Score" in capsys.readouterr().out


def test_samples_beyond_the_data_are_found():
    """A model that keeps a twentieth of its mass thirty standard deviations out, on a batch without it: that is found,
    and nothing else; without it nothing."""
    means = torch.zeros(2, 4, dtype=torch.float64)
    means[1, 0] = 30
    batch = torch.randn(64, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    far = exact.GaussianMixture(means, 1.0, torch.tensor([0.95, 0.05], dtype=torch.float64), process=VP)
    (finding,) = doctor(far, VP, batch)
    assert finding.what == "samples beyond the data"
    assert "of 256 samples" in finding.evidence
    assert doctor(exact.GaussianMixture(means[:1], 1.0, process=VP), VP, batch) == ()

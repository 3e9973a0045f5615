"""The learning rate over a run and its lengthening, and files of one run beside those of another."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from scoresde import runs
from scoresde.data.samples import Dataset
from scoresde.runs.toml import parse
from scoresde.storage.checkpoints import seal, unseal
from scoresde.storage.files import CheckpointError
from scoresde.training.state import Training

POINTS = Dataset(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))


def made(**training):
    """A configuration of a small run on points."""
    asked = {"steps": 20, "batch": 8, "warmup": 4, **training}
    return parse({"network": {"kind": "mlp", "widths": [8]}, "training": asked, "record": {"save": 5}})


def rates(config, folder, resume=False):
    """The learning rate of each step that a run makes."""
    seen: list[float] = []
    runs.train(
        config,
        POINTS,
        folder,
        "test",
        report=lambda progress: seen.append(progress.rate / config.training.lr),
        held_out=POINTS,
        resume=resume,
    )
    return seen


def test_a_constant_schedule_stays_at_its_rate(tmp_path):
    """After the warm-up; also in a run that is lengthened."""
    config = made(schedule="constant")
    assert rates(config, tmp_path) == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 17])
    longer = replace(config, training=replace(config.training, steps=30))
    assert rates(longer, tmp_path, resume=True) == pytest.approx([1.0] * 10)


def test_a_schedule_is_a_known_one():
    with pytest.raises(ValueError, match="`schedule` must be one of"):
        Training(schedule="linear")


@pytest.mark.parametrize("steps", [30, 200])
def test_a_lengthened_run_does_not_jump(steps, tmp_path):
    """The rate goes on from the value it had: no step changes it by more than the steepest of either cosine."""
    config = made()
    first = rates(config, tmp_path)
    longer = replace(config, training=replace(config.training, steps=steps))
    then = rates(longer, tmp_path, resume=True)
    assert len(then) == steps - 20
    assert abs(then[0] - first[-1]) < 0.5 * 3.2 / 20
    assert all(b <= a + 1e-12 for a, b in pairwise(first[4:] + then))


def test_a_run_is_not_shortened(tmp_path):
    """Fewer steps than were made are refused; the run stays as it was."""
    config = made()
    rates(config, tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    shorter = replace(config, training=replace(config.training, steps=10))
    with pytest.raises(CheckpointError, match=r"for 20 steps, more than training.steps = 10; give training.steps"):
        rates(shorter, tmp_path, resume=True)
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_lengthened_run_resumes_to_the_same_bits(tmp_path):
    """Broken off after it was lengthened, it ends as it would have without the break."""
    config = made()
    longer = replace(config, training=replace(config.training, steps=40))
    for name in ("whole", "broken"):
        rates(config, tmp_path / name)
        rates(longer, tmp_path / name, resume=True)
    (tmp_path / "broken" / "checkpoints" / "step-00000040.safetensors").unlink()
    assert (tmp_path / "broken" / "checkpoints" / "step-00000035.safetensors").exists()
    rates(longer, tmp_path / "broken", resume=True)
    whole, broken = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken"))
    assert whole == broken


# -- files of another run
# --------------------------------------------------------------------------------------------------


def test_averages_of_another_run_are_refused(tmp_path):
    """The same network trained from another seed: its averages do not pass for those of this one."""
    for name, seed in (("mine", 0), ("other", 1)):
        rates(made(seed=seed, posthoc=5), tmp_path / name)
    mine = runs.load(tmp_path / "mine", width=0.07)
    assert mine.denoiser is not None
    shutil.rmtree(tmp_path / "mine" / "averages")
    shutil.copytree(tmp_path / "other" / "averages", tmp_path / "mine" / "averages")
    with pytest.raises(CheckpointError, match=r"averages.*is of another run"):
        runs.load(tmp_path / "mine", width=0.07)


def test_the_best_checkpoint_of_another_run_is_refused(tmp_path):
    for name, seed in (("mine", 0), ("other", 1)):
        rates(made(seed=seed), tmp_path / name)
    shutil.rmtree(tmp_path / "mine" / "checkpoints")
    shutil.copytree(tmp_path / "other" / "checkpoints", tmp_path / "mine" / "checkpoints")
    with pytest.raises(CheckpointError, match=r"is of another run than .*run\.json"):
        runs.load(tmp_path / "mine", best=True)


def test_a_checkpoint_of_integers_is_refused(tmp_path):
    """Sealed and of the right names and shapes: whole numbers do not become weights in silence."""
    config = made()
    rates(config, tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        found = unseal(path)
        whole = {
            name: value.to(torch.int64) if name.startswith(("network", "ema")) else value
            for name, value in found.tensors.items()
        }
        about = {key: value for key, value in found.about.items() if key not in ("sha256", "format")}
        path.write_bytes(seal(whole, about))
    with pytest.raises(CheckpointError, match="of int64, not float32"):
        rates(config, tmp_path, resume=True)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_folder_may_be_given_as_text(kind, tmp_path):
    rates(made(), tmp_path / "run")
    assert runs.load(kind(tmp_path / "run")).shape == (2,)

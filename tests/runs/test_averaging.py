"""Averages made after the training: what the stored ones span, how well, and that a run's are the same bits after any
break."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scoresde import catalogue, runs, sample
from scoresde.runs import posthoc_ema
from scoresde.runs.posthoc_ema import combination, posthoc
from scoresde.runtime.signals import Stopped
from scoresde.storage.files import CheckpointError
from scoresde.training import fit
from scoresde.training.state import WIDTHS, Training, begin, power_average
from tests.helpers.in_process import called
from tests.helpers.kill_harness import CONFIG, points

STORING = replace(CONFIG, training=replace(CONFIG.training, posthoc=7))


@pytest.mark.parametrize("stored", [1, 5, 40])
@pytest.mark.parametrize("k", range(len(WIDTHS)))
def test_a_stored_profile_is_itself(stored: int, k: int) -> None:
    """At a stored width the weights are one for the last average stored of it and zero for the others, however many
    there are."""
    counts = [round(1000 * (i + 1) / stored) for i in range(stored)]
    profiles = [(n, width) for n in counts for width in WIDTHS]
    weights, missed = combination(profiles, 1000, WIDTHS[k])
    expected = torch.zeros(len(profiles), dtype=torch.float64)
    expected[len(profiles) - len(WIDTHS) + k] = 1.0
    assert (weights - expected).abs().max() < 1e-9
    assert missed < 1e-6


def test_the_share_missed_is_that_of_the_profiles() -> None:
    """Against the discrete profiles themselves, step by step; and it falls like 1/count^2."""
    steps, found = 4000, []
    k = torch.arange(1, steps + 1, dtype=torch.float64)

    def profile(n: int, width: float) -> torch.Tensor:
        g = posthoc_ema.power(width) + 1
        return torch.where(k <= n, (k / n) ** g - ((k - 1) / n) ** g, 0.0)

    for stored in (8, 16, 32, 64):
        profiles = [(steps * (i + 1) // stored, width) for i in range(stored) for width in WIDTHS]
        weights, missed = combination(profiles, steps, 0.07)
        wanted = profile(steps, 0.07)
        left = weights @ torch.stack([profile(*each) for each in profiles]) - wanted
        assert float(left.norm() / wanted.norm()) == pytest.approx(missed, rel=0.02)
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)
        found.append(missed)
    assert all(3 < a / b < 5 for a, b in pairwise(found))


def test_an_average_made_afterwards_is_the_one_tracked(tmp_path: Path) -> None:
    """A small run of 240 steps with widths tracked beside it: relative to how far the average lies from the last
    weights, what was made from 12, 24 and 48 times two stored averages is off by 1 %, 0.1 % and 0.01 % at most between
    the stored widths; at stored widths by nothing."""
    widths, training = (0.05, 0.07, 0.085, 0.10), Training(steps=240, batch=32, posthoc=5)
    model = CONFIG.denoiser((2,))
    state = begin(model.network, training)
    tracked = {width: power_average(model.network, width) for width in widths}
    for progress in fit(model, points(), training, state):
        for each in tracked.values():
            each.update()
        for every in (5, 10, 20):
            if progress.step % every == 0:
                posthoc_ema.store_average(tmp_path / str(every), progress.step, state.tracks)
    posthoc_ema.store_average(tmp_path / "5", 241, state.tracks)  # as after a step that was skipped
    last = torch.cat([p.detach().flatten() for p in model.network.parameters()])
    errors: dict[float, list[float]] = {}
    for width in widths:
        wanted = torch.cat([p.detach().flatten() for p in tracked[width].module.parameters()])
        for every in (20, 10, 5):
            made = posthoc(tmp_path / str(every), width)
            assert set(made) == {name for name, _ in model.network.named_parameters()}
            error = (
                torch.cat([made[name].flatten() for name, _ in model.network.named_parameters()]) - wanted
            ).norm() / (last - wanted).norm()
            errors.setdefault(width, []).append(float(error))
    for width in WIDTHS:
        assert max(errors[width]) < 1e-7
    for width in (0.07, 0.085):
        assert all(error < limit for error, limit in zip(errors[width], (1e-2, 1e-3, 1e-4), strict=True))
        assert errors[width][0] > errors[width][1] > errors[width][2] > 1e-7


def train(folder: Path, **options: Any) -> runs.Trained:
    return runs.train(STORING, points(), folder, "tests", **options)


def stored(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / posthoc_ema.FOLDER).iterdir())}


def test_a_run_that_was_stopped_stores_the_same_bits(tmp_path: Path) -> None:
    """Every posthoc-th step and the last; what was stored beyond the checkpoint, or left half-written, goes; a new run
    begins without."""
    train(tmp_path / "whole")
    steps = [7, 14, 21, 28, 35, 40]
    assert list(stored(tmp_path / "whole")) == [f"step-{step:08d}.safetensors" for step in steps]

    def stop(progress: Any) -> None:
        if progress.step == 16:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        train(tmp_path / "run", report=stop)
    kept = tmp_path / "run" / posthoc_ema.FOLDER
    (kept / "step-00000021.safetensors").write_bytes(b"of another future")
    (kept / ".scoresde-tmp-1").write_bytes(b"half")
    train(tmp_path / "run", resume=True)
    assert stored(tmp_path / "run") == stored(tmp_path / "whole")
    (kept / "step-00000099.safetensors").write_bytes(b"of an earlier run")
    train(tmp_path / "run")
    assert stored(tmp_path / "run") == stored(tmp_path / "whole")


def test_the_command_line_samples_any_width(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--ema-width is runs.load(width=...); what cannot be made is said in one line with exit code 2."""
    run = tmp_path / "run"
    for name, key in (("run", "posthoc = 2"), ("plain", "")):
        (tmp_path / "c.toml").write_text(
            f"[data]\npath = 'moons'\n[network]\nwidths = [16]\n[training]\nsteps = 24\nbatch = 32\n{key}\n"
        )
        assert called("train", str(tmp_path / "c.toml"), "--out", str(tmp_path / name)) == 0
    out = tmp_path / "x.npz"
    assert called("sample", str(run), "--steps", "4", "--n", "3", "--ema-width", "0.07", "--out", str(out)) == 0
    made = runs.load(run, width=0.07)
    x = made.original(sample(made.denoiser, (3, 2), catalogue.ddim(4)))
    assert np.array_equal(np.load(out)["x"], x.numpy())
    plain = runs.load(run)
    assert not any(
        torch.equal(a, b) for a, b in zip(plain.denoiser.parameters(), made.denoiser.parameters(), strict=True)
    )
    assert all(torch.equal(a, b) for a, b in zip(plain.denoiser.buffers(), made.denoiser.buffers(), strict=True))
    capsys.readouterr()
    wrong = [
        (run, ("--ema-width", "0.3"), "`width`"),
        (run, ("--ema-width", "0.01"), "miss"),
        (run, ("--ema-width", "0.07", "--best"), "`--ema-width`"),
        (tmp_path / "plain", ("--ema-width", "0.07"), "training.posthoc"),
    ]
    for folder, flags, said in wrong:
        assert called("sample", str(folder), *flags, "--out", str(tmp_path / "no.npz")) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error


def test_a_damaged_average_is_named(tmp_path: Path) -> None:
    """By its SHA-256, as checkpoints are."""
    train(tmp_path)
    path = tmp_path / posthoc_ema.FOLDER / "step-00000014.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-00000014\.safetensors does not match its SHA-256"):
        posthoc(tmp_path, 0.07)

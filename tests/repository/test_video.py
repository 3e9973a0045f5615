"""docs/video.md: its configuration, its batches of several sizes, and the judge that it rests on."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import video_page, video_run, video_tasks
from benchmarks.video_judge import Judge, middles, off_track, rms
from scoresde import runs
from scoresde.data import moving_digits
from scoresde.networks import PatchTransformer
from scoresde.networks.labels import NO_LABEL
from tests.helpers.in_process import called


def test_the_configuration_trains_what_the_page_animates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration of the docs, for two steps of four clips, and the Python of docs/video.md on it."""
    text = video_run.CONFIG.read_text(encoding="utf-8")
    small = re.sub("steps = [0-9]+", "steps = 2", text)
    small = re.sub("batch = [0-9]+", "batch = 4", small)
    (tmp_path / "c.toml").write_text(small, encoding="utf-8")
    assert called("train", str(tmp_path / "c.toml"), "--out", str(tmp_path / "runs" / "video")) == 0

    network = runs.load(tmp_path / "runs" / "video").denoiser.network
    assert isinstance(network, PatchTransformer)
    assert network.patch == (4, 4, 4)
    assert network.classes == 10

    (block,) = re.findall(r"^```python\n(.*?)^```", video_page.PAGE.read_text(encoding="utf-8"), re.M | re.S)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(block, found)
    assert found["x"].shape == (4, 1, 8, 16, 16)
    assert torch.equal(found["x"][:, :, 0], found["clips"][:1, :, 0].expand(4, -1, -1, -1))


def test_a_batch_holds_clips_of_two_sizes() -> None:
    """A function of seed and step; each clip lies in the first corner, and nothing lies beyond."""
    frames, *sides = video_run.NATIVE
    native = moving_digits(20, frames, (sides[0], sides[1])).data
    data = video_run.MixedClips(native, dropout=0.5)
    whole = data.in_memory(20)
    assert torch.equal(whole.x[:, :, :frames, : sides[0], : sides[1]], native.x)
    assert len(data.take(torch.arange(3))) == 3
    x, cond = data.batch(3, 12, seed=1)
    again, _ = data.batch(3, 12, seed=1, rows=range(4, 9))

    assert torch.equal(x[4:9], again)
    assert not torch.equal(x[:4], data.batch(4, 12, seed=1)[0][:4])
    assert [tuple(size) for size in cond["size"].tolist()] == [video_run.NATIVE] * 8 + [video_run.OTHERS[3]] * 4
    assert NO_LABEL in cond["label"].tolist()

    for clip, (frames, height, width) in zip(x, cond["size"].tolist(), strict=True):
        assert not clip[:, frames:].any()
        assert not clip[:, :, height:].any()
        assert not clip[..., width:].any()
        assert clip[0, :frames, :height, :width].amax((-1, -2)).min() > 0


def test_a_run_of_several_sizes_is_stopped_and_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it leaves is a run of clips of 8 x 16 x 16 like any other."""
    for steps in ("1", "2"):
        monkeypatch.setattr(sys, "argv", ["video_run", "--out", str(tmp_path / "run"), "--steps", steps])
        video_run.main()

    run = runs.load(tmp_path / "run")
    assert run.about["training"]["steps_done"] == 2
    assert run.shape == (1, 8, 16, 16)


def test_the_track_of_real_clips_is_straight_and_of_shuffled_ones_is_not() -> None:
    clips = moving_digits(20, 8, (12, 20), seed=3).data.x
    assert rms(off_track(clips)) < 0.15
    assert rms(off_track(clips[:, :, [3, 0, 6, 1, 7, 2, 5, 4]])) > 1


def test_the_middle_of_a_digit_moves_as_its_corner() -> None:
    clips, tracks = moving_digits(10, 8, seed=4)
    moved = middles(clips.x) - middles(clips.x)[:, :1]
    assert (moved - (tracks - tracks[:, :1])).abs().max() < 0.2


def test_the_judge_reads_frames() -> None:
    clips = moving_digits(30, 4, seed=5).data
    assert clips.labels is not None
    seen = Judge(600).labels(clips.x)
    assert (seen == clips.labels[:, None]).double().mean() > 0.9


def test_where_the_truth_of_a_task_lies() -> None:
    """The real clip itself, put where the frames of a task belong, is off by nothing."""
    pairs = video_tasks.Pairs.drawn()
    assert pairs.labels.bincount().tolist() == [2] * 10

    for task in video_tasks.TASKS:
        assert not set(task.given) & set(task.truth)
        assert set(task.given) | set(task.truth) <= set(range(video_tasks.COUNT))

    forward = video_tasks.TASKS[1]
    whole = pairs.frames(0, [forward.given.get(k, (0, k)) for k in range(8)])
    for place, (clip, frame) in forward.truth.items():
        assert torch.equal(middles(whole[None])[0, place], pairs.middles[0, clip, frame])

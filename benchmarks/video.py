"""Video by the patch transformer: `python -m benchmarks.video --run runs/video`, then docs/video.md.

The run is that of `python -m benchmarks.video_run`. A classifier of single frames and the best straight track between
walls judge what is drawn (`benchmarks.video_judge`).

clips   of the size trained on and of others: the label in each frame, one digit a clip, the track
tasks   frames are given, others drawn (`benchmarks.video_tasks`)
edited  clips carried over to another digit
cost    a batch of several sizes over as many tokens of one size, interleaved
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import video_page, video_tasks
from benchmarks.common import RESULTS, interleaved, save, show
from benchmarks.video_judge import Judge, middles, off_track, rms
from scoresde import catalogue, guidance, runs, sample
from scoresde.cli.clips import sheet
from scoresde.data import moving_digits
from scoresde.denoisers.denoiser import BaseDenoiser
from scoresde.networks import PatchTransformer
from scoresde.reports import images
from scoresde.samplers.editing import edit

PICTURES = video_page.PAGE.parent / "img"
GUIDANCE = 4.0
STEPS = 40
EACH = 20  # clips of each label
NATIVE = (8, 16, 16)
UNSEEN = ((8, 12, 20), (12, 16, 16), (12, 12, 20))
EDITS = (0.4, 0.5, 0.6)
SIZES = ((8, 16, 16), (8, 12, 12), (8, 16, 20), (4, 16, 16), (8, 20, 20))  # of a batch, the cost of which is told
Row = dict[str, Any]


def judged(clips: Tensor, labels: Tensor, judge: Judge) -> Row:
    """What a classifier and the track say of clips."""
    seen = judge.labels(clips)
    off = off_track(clips)
    return {
        "label obeyed in each frame": float((seen == labels[:, None]).double().mean()),
        "one digit in all frames": float((seen == seen[:, :1]).all(1).double().mean()),
        "off the track, RMS": rms(off),
        "clips within 0.7": float((off.square().mean(1).sqrt() <= 0.7).double().mean()),
    }


def sizes(model: BaseDenoiser, judge: Judge) -> list[Row]:
    """Clips of each size beside real ones of the same size."""
    labels = torch.arange(10).repeat_interleave(EACH)
    rows: list[Row] = []

    for size in (NATIVE, *UNSEEN):
        real = moving_digits(len(labels), size[0], size[1:], seed=11).data
        assert real.labels is not None
        name = f"{size[0]} frames of {size[1]} x {size[2]}"
        rows.append({"size": name, "clips": "real", **judged(real.x, real.labels, judge)})

        for scale in (1.0, GUIDANCE):
            denoiser = model if scale == 1.0 else guidance.ClassifierFree(model, scale)
            x = sample(denoiser, (len(labels), 1, *size), catalogue.unipc(STEPS), cond=labels, batch=100)
            rows.append({"size": name, "clips": f"drawn, guidance {scale:g}", **judged(x, labels, judge)})
            if scale == GUIDANCE and size in (NATIVE, UNSEEN[-1]):
                named = "video_clips" if size == NATIVE else "video_unseen"
                images.save_clips(x[::EACH], 5, PICTURES / f"{named}.gif")

    return rows


def edited(model: BaseDenoiser, judge: Judge) -> list[Row]:
    """Real clips noised to t and drawn from there as the next digit."""
    real = moving_digits(100, seed=31).data
    assert real.labels is not None
    labels = (real.labels + 1) % 10
    guided = guidance.ClassifierFree(model, GUIDANCE)
    rows: list[Row] = []

    for t in EDITS:
        x = edit(guided, real.x, t, catalogue.unipc(STEPS), cond=labels)
        away = (middles(x) - middles(real.x)).norm(dim=-1)
        rows.append({"t": t, **judged(x, labels, judge), "from the old track, RMS": rms(away)})
        if t == EDITS[1]:
            pairs = torch.stack((real.x[:4], x[:4]), 1).flatten(0, 1)
            images.save_image(sheet(pairs), PICTURES / "video_edited.png")

    return rows


def cost(each: int, patch: tuple[int, ...], width: int) -> list[Row]:
    """A batch of five sizes, and as many tokens of one size: forward alone, and forward and back."""
    network = PatchTransformer(1, patch, width, 5, classes=10)
    inside = math.prod(patch)
    generator = torch.Generator().manual_seed(0)
    most = [max(size[axis] for size in SIZES) for axis in range(3)]
    tokens = each * sum(size[0] * size[1] * size[2] for size in SIZES) // inside
    count = tokens * inside // math.prod(NATIVE)

    several = torch.randn(each * len(SIZES), 1, *most, generator=generator)
    cond = {"label": torch.zeros(len(several), dtype=torch.int64), "size": torch.tensor(SIZES).repeat(each, 1)}
    one = torch.randn(count, 1, *NATIVE, generator=generator)
    labels = torch.zeros(count, dtype=torch.int64)

    def answer(x: Tensor, given: Any) -> Tensor:
        return network(x, torch.full((len(x),), 500.0), given)

    def drawing(x: Tensor, given: Any) -> Callable[[], Any]:
        return torch.no_grad()(lambda: answer(x, given))

    def training(x: Tensor, given: Any) -> Callable[[], Any]:
        return lambda: answer(x, given).square().mean().backward()

    rows: list[Row] = []
    for name, way in (("drawing", drawing), ("training", training)):
        seconds = interleaved({"several": way(several, cond), "one": way(one, labels)}, 25)
        others = count * math.prod(NATIVE) // inside
        about = {"pass": name, "patch": list(patch), "width": width, "clips": len(several), "tokens": tokens}
        ratio = (seconds["several"] / tokens) / (seconds["one"] / others)
        rows.append({**about, **seconds, "ratio": ratio})

    return rows


def costs() -> list[Row]:
    """Of the network of the run, at two batches, and of a larger one."""
    return [*cost(12, (4, 4, 4), 96), *cost(24, (4, 4, 4), 96), *cost(12, (2, 4, 4), 128)]


def checks(parts: dict[str, list[Row]]) -> list[Row]:
    """Every bar, and whether it holds."""
    real, plain, guided = parts["sizes"][:3]
    of_tasks = parts["tasks"]
    found: list[Row] = []

    def least(what: str, figure: float, bar: float) -> None:
        found.append({"what": what, "figure": figure, "bar": f">= {bar:g}", "holds": figure >= bar})

    def most(what: str, figure: float, bar: float) -> None:
        found.append({"what": what, "figure": figure, "bar": f"<= {bar:g}", "holds": figure <= bar})

    least("the judge is right on frames of real clips", real["label obeyed in each frame"], 0.98)
    for name, row in (("", plain), (f", guidance {GUIDANCE:g}", guided)):
        least(f"label obeyed in each frame{name}", row["label obeyed in each frame"], 0.95)
        least(f"one digit in all frames of a clip{name}", row["one digit in all frames"], 0.9)
        most(f"off the straight track, RMS pixels{name}", row["off the track, RMS"], 0.7)

    least("tasks that keep every given frame exactly", sum(r["given frames exact"] for r in of_tasks), len(of_tasks))
    for row in of_tasks:
        most(f"{row['task']}: off at the seams, RMS pixels", row["off at the seams"], 1.0)
    for row in parts["cost"]:
        named = f"several sizes over one, {row['pass']}, {row['clips']} clips, width {row['width']}"
        most(named, row["ratio"], 1.15)

    return found


def kept(parts: dict[str, list[Row]], trained: Row) -> None:
    """Show, store and lay out what was measured."""
    for name, table in parts.items():
        show(name, table)
    bars = checks(parts)
    show("bars", bars)

    save("video", bars, torch.float32, trained=trained, guidance=GUIDANCE, **parts)
    video_page.PAGE.write_text(video_page.text(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/video"))
    parser.add_argument("--cost", action="store_true", help="measure the cost anew, and keep the rest")
    found = parser.parse_args()

    if found.cost:
        before = json.loads((RESULTS / "video.json").read_text(encoding="utf-8"))
        parts = {name: before[name] for name in ("sizes", "tasks", "edited")}
        kept({**parts, "cost": costs()}, before["trained"])
        return

    stored = runs.load(found.run)
    model = stored.denoiser
    judge = Judge()
    pairs = video_tasks.Pairs.drawn()

    guided = guidance.ClassifierFree(model, GUIDANCE)

    rows, clips = video_tasks.drawn_tasks(guided, pairs, judge)
    longer, long_clips = video_tasks.twice(guided, pairs, judge)
    shown = torch.cat([x[k : k + 2] for k, x in enumerate(clips.values())])
    images.save_image(sheet(shown), PICTURES / "video_tasks.png")
    images.save_image(sheet(long_clips[:6]), PICTURES / "video_extended.png")

    training = stored.about["training"]
    parts = {
        "sizes": sizes(model, judge),
        "tasks": [*rows, longer],
        "edited": edited(model, judge),
        "cost": costs(),
    }
    kept(parts, {"steps": training["steps_done"], "seconds": training["seconds"]})


if __name__ == "__main__":
    main()

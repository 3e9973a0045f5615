"""Models that stand on others, against one that does not: `python -m benchmarks.stages [--minutes 4]`, then the tables of
docs/latent.md.

latent    digits 1 x 8 x 8 as latents 2 x 4 x 4: Frechet distance and bits per number, beside diffusion of the pixels
digits    4 x 4 enlarged to 8 x 8: Frechet distance beside one stage; each sample's copy against what it was given
photos    the same, 8 x 8 enlarged to 32 x 32, in colour

Diffusion models of a row train for the same processor time in all, --minutes for digits, and make samples by
`unipc(20)`. The autoencoder trains before, and its time is told apart. Frechet distances are those of the demo's judge.
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

from benchmarks import stages_page
from benchmarks.common import environment, show
from benchmarks.training import budgeted
from scoresde import Denoiser, catalogue, data, sample
from scoresde.data.low_resolution import Upsampling, condition, shrunk
from scoresde.data.samples import Dataset
from scoresde.evaluation.judge import Judge
from scoresde.evaluation.likelihood import log_likelihood
from scoresde.latent import Autoencoder, Latents, LatentSpace, log_likelihood_bound
from scoresde.reports import images
from scoresde.runs.config import Config
from scoresde.runs.network_config import NetworkConfig
from scoresde.runs.stages import CascadeConfig
from scoresde.training import Objective, Training, fit
from scoresde.training.evidence import ELBO
from scoresde.training.losses import PlainV
from scoresde.training.norms import Huber
from scoresde.training.state import begin
from solvers import SeededNoise
from solvers.noise import PRIOR

CALLS = 20
DRAWN = 512
JUDGED = 128  # held-out samples whose density is taken
AUGMENTS = (0.1, 0.05)  # noise of the images that a cascade enlarges: the default, and one that keeps more of them
STD = 0.1
SHOWN = 12
Row = dict[str, Any]


def recipe(enlarges: bool = False) -> Config:
    """As the demo trains, for any of the models."""
    return Config(
        network=NetworkConfig(predicts="v"),
        objective=Objective(PlainV(norm=Huber())),
        training=Training(lr=4e-3),
        cascade=CascadeConfig(low="the stage before") if enlarges else CascadeConfig(),
    )


def autoencoder_of(train: Dataset, steps: int) -> Autoencoder:
    """Of two channels at half the sides."""
    config = Config(
        network=NetworkConfig(kind="autoencoder", widths=(32, 64)),
        objective=Objective(ELBO(STD)),
        training=Training(steps=steps, lr=2e-3),
    )
    model = config.model(train.shape)
    assert isinstance(model, Autoencoder)
    state = begin(model.network, config.training)
    for _ in fit(model, train, config.training, state, config.objective):
        pass
    return model.around(state.average.module).eval().requires_grad_(False)


def drawn(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    cond: Any = None,
    seed: int = 5,
) -> Tensor:
    """Samples."""
    return sample(denoiser, (DRAWN, *shape), catalogue.unipc(CALLS), seed=seed, cond=cond)


def dequantised(held_out: Dataset) -> Tensor:
    """Held-out integers with uniform noise of one unit, in the model's scale."""
    x = held_out.x[:JUDGED]
    u = SeededNoise(3).uniform(PRIOR, range(1), tuple(x.shape), x.dtype, x.device)[0]
    return x + (u - 0.5) / float(held_out.half_range)  # type: ignore[arg-type]


def bits(log_prob: Tensor, held_out: Dataset) -> float:
    """Mean bits per number of the integers."""
    count = math.prod(held_out.shape)
    nats = -log_prob.mean().item() / count + math.log(held_out.unit)
    return nats / math.log(2)


def pixels(minutes: float, train: Dataset, held_out: Dataset, judge: Judge) -> tuple[Row, Tensor]:
    """One model of the digits themselves."""
    denoiser, spent = budgeted(recipe(), train, minutes, pilot=10)
    x = drawn(denoiser, train.shape)
    density = log_likelihood(denoiser, dequantised(held_out), probes=4, rtol=1e-4, atol=1e-4)
    told = {"Frechet": judge(x)["frechet"], "bits per number": bits(density.log_prob, held_out)}
    return {"model": "pixels", **told, **spent}, x


def latent(minutes: float, train: Dataset, held_out: Dataset, judge: Judge) -> tuple[Row, Tensor]:
    """A model of the digits' latents."""
    autoencoder = autoencoder_of(train, 3000)
    space = LatentSpace.measured(autoencoder, train)
    denoiser, spent = budgeted(recipe(), Latents(train, space), minutes, pilot=10)
    x = space.decoded(drawn(denoiser, space.shape))
    bound = log_likelihood_bound(denoiser, space, dequantised(held_out), probes=4, rtol=1e-4, atol=1e-4)
    told = {"Frechet": judge(x)["frechet"], "bits per number": bits(bound.log_prob, held_out)}
    again = space.decoded(space.posterior(held_out.x)[0])
    rebuilt = {"Frechet of reconstructions": judge(again)["frechet"]}
    return {"model": "latents", **told, **rebuilt, **spent}, x


def chain(minutes: tuple[float, float], train: Dataset, factor: int) -> tuple[Tensor, Denoiser, Row]:
    """A cascade of two stages: images of the first, the model that enlarges them, and what was spent."""
    low_data = Dataset(shrunk(train.x, factor), name="small", shift=train.shift // factor, flip=train.flip)
    low, first = budgeted(recipe(), low_data, minutes[0], pilot=10)
    stage = Upsampling(train, factor, 0.5)
    high, second = budgeted(recipe(True), stage, minutes[1], pilot=10)
    spent = {key: first[key] + second[key] for key in ("steps", "cpu_minutes", "wall_minutes")}
    return drawn(low, low_data.shape, seed=6), high, spent


def cascade(
    name: str,
    minutes: tuple[float, float],
    train: Dataset,
    judge: Judge,
    factor: int,
) -> list[Row]:
    """Two stages, judged; how far the copy of a sample is what it was given, by the noise of what is given."""
    small, high, spent = chain(minutes, train, factor)
    eps = SeededNoise(5).normal(PRIOR, range(7, 8), tuple(small.shape), small.dtype, "cpu")[0]
    rows: list[Row] = []

    for augment in AUGMENTS:
        x = drawn(high, train.shape, condition(small, torch.full((DRAWN,), augment), eps, factor))
        pair = torch.stack((shrunk(x, factor).flatten(), small.flatten()))
        correlation = float(torch.corrcoef(pair)[0, 1])
        told = {"Frechet": judge(x)["frechet"], "correlation": correlation}
        rows.append({"model": f"cascade, noise {augment:g}", **told, **spent})
        if augment == AUGMENTS[0]:
            shown = small[:SHOWN].repeat_interleave(factor, 2).repeat_interleave(factor, 3)
            picture = images.tiled(torch.cat((shown, x[:SHOWN])), SHOWN, side=64, gap=2)
            images.save_image(picture, stages_page.IMAGES / f"cascade_{name}.png")

    return rows


def rows_of(minutes: float, part: str) -> list[Row]:
    """The rows of a part, each with its ratio to the model of one stage."""
    whole = {"photos": data.photos}.get(part, data.digits)()
    train, held_out = whole.split(0.2)
    judge = Judge.of(train, held_out, 0)

    if part == "latent":
        one, x = pixels(minutes, train, held_out, judge)
        other, y = latent(minutes, train, held_out, judge)
        picture = torch.cat((held_out.x[:SHOWN], x[:SHOWN], y[:SHOWN]))
        images.save_image(images.tiled(picture, SHOWN, side=64, gap=2), stages_page.IMAGES / "latent_digits.png")
        other["ratio of bits"] = other["bits per number"] / one["bits per number"]
        others = [other]
    else:
        factor = 4 if part == "photos" else 2
        denoiser, spent = budgeted(recipe(), train, minutes, pilot=10)
        one = {"model": "one stage", "Frechet": judge(drawn(denoiser, train.shape))["frechet"], **spent}
        share = 0.3 * minutes, 0.7 * minutes
        others = cascade(part, share, train, judge, factor)

    floor = {"model": "real, half against half", "Frechet": judge.floor()}
    return [floor, one, *({**row, "ratio": row["Frechet"] / one["Frechet"]} for row in others)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0, help="of processor time, of a row's diffusion models")
    parser.add_argument("--part", action="append", choices=stages_page.PARTS, help="measure this part; default all")
    parser.add_argument("--page", action="store_true", help="write the tables of what is stored")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], list[Row]]] = {
        part: lambda part=part: rows_of(asked.minutes, part) for part in stages_page.PARTS
    }

    for part in [] if asked.page else asked.part or parts:
        rows = parts[part]()
        show(part, stages_page.filled(rows))
        path: Path = stages_page.STORE
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        told = {**stored, **environment(torch.float32), part: {"minutes": asked.minutes, "rows": rows}}
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")

    stages_page.write()


if __name__ == "__main__":
    main()

"""What guidance really samples: `python -m benchmarks.guidance_audit [--run RUN]`, then docs/guidance.md.

gaussian   mean and variance of the guided flow, beside the tilted density and the class, in closed form
mixture    sliced W2 of each way to guide from both targets, on two classes of a mixture in two dimensions
digits     the label obeyed, by a classifier, and the Frechet distance from the class (a class-conditional run)
overhead   seconds of guided sampling over those of its network calls alone, at a U-Net
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import RESULTS, interleaved, refilled, save, show
from scoresde import VPSDE, Denoiser, V, catalogue, data, exact, guidance, runs, sample
from scoresde.data.batches import shifted
from scoresde.denoisers.denoiser import BaseDenoiser
from scoresde.evaluation.distances import sliced
from scoresde.evaluation.judge import frechet
from scoresde.networks.unet import UNet
from scoresde.reports import images
from scoresde.samplers.transport import transport

PAGE = Path(__file__).parents[1] / "docs" / "guidance.md"
PICTURE = PAGE.parent / "img" / "guidance.png"
F64 = torch.float64
VP = VPSDE()
SCALES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
Row = dict[str, Any]


def normal(mean: float, variance: float) -> exact.Gaussian:
    """One number."""
    return exact.Gaussian(torch.tensor([mean], dtype=F64), variance, VP)


class Pair(torch.nn.Module):
    """v of N(0, 1) without a label, of N(1.5, 0.25) with one."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = normal(0.0, 1.0)
        self.classed = normal(1.5, 0.25)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        alpha = VP.alpha(t)
        sigma = VP.sigma(t)
        return torch.where(cond.reshape(-1, 1) >= 0, self.classed(x, alpha, sigma).v, self.plain(x, alpha, sigma).v)


def total_variation(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Half the integral of |p - q| of two normals, by a fine sum."""
    x = torch.linspace(-8, 8, 400_001, dtype=F64)
    p, q = (torch.exp(-0.5 * (x - m) ** 2 / v) / (2 * torch.pi * v) ** 0.5 for m, v in (a, b))
    return float((p - q).abs().sum() * (x[1] - x[0]) / 2)


def gaussian() -> list[Row]:
    """The guided law is affine in its start: two starts say it."""
    rows: list[Row] = []
    sigma = float(VP.sigma(VP.t_max))
    starts = torch.tensor([[0.0], [sigma]], dtype=F64)
    label = torch.zeros(2, dtype=torch.int64)

    for w in SCALES:
        guided = guidance.ClassifierFree(Denoiser(Pair(), VP, V()), w)
        method = catalogue.probability_flow(1e-9, atol=1e-12)
        ends = transport(guided, starts, method, VP, 1.0, 1e-3, cond=label).y
        law = float(ends[0]), float((ends[1] - ends[0]) ** 2)
        precision = (1 - w) + w / 0.25
        tilted = w * 1.5 / 0.25 / precision, 1 / precision
        rows.append(
            {
                "scale": w,
                "mean": law[0],
                "variance": law[1],
                "tilted mean": tilted[0],
                "tilted variance": tilted[1],
                "TV from tilted": total_variation(law, tilted),
                "TV from class": total_variation(law, (1.5, 0.25)),
            }
        )

    return rows


def tilted_draws(model: exact.Labelled, w: float, n: int) -> Tensor:
    """Draws of p(x) p(c|x)^w by weighing many draws of the mixture of both."""
    both = torch.cat((model.of(0).sample(200_000, seed=1), model.mixture.sample(200_000, seed=2)))
    whole = model.mixture.log_prob(both)
    classed = model.of(0).log_prob(both)
    proposal = torch.logaddexp(whole, classed)
    weights = (whole + w * (classed - whole) - proposal).softmax(0)
    return both[torch.multinomial(weights, n, replacement=True, generator=torch.Generator().manual_seed(0))]


def mixture(n: int = 4000) -> list[Row]:
    """Two classes of two Gaussians each, that overlap."""
    means = torch.tensor([[1.0, 1.0], [-1.0, 1.5], [1.0, -1.0], [-1.5, -1.0]], dtype=F64)
    variances = torch.tensor([0.3, 0.15, 0.3, 0.4], dtype=F64)
    model = exact.Labelled(exact.GaussianMixture(means, variances, process=VP), torch.tensor([0, 0, 1, 1]))
    method = catalogue.unipc(60)
    ways: dict[str, Callable[[float], BaseDenoiser]] = {
        "ClassifierFree": lambda w: guidance.ClassifierFree(model, w),
        "ClassifierFree, lam -1 to 2": lambda w: guidance.ClassifierFree(model, w, interval=(-1.0, 2.0)),
        "APG": lambda w: guidance.APG(model, w),
        "CFGZeroStar": lambda w: guidance.CFGZeroStar(model, w),
    }
    classed = model.of(0).sample(n, seed=5)
    rows: list[Row] = []

    for w in (1.0, 2.0, 4.0):
        tilted = tilted_draws(model, w, n)
        floor = sliced(model.of(0).sample(n, seed=6), classed)
        for name, make in ways.items():
            x = sample(make(w), (n, 2), method, cond=torch.zeros(n, dtype=torch.int64))
            rows.append(
                {
                    "guidance": name,
                    "scale": w,
                    "from tilted": sliced(x, tilted),
                    "from class": sliced(x, classed),
                    "floor": floor,
                }
            )

    return rows


def everywhere(x: Tensor) -> Any:
    """Images as rows, one pixel to the left, where they are, and one to the right: as the run saw them."""
    moves = [torch.full((len(x),), by) for by in (-1, 0, 1)]
    return torch.cat([shifted(x, by) for by in moves]).flatten(1).numpy()


def digits(folder: Path, n: int = 256) -> list[Row]:
    """Whether a classifier of real digits sees the label asked for, and how near samples are to that class."""
    from sklearn.svm import SVC

    model = runs.load(folder).denoiser
    real = data.digits()
    assert real.labels is not None
    order = torch.randperm(len(real.x), generator=torch.Generator().manual_seed(0))
    kept, seen_never = real.x[order].split([1400, len(order) - 1400])
    labels, labels_never = real.labels[order].split([1400, len(order) - 1400])
    judge = SVC().fit(everywhere(kept), labels.repeat(3).numpy())
    sure = float((judge.predict(everywhere(seen_never)) == labels_never.repeat(3).numpy()).mean())

    label = 3
    same = torch.from_numpy(everywhere(real.x[real.labels == label]))
    same = same[torch.randperm(len(same), generator=torch.Generator().manual_seed(1))]
    half = len(same) // 2
    all_labels = torch.arange(10).repeat_interleave(26)
    rows: list[Row] = []
    strips: list[Tensor] = []

    for w in (0.0, 1.0, 2.0, 4.0, 8.0, 16.0):
        guided = guidance.ClassifierFree(model, w)
        x = sample(guided, (n, *real.shape), catalogue.unipc(20), cond=label)
        every = sample(guided, (len(all_labels), *real.shape), catalogue.unipc(20), cond=all_labels, first=n)
        strips.append(x[:12])
        rows.append(
            {
                "scale": w,
                "label 3 obeyed": float((judge.predict(x.flatten(1).numpy()) == label).mean()),
                "all labels obeyed": float((judge.predict(every.flatten(1).numpy()) == all_labels.numpy()).mean()),
                "judge on real digits": sure,
                "Frechet": frechet(x.flatten(1), same),
                "floor": frechet(same[:half], same[half:]),
            }
        )

    images.save_image(images.tiled(torch.cat(strips), columns=12), PICTURE)

    return rows


def overhead(batch: int = 32) -> list[Row]:
    """Guided samples against the same network called on 2 B samples as often."""
    network = UNet(3, classes=10)
    model = Denoiser(network, VP, V(), time=lambda lam: 1000 * VP.time(lam))
    guided = guidance.ClassifierFree(model, 3.0)
    x = torch.randn(2 * batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    t = torch.full((2 * batch,), 500.0)
    label = torch.zeros(2 * batch, dtype=torch.int64)
    steps = 5

    def alone() -> None:
        with torch.no_grad():
            for _ in range(steps):
                network(x, t, label)

    def whole() -> None:
        sample(guided, (batch, 3, 32, 32), catalogue.ddim(steps), cond=label[:batch])

    seconds = interleaved({"alone": alone, "whole": whole}, 5)

    return [{"network calls": steps, **seconds, "ratio": seconds["whole"] / seconds["alone"]}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a class-conditional run of the digits")
    found = parser.parse_args()
    parts = {"gaussian": gaussian(), "mixture": mixture(), "overhead": overhead()}
    if found.run is not None:
        parts["digits"] = digits(found.run)

    for name, rows in parts.items():
        show(name, rows)

    save("guidance_audit", [], F64, **parts)
    PAGE.write_text(text(), encoding="utf-8")


def cells(row: Row) -> str:
    """One line of a table."""
    return (
        "| " + " | ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()) + " |\n"
    )


def table(rows: list[Row]) -> str:
    """Rows as Markdown."""
    return "| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|\n" + "".join(map(cells, rows))


def text() -> str:
    """docs/guidance.md of what is stored."""
    kept = json.loads((RESULTS / "guidance_audit.json").read_text(encoding="utf-8"))
    drawn = table(kept["digits"]) if "digits" in kept else "Not measured.\n"
    return refilled(f"""# Guidance

Generated by `python -m benchmarks.guidance_audit --run RUN` from `benchmarks/results/guidance_audit.json`.

A guided denoiser is a denoiser. It takes the place of the model in `sample`, `transport` and every method:

```python
from scoresde import catalogue, guidance, sample

guided = guidance.ClassifierFree(denoiser, scale=2.0)  # w; papers that write 1 + w or gamma are one off
x = sample(guided, (64, 1, 8, 8), catalogue.unipc(20), cond=3)
```

On the command line: `scoresde sample RUN --label 3 --guidance 0,1,2,4,8 --n 12 --out strip.png`.

![twelve digits at scales 0, 1, 2, 4, 8 and 16, one row each, from the same noise](img/guidance.png)

| class | what it does | network evaluations |
|---|---|---|
| `ClassifierFree` | D_null + w (D_cond - D_null); `interval` in lam, `rescale`, a scale per sample or a function of lam | 2, in one batch |
| `APG` | the difference is shortened, and its part along x0 weakened | 2 |
| `CFGZeroStar` | the unconditional velocity is scaled to fit; no move at first | 2 |
| `plus_plus` | the scale that makes DDIM on given levels CFG++ | 2 |
| `AutoGuidance` | away from a weaker model | 1 of each model |
| `Classifier` | along the gradient of log p(c given x), which must know the noise level; `scoresde train` trains one | 1, and a gradient |
| `Embedding` | along the gradient of the likeness to a target | 1, and a gradient through the model |
| `Clip`, `DynamicThreshold` | x0 within bounds | 1 |

## What is really sampled

People have one of two targets in mind: the tilted density p(x) p(c given x)^w, or the class itself. The guided flow samples neither where w is not 0
or 1, because noising does not commute with tilting. For p = N(0, 1) and a class N(1.5, 0.25) the guided law is a Gaussian, known without samples:

{table(kept["gaussian"])}
Guidance at w = 2 already has less than half the variance of the tilted density, and its mean goes on beyond it. TV is the total variation distance.

Two overlapping classes of two Gaussians each in the plane, 4000 samples, sliced W2 from each target. The floor is that of two exact sets:

{table(kept["mixture"])}
## Digits

256 samples of the label 3, and 26 of each label, from a class-conditional U-Net in 20 calls of UniPC: docs/digits.toml with `label_dropout = 0.15`
under `[training]`. "Obeyed" is the verdict of a support vector machine, trained on 1400 real digits, each also one pixel to the left and to the right as
the run saw them; beside it, how often it is right on real digits that it never saw. The Frechet distance is in pixels, from the real digits of the class;
the floor is that between its two halves.

{drawn}
A larger scale obeys more and varies less: the distance from the class grows again.

## Cost

Guided sampling over its network calls alone, U-Net on 32 x 32 images, CPU: {kept["overhead"][0]["ratio"]:.2f} times.
""")


if __name__ == "__main__":
    main()

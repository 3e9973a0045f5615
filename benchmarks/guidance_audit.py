"""What guidance really samples: `python -m benchmarks.guidance_audit [--run RUN] [--part PART]`, then docs/guidance.md.

gaussian   mean and variance of the guided flow, beside the tilted density and the class, in closed form
mixture    sliced W2 of each way to guide from both targets, on two classes of a mixture in two dimensions
embedding  sliced W2 of `Embedding` from p(x) e^{w <h, x>}, which for a mixture is another mixture in closed form
digits     the label obeyed, by a classifier, and the Frechet distance from the class (a class-conditional run)
overhead   seconds of guided sampling over those of its network calls alone, at a U-Net
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import guidance_page
from benchmarks.common import interleaved, save, show
from scoresde import VPSDE, Denoiser, V, catalogue, data, exact, guidance, runs, sample
from scoresde.data.batches import shifted
from scoresde.denoisers.denoiser import BaseDenoiser
from scoresde.evaluation.distances import sliced
from scoresde.evaluation.judge import frechet
from scoresde.networks.unet import UNet
from scoresde.reports import images
from scoresde.samplers.transport import transport

PICTURE = guidance_page.PAGE.parent / "img" / "guidance.png"
F64 = torch.float64
VP = VPSDE()
SCALES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
MEANS = torch.tensor([[1.0, 1.0], [-1.0, 1.5], [1.0, -1.0], [-1.5, -1.0]], dtype=F64)
VARIANCES = torch.tensor([0.3, 0.15, 0.3, 0.4], dtype=F64)
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


def per_mode(x: Tensor, means: Tensor, variances: Tensor) -> float:
    """Variance about the nearest mode over the mode's own, mean over modes that have samples."""
    nearest = torch.cdist(x, means).argmin(1)
    parts = [(x[nearest == k], v) for k, v in enumerate(variances)]
    ratios = [part.var(0).mean() / v for part, v in parts if len(part) > 20]
    return float(torch.stack(ratios).mean())


def mixture(n: int = 4000) -> list[Row]:
    """Two classes of two Gaussians each, that overlap."""
    model = exact.Labelled(exact.GaussianMixture(MEANS, VARIANCES, process=VP), torch.tensor([0, 0, 1, 1]))
    method = catalogue.unipc(60)
    weak = exact.GaussianMixture(MEANS[:2], 2 * VARIANCES[:2], process=VP)  # the class, smeared

    def sees(x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any) -> Tensor:
        """log p(c = 0 | x) up to a constant, exactly, at any noise level."""
        return model.of(0).log_prob(x, alpha, sigma) - model.mixture.log_prob(x, alpha, sigma)

    ways: dict[str, Callable[[float], BaseDenoiser]] = {
        "ClassifierFree": lambda w: guidance.ClassifierFree(model, w),
        "ClassifierFree, lam -1 to 2": lambda w: guidance.ClassifierFree(model, w, interval=(-1.0, 2.0)),
        "APG": lambda w: guidance.APG(model, w),
        "CFGZeroStar": lambda w: guidance.CFGZeroStar(model, w),
        "Classifier": lambda w: guidance.Classifier(model.mixture, sees, w),
        "AutoGuidance": lambda w: guidance.AutoGuidance(model.of(0), weak, w),
    }
    classed = model.of(0).sample(n, seed=5)
    rows: list[Row] = []

    for w in (0.5, 1.0, 2.0, 4.0, 8.0):
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
                    "variance per mode": per_mode(x, MEANS[:2], VARIANCES[:2]),
                    "floor": floor,
                }
            )

    return rows


def embedding(n: int = 4000) -> list[Row]:
    """Toward a target h by the inner product, in the plane and along one number: one Gaussian, and the mixture."""
    h = torch.tensor([1.0, 0.5], dtype=F64)
    method = catalogue.unipc(60)
    one = torch.zeros(1, 2, dtype=F64)
    rows: list[Row] = []

    for name, means, variances in (("one Gaussian", one, torch.ones(1, dtype=F64)), ("mixture", MEANS, VARIANCES)):
        plain = exact.GaussianMixture(means, variances, process=VP)
        for w in (0.5, 1.0, 2.0, 4.0):
            gain = w * means @ h + 0.5 * w**2 * variances * h.square().sum()
            tilted = exact.GaussianMixture(means + w * variances[:, None] * h, variances, gain.softmax(0))
            right = tilted.sample(n, seed=5)
            floor = sliced(tilted.sample(n, seed=6), right)
            for on in ("x0", "x"):
                x = sample(guidance.Embedding(plain, torch.nn.Identity(), h, w, on), (n, 2), method)
                found = {"from tilted": sliced(x, right), "floor": floor}
                rows.append({"data": name, "scale": w, "the encoder reads": on, **found})

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
    parser.add_argument("--part", action="append", help="measure this part alone; may be given again")
    found = parser.parse_args()
    parts: dict[str, Callable[[], list[Row]]] = {
        "gaussian": gaussian,
        "mixture": mixture,
        "embedding": embedding,
        "overhead": overhead,
    }
    if found.run is not None:
        parts["digits"] = lambda: digits(found.run)

    kept: dict[str, Any] = guidance_page.stored()
    for name in found.part or parts:
        rows = parts[name]()
        show(name, rows)
        kept[name] = rows

    save("guidance_audit", [], F64, **{name: kept[name] for name in (*parts, "digits") if name in kept})
    guidance_page.PAGE.write_text(guidance_page.text(), encoding="utf-8")


if __name__ == "__main__":
    main()

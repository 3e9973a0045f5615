"""Pictures of posteriors: a mixture's by five methods, digits that were hidden or blurred."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks import posterior_problems as problems
from benchmarks.posterior_methods import METHODS, particles
from scoresde import exact, inverse
from scoresde.reports import images

IMAGES = Path(__file__).parents[1] / "docs" / "img"
SHOWN = ("dps", "pigdm", "tmpd", "ddrm", "twisted")
F64 = torch.float64


def drawn() -> list[dict[str, Any]]:
    """Draw both; returns where they are."""
    plane()
    restored()
    return [{"picture": name} for name in ("posterior.png", "restored_digits.png")]


def plane() -> None:
    """Nine Gaussians in the plane, one number measured."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    means = torch.tensor([[4.0 * i, 4.0 * j] for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=F64)
    prior = exact.GaussianMixture(means, 0.3)
    row = torch.tensor([[0.8, 0.6]], dtype=F64)
    measurement = inverse.Measurement(inverse.Matrix(row), torch.tensor([1.0], dtype=F64), 0.5)
    panels = {"exact": exact.posterior(prior, measurement).sample(800, seed=1)}
    panels |= {name: METHODS[name](prior, measurement, (800, 2), 100) for name in SHOWN}
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 2.5), sharex=True, sharey=True)

    for ax, (name, x) in zip(axes, panels.items(), strict=True):
        ax.scatter(means[:, 0], means[:, 1], s=260, facecolors="none", edgecolors="0.8")
        ax.scatter(x[:, 0], x[:, 1], s=2, color="C0" if name != "exact" else "k", alpha=0.5, linewidths=0)
        ax.set_title(name, fontsize=10)
        ax.set_aspect("equal")
        ax.set_xlim(-6.5, 6.5)
        ax.set_ylim(-6.5, 6.5)
        ax.set_xticks([])
        ax.set_yticks([])

    figure.tight_layout()
    figure.savefig(IMAGES / "posterior.png", dpi=100)
    plt.close(figure)


def restored() -> None:
    """A row a method: truth, what was measured, ten samples, their mean and spread."""
    rows: list[torch.Tensor] = []

    for kind, std in (("hidden", 0.8), ("blurred", 0.3)):
        problem = problems.digits(kind, 4, std)
        operator = problem.measurement.operator
        seen = operator.adjoint(problem.measurement.y[None]) if kind == "hidden" else problem.measurement.y[None]
        if kind == "hidden":
            seen = torch.where(operator.adjoint(torch.ones_like(problem.measurement.y[None])) > 0, seen, -1.0)
        made = {
            "exact": exact.posterior(problem.prior, problem.measurement).sample(10, seed=1),
            "dps": METHODS["dps"](problem.prior, problem.measurement, (10, 64), 100),
            "daps": METHODS["daps"](problem.prior, problem.measurement, (10, 64), 100),
            "mcgdiff": particles("mcgdiff", 2048, 100)(problem.prior, problem.measurement, (10, 64), 100),
        }
        for x in made.values():
            spread = 2 * x.std(0, correction=0, keepdim=True) - 1
            rows.append(torch.cat((problem.truth[None], seen, x, x.mean(0, keepdim=True), spread)))

    tiles = torch.cat(rows).reshape(-1, 1, 8, 8).clamp(-1, 1)
    images.save_image(images.tiled(tiles, columns=14), IMAGES / "restored_digits.png")

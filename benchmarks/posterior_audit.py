"""How near posterior samplers come to exact posteriors: `python -m benchmarks.posterior_audit`, then docs/inverse.md.

mixture      25 Gaussians in 8 dimensions, every method at 100 calls a sample: max-sliced W2 of 1000 samples over the
             floor of the same problem, median over problems with its interval, and seconds
wide         the same in 80 dimensions, fewer problems and particles
longer       the same in 8 dimensions at 1000 calls a sample, which are as many as the particle filters make
particles    the slope of the error of a posterior mean in the number of particles
coverage     share of the truth in 90 % sets, by simulation-based calibration and by TARP, over problems
digits       a digit hidden below or blurred, the exact denoiser of the other digits: posterior mean and coverage
laws         a smooth series with a Gaussian-process prior: the law of each affine method, without samples
situations   one mode, several, strong noise, an operator that is not linear
pictures     docs/img/posterior.png, docs/img/restored_digits.png

Each part is stored when it is done; `--part NAME` measures that one alone, `--method NAME` that method's rows of it.
`--page` only writes the page.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from benchmarks import posterior_laws, posterior_page, posterior_pictures
from benchmarks import posterior_problems as problems
from benchmarks.common import RESULTS, environment, show
from benchmarks.posterior_methods import ANY_OPERATOR, CHAINS, LED, METHODS, Draw, particles
from scoresde import catalogue, exact, inverse
from scoresde.evaluation import sbc, tarp
from scoresde.evaluation.distances import unit_directions

STORE = RESULTS / "posterior_audit.json"
F64 = torch.float64
Row = dict[str, Any]
Pick = Callable[[dict[str, Draw]], dict[str, Draw]]


def worst_direction(a: Tensor, b: Tensor) -> float:
    """Max-sliced W2 over 1000 directions, without its interval."""
    theta = unit_directions(a.shape[1], 1000)
    apart = (a @ theta.T).sort(0)[0] - (b @ theta.T).sort(0)[0]
    return math.sqrt(float(apart.square().mean(0).max()))


def median(values: list[float]) -> tuple[float, float, float]:
    """The median and the order statistics between which it lies with at least 95 %; all of them where few."""
    from scipy.stats import binom

    ordered = sorted(values)
    n = len(ordered)
    k = int(binom.ppf(0.025, n, 0.5))
    return statistics.median(ordered), ordered[max(k - 1, 0)], ordered[min(n - k, n - 1)]


def measured(methods: dict[str, Draw], some: Iterable[problems.Problem], calls: int) -> list[Row]:
    """Every method on the same problems."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in methods}

    for problem in some:
        truth, again = problem.exact
        floor = worst_direction(again, truth)
        for name, draw in methods.items():
            start = time.perf_counter()
            x = draw(problem.prior, problem.measurement, truth.shape, calls)
            found[name].append((worst_direction(x, truth), floor, time.perf_counter() - start))

    rows: list[Row] = []
    for name, values in found.items():
        ratio, low, high = median([w2 / floor for w2, floor, _ in values])
        rows.append(
            {
                "method": name,
                "max-sliced W2": statistics.median(w2 for w2, _, _ in values),
                "floor": statistics.median(floor for _, floor, _ in values),
                "over the floor": ratio,
                "low": low,
                "high": high,
                "seconds": statistics.median(seconds for _, _, seconds in values),
            }
        )

    return rows


def by_measured(methods: dict[str, Draw], d_x: int, count: int, calls: int) -> list[Row]:
    """The mixture with 4, 2 and 1 numbers measured."""
    return [
        {"d_y": d_y, **row}
        for d_y in (4, 2, 1)
        for row in measured(methods, (problems.mixture(d_x, d_y, seed) for seed in range(count)), calls)
    ]


def slope(seeds: int = 24) -> list[Row]:
    """RMS error of a posterior mean by particles, and its slope."""
    means = torch.tensor([[-3.0, 0.0], [3.0, 1.0]], dtype=F64)
    prior = exact.GaussianMixture(means, 0.5)
    row = torch.tensor([[0.2, 1.0]], dtype=F64)
    measurement = inverse.Measurement(inverse.Matrix(row), torch.zeros(1, dtype=F64), 0.8)
    posterior = exact.posterior(prior, measurement)
    mean = posterior.log_weights.exp() @ posterior.means
    counts = (32, 128, 512, 2048)
    rows: list[Row] = []

    for name in ("twisted", "mcgdiff"):
        errors: list[float] = []
        for count in counts:
            apart: list[Tensor] = []
            for seed in range(seeds):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    filtered = getattr(inverse, name)
                    drawn = filtered(prior, measurement, (count, 2), catalogue.ddpm(200), particles=count, seed=seed)
                apart.append(drawn.x.mean(0) - mean)
            errors.append(float(torch.stack(apart).square().sum(1).mean().sqrt()))

        x = torch.tensor(counts, dtype=F64).log()
        y = torch.tensor(errors, dtype=F64).log()
        rise = float(((x - x.mean()) * y).sum() / (x - x.mean()).square().sum())
        rows.append({"method": name, "particles": "32, 128, 512, 2048", "error": _listed(errors), "slope": rise})

    return rows


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def calibrated(methods: dict[str, Draw], some: list[problems.Problem], calls: int, draws: int) -> list[Row]:
    """Coverage of 90 % sets by every method, and the RMS error of its mean over the posterior's standard deviation."""
    truths = torch.stack([problem.truth for problem in some])
    rows: list[Row] = []

    for name, draw in {**methods, "the posterior itself": _exact}.items():
        shape = (draws, truths.shape[1])
        samples = torch.stack([draw(problem.prior, problem.measurement, shape, calls) for problem in some])
        each = sbc(truths, samples).coverage(0.9)
        whole = tarp(truths, samples).coverage(0.9)
        wrong: list[float] = []
        for problem, x in zip(some, samples, strict=True):
            right = problem.exact[0]
            wrong.append(float(((x.mean(0) - right.mean(0)) / right.std(0)).square().mean().sqrt()))
        rows.append(
            {
                "method": name,
                "coverage of each number": each.value,
                "interval": f"{each.low:.2f} to {each.high:.2f}",
                "of the whole (TARP)": whole.value,
                "interval ": f"{whole.low:.2f} to {whole.high:.2f}",
                "error of the mean": statistics.median(wrong),
            }
        )

    return rows


def _exact(prior: Any, measurement: inverse.Measurement, shape: tuple[int, ...], calls: int) -> Tensor:
    return exact.posterior(prior, measurement).sample(shape[0], seed=3)


def coverage(count: int, pick: Pick) -> list[Row]:
    """Mixtures in 8 dimensions, 2 numbers measured."""
    fast = {**LED, **CHAINS, "twisted": particles("twisted", 1024), "mcgdiff": particles("mcgdiff", 4096)}
    return calibrated(pick(fast), [problems.mixture(8, 2, 500 + seed) for seed in range(count)], 100, 100)


def digits(count: int, pick: Pick) -> list[Row]:
    """Digits hidden below and blurred."""
    fast = {
        **LED,
        **CHAINS,
        "twisted": particles("twisted", 1024, 100),
        "mcgdiff": particles("mcgdiff", 2048, 100),
    }
    return [
        {"digit": kind, **row}
        for kind in ("hidden", "blurred")
        for row in calibrated(pick(fast), [problems.digits(kind, seed) for seed in range(count)], 40, 100)
    ]


def situations(count: int, pick: Pick) -> list[Row]:
    """One mode, precise; one mode, strong noise; an operator that is not linear: over the floor, 100 calls."""
    fast = {**LED, **CHAINS, "twisted": particles("twisted", 2048, 100), "mcgdiff": particles("mcgdiff", 4096, 100)}
    curved = {name: METHODS[name] for name in ANY_OPERATOR}
    some: dict[str, tuple[dict[str, Draw], Callable[[int], problems.Problem]]] = {
        "one mode, std 0.1": (fast, lambda seed: problems.series(0.1, seed)),
        "one mode, std 1": (fast, lambda seed: problems.series(1.0, seed)),
        "a distance": (curved, problems.ring),
    }
    return [
        {"situation": name, **row}
        for name, (methods, make) in some.items()
        for row in measured(pick(methods), (make(seed) for seed in range(count)), 100)
    ]


def replaced(stored: list[Row], rows: list[Row]) -> list[Row]:
    """Stored rows, those of the same method and problem as a new one by it; then what is new."""
    named = ("method", "d_y", "digit", "situation")
    new = {tuple(row.get(key) for key in named): row for row in rows}
    kept = [new.pop(tuple(row.get(key) for key in named), row) for row in stored]
    return [*kept, *new.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--part", action="append", help="measure this part; may be given again")
    parser.add_argument("--method", help="measure this method alone, and keep the other rows")
    parser.add_argument("--page", action="store_true", help="write the page of what is stored")
    found = parser.parse_args()
    count: int = found.problems
    chosen: str | None = found.method

    def pick(methods: dict[str, Draw]) -> dict[str, Draw]:
        return {name: draw for name, draw in methods.items() if chosen in (None, name)}

    few = max(2, count // 5)
    narrow = {**LED, **CHAINS, "twisted": particles("twisted", 1024), "mcgdiff": particles("mcgdiff", 4096)}
    parts: dict[str, Callable[[], list[Row]]] = {
        "mixture": lambda: by_measured(pick(METHODS), 8, count, 100),
        "wide": lambda: by_measured(pick(narrow), 80, few, 100),
        "longer": lambda: by_measured(pick({**LED, **CHAINS}), 8, few, 1000),
        "particles": slope,
        "coverage": lambda: coverage(5 * count, pick),
        "digits": lambda: digits(count, pick),
        "situations": lambda: situations(few, pick),
        "laws": lambda: posterior_laws.laws(pick(posterior_laws.AFFINE)),
        "pictures": posterior_pictures.drawn,
    }

    for name in [] if found.page else found.part or parts:
        rows = parts[name]()
        show(name, rows)
        stored: dict[str, Any] = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}
        kept = {**stored.get("problems", {}), name: count}
        if chosen is not None:
            rows = replaced(stored.get(name, []), rows)
        STORE.write_text(
            json.dumps({**stored, **environment(F64), "problems": kept, name: rows}, indent=1) + "\n", encoding="utf-8"
        )

    posterior_page.PAGE.write_text(posterior_page.text(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Write docs/choosing.md from the stored comparisons: `python -m benchmarks.choosing`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, refilled

PAGE = Path(__file__).parents[1] / "docs" / "choosing.md"
BUDGETS, TOP = (5.0, 10.0, 20.0, 50.0), 5
Row = dict[str, Any]


def geometric(values: Iterable[float]) -> float:
    """Geometric mean."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs))


def ranking(
    rows: list[Row], budget: float, problems: list[str], key: str = "error"
) -> list[tuple[float, str, list[float]]]:
    """(geometric mean over problems of the error over the best error of any method, name, errors), best first, for one
    budget."""
    errors: dict[str, dict[str, float]] = {}
    for r in rows:
        if r["cost"] == budget and not r["adaptive"] and r["metric"] == "rms":
            errors.setdefault(r["method"], {})[r["problem"]] = r[key]
    whole = {name: [each[p] for p in problems] for name, each in errors.items() if len(each) == len(problems)}
    best = [min(column) for column in zip(*whole.values(), strict=True)]
    return sorted(
        (geometric(e / b for e, b in zip(each, best, strict=True)), name, each) for name, each in whole.items()
    )


def figure(value: float) -> str:
    """Two digits."""
    return f"{value:.1e}"


def fixed(rows: list[Row], problems: list[str]) -> str:
    """A table a budget: the best on average, then the best of ours and of each other library."""
    out: list[str] = []
    for budget in BUDGETS:
        ranked = ranking(rows, budget, problems)
        middle = [name for _, name, _ in ranking(rows, budget, problems, "median")]
        family = {r["method"]: r["family"] for r in rows}
        first = {family[name]: i for i, (_, name, _) in reversed(list(enumerate(ranked)))}
        shown = sorted({*range(TOP), *first.values(), *(i for i, (_, name, _) in enumerate(ranked) if name == "best")})
        out.append(
            f"\n### {budget:.0f} model calls\n\n| place | by median | method | library | over the best |"
            f" {' | '.join(problems)} |\n"
        )
        out.append(f"|---|---|---|---|---|{'---|' * len(problems)}\n")
        for i in shown:
            ratio, name, errors = ranked[i]
            cells = " | ".join(map(figure, errors))
            out.append(
                f"| {i + 1} of {len(ranked)} | {middle.index(name) + 1} | `{name}` | {family[name]} |"
                f" {ratio:.2f} | {cells} |\n"
            )
    return "".join(out)


def adaptive(rows: list[Row], problems: list[str]) -> str:
    """Errors and calls of adaptive methods at each tolerance."""
    out = [f"\n| method | tolerance | {' | '.join(problems)} |\n|---|---|{'---|' * len(problems)}\n"]
    chosen = [r for r in rows if r["adaptive"]]
    for name in dict.fromkeys(r["method"] for r in chosen):
        for cost in sorted({r["cost"] for r in chosen}, reverse=True):
            at = {r["problem"]: r for r in chosen if r["method"] == name and r["cost"] == cost}
            cells = [f"{figure(at[p]['error'])} in {at[p]['calls']:.0f}" if p in at else "" for p in problems]
            out.append(f"| `{name}` | {cost:g} | {' | '.join(cells)} |\n")
    return "".join(out)


def stochastic(rows: list[Row]) -> str:
    """Distances of laws, with the floor beside."""
    chosen = [r for r in rows if r["stochastic"]]
    out: list[str] = []
    for problem in dict.fromkeys(r["problem"] for r in chosen):
        here = [r for r in chosen if r["problem"] == problem]
        out.append(f"\n`{problem}`, {here[0]['n']} samples; two exact sets differ by {here[0]['floor']:.3f}.\n\n")
        out.append(f"| method | {' | '.join(f'{b:.0f} calls' for b in BUDGETS)} |\n|---|{'---|' * len(BUDGETS)}\n")
        for name in dict.fromkeys(r["method"] for r in here):
            at = {r["cost"]: r for r in here if r["method"] == name}
            cells = [
                f"{at[b]['error']:.3f} ({max(0.0, at[b]['low']):.3f} to {at[b]['high']:.3f})" if b in at else ""
                for b in BUDGETS
            ]
            out.append(f"| `{name}` | {' | '.join(cells)} |\n")
        kinds = [kind for kind in ("energy", "mmd", "frechet") if f"{kind}_error" in here[0]]
        out.append(f"\nThe other distances, each over its own floor: {', '.join(kinds)}.\n\n")
        out.append(f"| method | {' | '.join(f'{b:.0f} calls' for b in BUDGETS)} |\n|---|{'---|' * len(BUDGETS)}\n")
        for name in dict.fromkeys(r["method"] for r in here):
            at = {r["cost"]: r for r in here if r["method"] == name}
            cells = [
                ", ".join(f"{at[b][f'{k}_error'] / at[b][f'{k}_floor']:.2g}" for k in kinds) if b in at else ""
                for b in BUDGETS
            ]
            out.append(f"| `{name}` | {' | '.join(cells)} |\n")
    return "".join(out)


def places(rows: list[Row], problems: list[str], key: str = "error") -> str:
    """Where `best` comes at each budget."""
    said: list[str] = []
    for budget in BUDGETS:
        ranked = [name for _, name, _ in ranking(rows, budget, problems, key)]
        said.append(f"{ranked.index('best') + 1} of {len(ranked)} at {budget:.0f} calls")
    return ", ".join(said)


def flips(rows: list[Row]) -> str:
    """The root mean square beside the median, where they are furthest apart among our adaptive rows."""
    row = max((r for r in rows if r["method"] == "probability_flow"), key=lambda r: r["error"] / r["median"])
    return (
        f"the largest gap is on `{row['problem']}` at tolerance {row['cost']:g}, {figure(row['error'])}"
        f" against a median of {figure(row['median'])}."
    )


def over_oracle(kind: str) -> str:
    """A table of geometric means and worst ratios on the judges, a line for each budget."""
    stored = json.loads((RESULTS / f"recommended_{kind}.json").read_text(encoding="utf-8"))
    out = [
        "| calls | `recommended` | worst | by median | `best(n, unit)` | worst | the named rival | worst"
        " |\n|---|---|---|---|---|---|---|---|\n"
    ]
    for line in next(means for name, means in stored["means"].items() if "judges" in name):
        cells = [
            line[key]
            for key in (
                "recommended",
                "recommended, worst",
                "recommended, median",
                "best",
                "best, worst",
                "named",
                "named, worst",
            )
        ]
        out.append(f"| {line['calls']} | {' | '.join(f'{cell:.2f}' for cell in cells)} |\n")
    return "".join(out)


def judged_by(kind: str) -> str:
    """Who the judges are, and which rival was named for each budget."""
    rows = [
        row
        for row in json.loads((RESULTS / f"recommended_{kind}.json").read_text(encoding="utf-8"))["rows"]
        if row["set"] == "judges"
    ]
    names = ", ".join(dict.fromkeys(row["problem"] for row in rows))
    rivals = ", ".join(
        f"`{name}` at {calls}" for calls, name in dict.fromkeys((row["calls"], row["named is"]) for row in rows)
    )
    return f"Judges: {names}. Named rivals, by calls: {rivals}."


def networks() -> str:
    """Errors on each trained network that judges."""
    rows = [
        row
        for row in json.loads((RESULTS / "recommended_trained.json").read_text(encoding="utf-8"))["rows"]
        if row["set"] == "judges"
    ]
    out = [
        "| network | calls | `recommended` | the named rival | the oracle | which it is |\n|---|---|---|---|---|---|\n"
    ]
    for row in rows:
        cells = " | ".join(f"{figure(row[who])} ({row[who] / row['oracle']:.2f})" for who in ("recommended", "named"))
        out.append(
            f"| {row['problem']} | {row['calls']} | {cells} | {figure(row['oracle'])} | `{row['oracle is']}` |\n"
        )
    return "".join(out)


def _text() -> str:
    """The whole page."""
    stored = json.loads((RESULTS / "work_precision.json").read_text(encoding="utf-8"))
    rows = [r for r in stored["rows"] if "failed" not in r]
    problems = list(dict.fromkeys(r["problem"] for r in rows if r["metric"] == "rms"))
    versions = ", ".join(f"{k} {v}" for k, v in sorted(stored["versions"].items()))
    return f"""# Choosing a method

Generated from `benchmarks/results/` by `python -m benchmarks.choosing`; a test compares. The comparison with every method was measured on
{stored["date"]} by `python -m benchmarks.work_precision`: {stored["machine"]}, {stored["cores"]} cores, {stored["dtype"]}; {versions}.

The task: the probability flow of a denoiser known exactly, along x = x0 + s eps from s = 80 to s = 0.002. The error is the root-mean-square
distance from the converged flow of the same starts; model calls are counted at the model, for everyone. Problems: `gmm2d`, eight narrow
Gaussians on a circle; `digits`, the ideal denoiser of 1797 digits; `patches`, that of 1024 photo patches. `@lambda`, `@quadratic` and
`@karras` name the levels: equal steps in lam, in the square root of VP time, in s^(1/7). Other libraries run their own code on those levels.

**In short.** A model of your own: `recommended(denoiser, n)`, which is what `scoresde sample RUN --method best` uses. Nothing known of the model:
`catalogue.best(n)`, which comes {places(rows, problems)}; by median sample error {places(rows, problems, "median")}. An accuracy to be met:
`catalogue.probability_flow(rtol)`. What holds for your model: `scoresde compare RUN`.
For a model that is sampled often at a fixed budget, `scoresde tune RUN --calls n` learns a better method ([tuning](tuning.md)).

## What is recommended, and how sure that is

`recommended` knows the moments of the data (a run keeps them) and what the network predicts. It was found on some problems and networks and is shown on
others, by `python -m benchmarks.recommended`. Each figure is an error over that of the *oracle*, the best of some 90 released choices of sampler and grid
chosen afterwards for each problem and budget, in the geometric mean over the judges. Nobody can choose like that beforehand. The *named rival* is the one
released choice that did best on the problems for finding. A root mean square depends on single samples that end at another datum, which make the worst
figures; "by median" compares median samples instead. One choice used more than the set for finding: for trained networks a predictor of order 2
and one of order 3 were equal there (0.67 both), and the run of `scoresde demo` decided, before which the judges' figure was 1.19.

### Exact denoisers

{judged_by("exact")}

{over_oracle("exact")}
### Trained networks

{judged_by("trained")} Small networks, trained by `python -m benchmarks.fleet`; the error is against the network's own converged flow.

{over_oracle("trained")}
A trained network has a roughness of its own in the noise level, which no order of the solver removes: at 20 calls all good choices are within a small
factor of one another. The `table` network that predicts eps sends some samples far beyond any data, which `scoresde doctor` says; those few make
its root mean square.

{networks()}
## On a budget of calls

Each error over the least error of any method on that problem, in the geometric mean over the problems: 1 would be the best everywhere.
The first {TOP}, then the first of each library and `best`. A sample that converges to the wrong datum dominates the root mean square:
"by median" is the place by each problem's median sample error instead.
{fixed(rows, problems)}
## To a tolerance

Error, and model calls per sample: rows evaluated over samples, so that a library which evaluates the whole batch until its slowest sample is done
pays for that. On `digits` and `patches` a few samples that converge to the wrong datum dominate the error: {flips(rows)}
{adaptive(rows, problems)}
## With noise

Sliced W2 from exact samples, with 95 % intervals: what cannot be told from the floor is as good as exact here.
{stochastic(rows)}"""


def text() -> str:
    """The page, its prose filled."""
    return refilled(_text())


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")

"""Write docs/losses.md from the stored digits trainings: `python -m benchmarks.loss_table`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, refilled

PAGE = Path(__file__).parents[1] / "docs" / "losses.md"
MINUTES = (6, 30)
Row = dict[str, Any]


def stored() -> dict[int, dict[str, Any]]:
    """What there is, by minutes."""
    paths = {m: RESULTS / f"training_digits_{m}min.json" for m in MINUTES}
    return {m: json.loads(path.read_text(encoding="utf-8")) for m, path in paths.items() if path.exists()}


def table(rows: list[Row]) -> str:
    """Best Frechet distance first."""
    out = ["| loss, what is predicted | Fréchet | bits/dim | steps | minutes |\n|---|---|---|---|---|\n"]
    for r in sorted(rows, key=lambda r: r["frechet"]):
        out.append(
            f"| {r['objective']} | {r['frechet']:.1f} | {r['bits/dim']:.2f} ± {r['+-']:.2f} | {r['steps']} |"
            f" {r['cpu minutes']:.1f} |\n"
        )
    return "".join(out)


def section(minutes: int, kept: dict[str, Any], every: list[str]) -> str:
    """One budget, and which of all the losses it was not given to."""
    rows = kept["rows"]
    sharp, likely = (min(rows, key=lambda r: r[key])["objective"] for key in ("frechet", "bits/dim"))
    count = f"{kept['n']} real"
    floor = f"{count} digits against the rest show {kept['floors'][count]:.1f}"
    untried = [name for name in every if name not in {r["objective"] for r in rows}]
    rest = f" Not trained this long: {'; '.join(untried)}." if untried else ""
    return (
        f"\n## {minutes} processor minutes\n\nNearest samples: {sharp}. Best likelihood: {likely}. Floor of"
        f" the distance: {floor}.{rest}\n\n{table(rows)}"
    )


def _text() -> str:
    """The whole page."""
    found = stored()
    first = found[min(found)]
    every = [r["objective"] for r in first["rows"]]
    missing = "".join(f" The {m}-minute table has not been run." for m in MINUTES if m not in found)
    return f"""# Which loss

Generated from `benchmarks/results/training_digits_*.json` by `python -m benchmarks.loss_table`; a test compares. Measured by
`python -m benchmarks.training digits --minutes M`: the demo's U-Net and optimiser on the digits, one core, one seed each.{missing}

Fréchet: distance of {first["n"]} samples in 20 calls (`dpm_solver_pp_2m`) from all digits, on the features of a classifier. Bits/dim: of
{first["likely"]} held-out digits by the probability flow, with the standard error over them: a density at the last noise level, the same for every
line, of pixels that were not dequantised, so compare lines and not papers. The budget is turned into steps by timing a few of
them (ten for 6 minutes, forty for 30); the machine's speed and its other work were not the same for every line, so look at the steps
too. There is one training a line and no interval for the Fréchet distance: read differences of a few units as none.
{"".join(section(m, kept, every) for m, kept in found.items())}"""


def text() -> str:
    """The page, its prose filled."""
    return refilled(_text())


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")

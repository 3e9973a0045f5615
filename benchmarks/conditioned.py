"""Do directions of the data help where a measurement decides most of a sample? `python -m benchmarks.conditioned`.

`recommended` on `inverse.pigdm` of trained networks, once with the moments of the data along their directions, once
with mean and scale alone (`Moments.isotropic`, which a led denoiser has). RMS distance to what the converged flow makes
of the same noise. The networks are those of `fleet`; no rule was found on them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks import fleet
from benchmarks.common import save, show
from scoresde import catalogue, inverse, recommended, sample
from scoresde.inverse import Operator

NETWORKS = ("terrain-v", "terrain-karras", "digits-v", "digits-karras")
CALLS = (7, 15, 30)
SAMPLES = 16
STD = 0.05  # of the measurement's noise
TOLERANCE = 1e-3  # of the converged flow
Row = dict[str, Any]


def operators(shape: tuple[int, ...]) -> dict[str, Operator]:
    """What is measured of an image: every third pixel, or means of 2 x 2 pixels."""
    places = torch.arange(torch.Size(shape).numel()).reshape(shape)
    return {"mask": inverse.Mask(places % 3 == 0), "downsample": inverse.Downsample(2)}


def measured(name: str, folder: Path) -> list[Row]:
    """One row for each operator and number of calls."""
    run = fleet.trained(name, folder)
    moments = run.denoiser.moments
    assert moments is not None
    truth = fleet.DATA[name.split("-")[0]]()
    x = truth.in_memory(1).x.to(torch.float32)

    rows: list[Row] = []
    for kind, operator in operators(run.shape).items():
        led = inverse.pigdm(run.denoiser, inverse.Measurement(operator, operator(x)[0], STD))
        shape = (SAMPLES, *run.shape)
        answer = sample(led, shape, catalogue.probability_flow(TOLERANCE), seed=2)
        for n in CALLS:
            row: Row = {"network": name, "measured": kind, "calls": n}
            for what, known in (("directions", moments), ("isotropic", moments.isotropic)):
                made = sample(led, shape, recommended(led, n, moments=known), seed=2)
                row[what] = float((made - answer).square().mean().sqrt())
            rows.append({**row, "ratio": row["isotropic"] / row["directions"]})
    return rows


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=fleet.FOLDER, help="where the networks lie, or are trained")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in NETWORKS for row in measured(name, asked.out)]
    show("isotropic over directions, RMS from the converged flow", rows)
    save("conditioned", rows, torch.float32)


if __name__ == "__main__":
    main()

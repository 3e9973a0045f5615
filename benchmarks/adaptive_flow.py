"""`probability_flow` beside other libraries' Dormand-Prince, and what makes the difference: `python -m
benchmarks.adaptive_flow`.

Two things differ from a library used on the equation as it stands: the coordinates (Angle, not log sigma) and whose
steps they are (each sample's own, not the batch's). Each is changed by itself here, so that neither is claimed for the
solver. Error: RMS at s = 0.002 from 80 z; mean calls: those that a sample's own steps need, or all of the batch where
a library does not tell."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import save, show
from benchmarks.rivals import F64, Task
from scoresde import EDM, Angle, Split, catalogue, sampling
from scoresde.compare import peers
from scoresde.compare.problems import digits, gmm2d, rms
from scoresde.denoisers.denoiser import BaseDenoiser
from scoresde.samplers.reverse import reverse

Row = dict[str, Any]
TOLERANCES = (1e-4, 1e-5)


class Counted:
    """(x, s) -> x0 for other libraries, s a number or one per sample, counting its calls."""

    def __init__(self, denoiser: BaseDenoiser):
        self.denoiser, self.calls = denoiser, 0

    def __call__(self, x: Tensor, s: Tensor) -> Tensor:
        self.calls += 1
        return self.denoiser(x, torch.ones_like(s), s).x0


def torchode_along_angle(task: Task, tolerance: float) -> tuple[Tensor, Tensor]:
    """torchode's Dormand-Prince on the equation that `probability_flow` integrates, and the calls that each sample's
    own steps need."""
    import torchode

    along = Angle()
    eq = reverse(along, task.problem.denoiser, 0.0, Split.FLOW)
    ends = torch.tensor([math.atan(s / along.sigma_data) for s in (task.problem.high, task.problem.low)], dtype=F64)
    term: Any = torchode.ODETerm(eq.drift)
    controller = torchode.IntegralController(atol=tolerance, rtol=tolerance, term=term)
    start = task.x.flatten(1) * along.alpha(ends[0])
    solver = torchode.AutoDiffAdjoint(torchode.Dopri5(term=term), controller)
    answer = solver.solve(torchode.InitialValueProblem(y0=start, t_eval=ends.expand(len(start), 2)))
    spent = (
        6 * answer.stats["n_steps"].double() + 2
    )  # six a step, one for the first slope, one for the first step's size
    return (answer.ys[:, -1] / along.alpha(ends[1])).reshape(task.x.shape), spent


def measured(task: Task, tolerance: float) -> list[Row]:
    """One row a solver."""
    p = task.problem
    ours = sampling.transport(p.denoiser, task.x, catalogue.probability_flow(tolerance), EDM(), p.high, p.low)
    spent = torch.as_tensor(ours.evals).double()
    rows: list[Row] = []

    def row(solver: str, along: str, steps: str, y: Tensor, mean: float, most: int) -> None:
        said = {"problem": p.name, "tolerance": tolerance, "solver": solver, "along": along, "steps": steps}
        rows.append({**said, "error": rms(y - task.answer), "mean calls": mean, "most": most})

    row("probability_flow", "Angle", "each sample's", ours.y, spent.mean().item(), int(spent.max()))
    if not peers.absent("torchode"):
        y, calls = torchode_along_angle(task, tolerance)
        row("torchode:dopri5", "Angle", "each sample's", y, calls.mean().item(), int(calls.max()))
    for peer in peers.adaptive(tolerance):
        if peer.name in ("torchdiffeq:dopri5", "torchode:dopri5") and not peers.absent(peer.library):
            model = Counted(p.denoiser)
            y = peer.solve(model, task.x, torch.tensor([p.high, p.low], dtype=F64))
            row(
                peer.name,
                "log sigma",
                "the batch's" if "torchdiffeq" in peer.name else "each sample's",
                y,
                float(model.calls),
                model.calls,
            )
    return rows


def main() -> None:
    """Measure, print, store."""
    torch.set_num_threads(1)
    rows = [
        row
        for problem in (gmm2d(), digits())
        for tolerance in TOLERANCES
        for row in measured(Task.of(problem), tolerance)
    ]
    show("Adaptive probability flow", rows)
    save("adaptive_flow", rows, F64)


if __name__ == "__main__":
    main()

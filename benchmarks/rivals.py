"""What other libraries and papers offer for a budget of calls, each choice of sampler and grid run on a problem:
rivals of our own choice."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from scoresde import EDM, Method, catalogue, grids, sampling
from scoresde.compare import peers
from scoresde.compare.problems import Problem, rms
from scoresde.samplers.grids import Grid

F64 = torch.float64
SHORT = {
    grids.karras: "Karras",
    grids.uniform_lambda: "lambda",
    grids.uniform_time: "time",
    grids.quadratic: "quadratic",
}
PAPERS = (
    ("iPNDM", catalogue.ipndm, (2, 3, 4)),
    ("tAB-DEIS", catalogue.deis, (2, 3)),
)  # samplers that no package releases as published


class Errors(NamedTuple):
    """RMS over samples and dimensions, and that of the median sample: near a boundary between data single samples flip
    and rule the first."""

    rms: float
    median: float


class Task(NamedTuple):
    """A problem with its start and its answer."""

    problem: Problem
    x: Tensor
    answer: Tensor

    @classmethod
    def of(cls, problem: Problem, seed: int = 0) -> Task:
        """The start of one seed and where the flow takes it."""
        return cls(problem, problem.start(seed), problem.reference(seed)[0])

    def judge(self, y: Tensor) -> Errors:
        """How far an answer is from the true one."""
        per = (y - self.answer).double().square().flatten(1).mean(1).sqrt()
        pair = Errors(rms(y - self.answer), per.median().item())
        return pair if all(map(math.isfinite, pair)) else Errors(math.inf, math.inf)

    def run(self, method: Method) -> Errors:
        """Of one of our methods."""
        return self.judge(
            sampling.transport(self.problem.denoiser, self.x, method, EDM(), self.problem.high, self.problem.low).y
        )


def released(name: str, grid: Grid) -> bool:
    """Whether a sampler is released with a grid: all with Karras' and uniform lambda, DPM-Solver++, UniPC and DEIS
    with those of VP time too."""
    return SHORT[grid] in ("Karras", "lambda") or any(family in name for family in ("dpmpp", "unipc", "deis", "DEIS"))


def rivals(task: Task, n: int) -> dict[str, Errors]:
    """Errors of every rival at n calls, on every grid that it is released with, by `NAME@GRID`."""
    out: dict[str, Errors] = {}
    one, p = torch.tensor(1.0, dtype=F64), task.problem

    def model(x: Tensor, s: Tensor) -> Tensor:
        return p.denoiser(x, one, s).x0

    for peer, grid in itertools.product(peers.DETERMINISTIC, SHORT):
        if released(peer.name, grid) and not (peers.absent(peer.library) or n % peer.calls):
            levels = torch.exp(-grid(n // peer.calls + 1, -math.log(p.high), -math.log(p.low)))
            out[f"{peer.name}@{SHORT[grid]}"] = task.judge(peer.solve(model, task.x, levels))
    for name, make, orders in PAPERS:
        for order, grid in itertools.product(orders, SHORT):
            if released(f"{name}-{order}", grid):
                out[f"{name}-{order}@{SHORT[grid]}"] = task.run(make(n, order, grid))
    return out


def geometric(values: list[float]) -> float:
    """Geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))

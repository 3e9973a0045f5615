"""The sampler explorer: one page of HTML that holds stored runs of several samplers on three problems.

The denoisers are exact, so that the converged flow of the same noise is known and no network is trained. The page asks
for nothing outside itself.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from torch import Tensor

from scoresde import VPSDE, Method, catalogue, exact, recommended, sample
from scoresde.compare.problems import rms
from scoresde.data import digits, moons
from scoresde.data.toys import ring
from scoresde.evaluation.distances import floor, sliced
from scoresde.samplers.sampling import trajectory
from scoresde.storage.files import versions, write_whole

TEMPLATE = Path(__file__).with_name("explorer.html.j2")
RUNS = re.compile(r'<script type="application/json" id="runs">(.*?)</script>', re.S)
CALLS = (3, 5, 10, 20, 50)
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
SEED = 0  # of the noise that every method starts from
MOST_STATES = 21  # of a run that are stored; of more levels these are picked evenly
UNIT = 4000  # steps of the stored whole numbers in one unit of the plane
EDGE = 8.0  # points further out are stored as here
CONVERGED = 1e-7  # tolerance of the flow that errors are measured from


@dataclass(frozen=True)
class Problem:
    """A law with its exact denoiser.

    name, title, about  as the page says them
    denoiser            exact, counted as trained along VPSDE()
    shape               of one sample
    shown               samples that are drawn
    judged              samples that the figures are over
    """

    name: str
    title: str
    about: str
    denoiser: exact.GaussianMixture
    shape: tuple[int, ...]
    shown: int
    judged: int

    @property
    def plane(self) -> bool:
        """Whether samples are points of the plane."""
        return self.shape == (2,)

    def draw(self, n: int, seed: int) -> Tensor:
        """Exact samples, (n, *shape)."""
        return self.denoiser.sample(n, seed).reshape(n, *self.shape)


@dataclass(frozen=True)
class Choice:
    """A line of the catalogue.

    name       there, or "recommended"
    title      on the page
    arguments  (budget, eta, standard deviation of the data) -> arguments of the line
    etas       that are offered; none where there is no such argument
    budgets    numbers of calls, or tolerances
    """

    name: str
    title: str
    arguments: Callable[[float, float, float], tuple[float, ...]] = lambda n, eta, unit: (int(n),)
    etas: tuple[float, ...] = ()
    budgets: tuple[float, ...] = CALLS

    def method(self, problem: Problem, budget: float, eta: float) -> tuple[Method, str]:
        """The method, and the Python that makes it."""
        if self.name == "recommended":
            return recommended(problem.denoiser, int(budget)), f"recommended(denoiser, {int(budget)})"
        given = self.arguments(budget, eta, round(problem.denoiser.moments.scale, 2))
        return catalogue.all_methods()[self.name](*given), f"catalogue.{self.name}({', '.join(map(repr, given))})"

    def described(self) -> dict[str, Any]:
        """As the page needs it, with what the docstring says first."""
        if self.name == "recommended":
            about = " ".join(_paragraphs(recommended)[:2])
        else:
            about = _paragraphs(catalogue.all_methods()[self.name])[0]
        adaptive = self.budgets == TOLERANCES
        row = {"name": self.name, "title": self.title, "about": about}
        return {**row, "etas": self.etas, "budgets": self.budgets, "adaptive": adaptive}


METHODS = (
    Choice("recommended", "Recommended"),
    Choice("best", "Best", lambda n, eta, unit: (int(n), unit)),
    Choice("ddim", "DDIM", lambda n, eta, unit: (int(n), eta), etas=(0.0, 0.5, 1.0)),
    Choice("dpm_solver_pp_2m", "DPM-Solver++(2M)", lambda n, eta, unit: (int(n), eta), etas=(0.0, 1.0)),
    Choice("unipc", "UniPC"),
    Choice("edm_heun", "Heun (EDM)", lambda n, eta, unit: (int(n + 1) // 2,)),  # of n levels, 2n - 1 calls
    Choice("euler_maruyama", "Euler-Maruyama"),
    Choice("probability_flow", "Adaptive Dormand-Prince", lambda tol, eta, unit: (tol,), budgets=TOLERANCES),
)


@cache
def problems() -> tuple[Problem, ...]:
    """The three laws."""
    process = VPSDE()
    eight = exact.GaussianMixture(ring().means, 0.1**2, process=process)
    arcs = exact.Empirical(moons(300).x, 0.05, process)
    written = exact.Empirical(digits().x, 0.15, process)
    return (
        Problem("mixture", "Mixture", "Eight Gaussians of standard deviation 0.1 on a circle.", eight, (2,), 200, 1000),
        Problem("moons", "Moons", "300 points of two half circles, each a Gaussian of 0.05.", arcs, (2,), 200, 600),
        Problem("digits", "Digits", "1797 handwritten digits, each a Gaussian of 0.15.", written, (1, 8, 8), 16, 256),
    )


def make(folder: Path) -> Path:
    """Write the page. Its runs are made anew only where this module or the version of the package has changed.

    Args:
        folder: where explorer.html lies; made where it is missing.

    Returns:
        Path of the page.
    """
    path = folder / "explorer.html"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    kept = stored(before)
    rows = [measured(problem) for problem in problems()] if kept is None else kept

    made = {"key": key(), "methods": [choice.described() for choice in METHODS], "problems": rows}
    runs = json.dumps(made, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(runs=runs, version=versions()["scoresde"])
    if page != before:
        write_whole(path, page.encode())
    return path


def key() -> str:
    """Hash of what the runs depend on."""
    return hashlib.sha256(Path(__file__).read_bytes() + versions()["scoresde"].encode()).hexdigest()[:16]


def stored(page: str) -> list[dict[str, Any]] | None:
    """The runs of each problem in a page, where they are still those of `key`."""
    found = RUNS.search(page)
    made = json.loads(found[1]) if found else {}
    return made["problems"] if made.get("key") == key() else None


def measured(problem: Problem) -> dict[str, Any]:
    """All runs of one problem, their states one after the other in `states`."""
    answer = sample(problem.denoiser, (problem.judged, *problem.shape), catalogue.probability_flow(CONVERGED), SEED)
    data = problem.draw(problem.judged, SEED + 1)
    level, noise = next(trajectory(problem.denoiser, (problem.shown, *problem.shape), catalogue.ddim(2), SEED))
    between, spread = floor(sliced, problem.draw, problem.judged, problem.judged, pairs=8, seed=SEED + 2)

    runs: list[dict[str, Any]] = []
    states: list[bytes] = []
    for choice in METHODS:
        for eta in choice.etas or (0.0,):
            for budget in choice.budgets:
                row, frames = run(problem, choice, budget, eta, (level, noise), answer, data)
                runs.append({**row, "eta": eta, "first": len(states)})
                states += [packed(problem, frame) for frame in frames]

    shown = {"exact": encoded([packed(problem, answer[: problem.shown])]), "states": encoded(states)}
    if problem.plane:
        shown["means"] = encoded([problem.denoiser.means.numpy().astype("<f4").tobytes()])
    else:
        shown["data"] = encoded([packed(problem, data[: problem.shown])])

    return {
        "name": problem.name,
        "title": problem.title,
        "about": problem.about,
        "plane": problem.plane,
        "shown": problem.shown,
        "judged": problem.judged,
        "unit": UNIT,
        "variance": float(problem.denoiser.variances[0, 0]),
        "range": [float(level), float(VPSDE().lam(VPSDE().t_min))],
        "floor": [_short(between), _short(spread)],
        "runs": runs,
        **shown,
    }


def run(
    problem: Problem,
    choice: Choice,
    budget: float,
    eta: float,
    start: tuple[Tensor, Tensor],
    answer: Tensor,
    data: Tensor,
) -> tuple[dict[str, Any], list[Tensor]]:
    """One method at one budget: its figures and its states, the last of which are samples.

    Args:
        problem: the law.
        choice: the method.
        budget: calls or a tolerance.
        eta: noise; 0 where the method has no such argument.
        start: level and state at the beginning of the range, where a method may begin later.
        answer: of the converged flow for the same noise, (judged, ...).
        data: exact samples, (judged, ...).
    """
    method, code = choice.method(problem, budget, eta)
    made, calls = counted(problem, method)
    path = list(trajectory(problem.denoiser, (problem.shown, *problem.shape), method, SEED, dtype=torch.float32))
    adaptive = method.n is None
    levels, states = common(path, start[0]) if adaptive else ([float(lam) for lam, _ in path], [x for _, x in path])
    stepped = [] if adaptive else [round(lam, 3) for lam in levels]
    if levels[0] > start[0] + 1e-6:  # a frame carried the noise to here in closed form
        levels, states = [float(start[0]), *levels], [start[1], *states]

    kept = np.linspace(0, len(levels) - 1, min(len(levels), MOST_STATES)).round().astype(int).tolist()
    row = {
        "method": choice.name,
        "budget": budget,
        "calls": round(calls, 1),
        "error": None if method.stochastic else _short(rms(made - answer)),
        "law": _short(sliced(made, data)),
        "levels": stepped,
        "at": [round(levels[i], 3) for i in kept],
        "code": code,
    }
    return row, [*(states[i] for i in kept), made[: problem.shown]]


def counted(problem: Problem, method: Method) -> tuple[Tensor, float]:
    """Samples, and the calls of the denoiser that one of them took."""
    rows: list[int] = []
    hook = problem.denoiser.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    try:
        made = sample(problem.denoiser, (problem.judged, *problem.shape), method, SEED, dtype=torch.float32)
    finally:
        hook.remove()
    return made, sum(rows) / problem.judged


def common(path: list[tuple[Tensor, Tensor]], first: Tensor) -> tuple[list[float], list[Tensor]]:
    """States at levels that all samples share, straight between those of each sample's own steps."""
    count = len(path[0][1])
    own = np.stack([lam.expand(count).numpy() for lam, _ in path], 1)  # (samples, steps)
    flat = np.stack([x.flatten(1).numpy() for _, x in path], 1)  # (samples, steps, numbers)
    ends = np.arctan(np.array([float(first), own.max()]) / 2)
    levels = 2 * np.tan(np.linspace(ends[0], ends[1], MOST_STATES))  # dense where samples move

    at = np.stack([[np.interp(levels, lam, column) for column in x.T] for lam, x in zip(own, flat, strict=True)])
    states = torch.from_numpy(at).permute(2, 0, 1).reshape(len(levels), *path[0][1].shape)
    return levels.tolist(), list(states)


def packed(problem: Problem, x: Tensor) -> bytes:
    """Points as 16-bit whole numbers, images as bytes."""
    if problem.plane:
        return (x.double().clamp(-EDGE, EDGE) * UNIT).round().numpy().astype("<i2").tobytes()
    return ((x.double().clamp(-1, 1) + 1) * 127.5).round().numpy().astype("u1").tobytes()


def encoded(parts: list[bytes]) -> str:
    """Bytes as base64."""
    return base64.b64encode(b"".join(parts)).decode()


def _short(value: float) -> float:
    """Three figures."""
    return float(f"{value:.3g}")


def _paragraphs(thing: Any) -> list[str]:
    return [" ".join(part.split()) for part in (inspect.getdoc(thing) or "").split("\n\n")]

"""Measurement of one row for each (problem, method, cost, seed): the cost and the error. Each row is stored at once.

A deterministic method is judged by the RMS distance of its states from the reference solution of the same starts; a
stochastic one by the distance of its samples from exact ones (sliced W2, energy, MMD, Frechet, with intervals and the
floor of two exact sets). If the data are Gaussian and the method is affine, its samples are Gaussian too, and their
exact W2 from the data is part of the row (`affine_laws`). Model calls are counted at the model, as rows evaluated per
sample, in the same way for all libraries. Rows are appended to rows.jsonl; a comparison that was stopped continues
there.
"""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from solvers import SolveError

from ..denoisers.exact import Gaussian
from ..evaluation import affine_laws, distances
from ..runs.own_code import allow_code, is_allowed
from ..runtime.distributed import safe_path
from . import peers
from .cases import distances_of
from .cases import floor as floor
from .cases import forget as forget
from .cases import model as model
from .cases import problem as problem
from .cases import reference as reference
from .competitors import OURS, Entry, Solve, entry, is_file
from .problems import Problem, rms
from .rows import Asked, ExactLaw, Judged
from .rows import Row as Row
from .store import Store
from .watching import environment, watched

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True)
class Task:
    """One row to be measured.

    source  name of a shared problem, or folder of a run or pipeline
    method  name of the method
    cost    budget of model calls per sample; for an adaptive method its tolerance
    seed    of the starts and of the noise
    device  device of the model
    """

    source: str
    method: str
    cost: float
    seed: int
    device: str = "cpu"

    @property
    def key(self) -> tuple[Any, ...]:
        """The key by which a row is found."""
        return (self.source, self.method, self.cost, self.seed, self.device, model(self.source, self.device))


def tasks(
    sources: Iterable[str],
    methods: Iterable[str],
    budgets: Iterable[int],
    seeds: int,
    device: str = "cpu",
) -> Iterator[Task]:
    """All tasks of a comparison. Methods of libraries that are not installed are left out.

    Args:
        sources: names of problems, or run folders.
        methods: names of methods.
        budgets: model calls per sample; adaptive methods run at `TOLERANCES` instead.
        seeds: number of seeds, counted from 0.
        device: device of the models.
    """

    budgets = tuple(budgets)
    chosen = [e for e in map(entry, methods) if e.family == OURS or not peers.absent(e.family)]

    for source in sources:
        for each in chosen:
            for cost in TOLERANCES if each.adaptive else budgets:
                for seed in range(seeds):
                    yield Task(source, each.name, float(cost), seed, device)


def measure(task: Task) -> Row:
    """Run one task and return its row. If the method fails, the row holds the reason."""
    case = problem(task.source, task.device)
    competitor = entry(task.method)
    row: Asked = {
        "problem": task.source,
        "method": task.method,
        "family": competitor.family,
        "stochastic": competitor.stochastic,
        "cost": task.cost,
        "adaptive": competitor.adaptive,
        "seed": task.seed,
        "device": task.device,
        "dtype": "float64",
        "model": model(task.source, task.device),
    }
    solve = competitor.bind(task.cost)
    if solve is None:
        tuned = is_file(task.method)
        return {**row, "failed": "it was tuned for another budget" if tuned else "the budget buys no step"}

    x = case.start(task.seed, case.judged if competitor.stochastic else case.n).to(task.device)

    try:
        solve(case, x[:2], task.seed)  # imports and first calls are not timed
        y, spent = watched(case, lambda: solve(case, x, task.seed), len(x), task.device)
    except (SolveError, ValueError, RuntimeError, ArithmeticError) as error:
        return {**row, "failed": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}

    if not bool(y.isfinite().all()):
        return {**row, **spent, "failed": "not finite"}

    found = _law(case, task, y.cpu()) if competitor.stochastic else _path(task, y.cpu())

    law = _exact(case, competitor, solve, task.device)

    return {**row, **spent, **found, **law, **environment(competitor.family)}


def _path(task: Task, y: Tensor) -> Judged:
    answer, error = reference(task.source, task.seed, task.device)
    apart = (y - answer).flatten(1)
    median = apart.square().mean(1).sqrt().median().item()
    return {
        "metric": "rms",
        "error": rms(apart),
        "median": median,
        "floor": error,
        "n": len(y),
    }


def _law(case: Problem, task: Task, y: Tensor) -> Judged:
    assert case.draw is not None
    exact = case.draw(case.judged, task.seed + 1000)
    out: dict[str, Any] = {"metric": "sliced W2", "n": len(y)}

    for kind, prefix in distances_of(case).items():
        got = distances.estimate(distances.METRICS[kind], y, exact, blocks=10, floor=floor(task.source)[kind])
        out |= {
            f"{prefix}error": got.value,
            f"{prefix}low": got.low,
            f"{prefix}high": got.high,
            f"{prefix}floor": got.floor,
        }

    return cast(Judged, out)


def _exact(
    case: Problem,
    competitor: Entry,
    solve: Solve,
    device: str,
) -> ExactLaw:
    """The exact W2 of the method's distribution from the data's at the last level, for Gaussian data. It is
    missing if steps are adaptive, another library draws the noise, or a step is not affine."""

    if not isinstance(case.denoiser, Gaussian):
        return {}
    if competitor.adaptive or (competitor.stochastic and competitor.family != OURS):
        return {"law": "sampled"}

    mean, cov = case.denoiser.law()
    eye = torch.eye(len(mean), dtype=torch.float64, device=mean.device)

    try:
        maps = affine_laws.affine(
            lambda x, noise: solve(case, x, noise if competitor.stochastic else 0), len(mean), case.high, device
        )
    except (affine_laws.NotAffine, SolveError):
        return {"law": "sampled"}

    return {
        "law": "exact",
        "w2": affine_laws.w2(maps.law(0 * mean, case.high**2 * eye), (mean, cov + case.low**2 * eye)),
    }


def run(
    todo: Iterable[Task],
    store: Store,
    jobs: int = 1,
    report: Callable[[Row], None] | None = None,
) -> None:
    """Measure the rows that the store does not have, on `jobs` processes of one thread each. If it is interrupted,
    finished rows are kept.

    Args:
        todo: the tasks.
        store: the rows measured before; new rows are added to it.
        jobs: number of processes.
        report: called with every new row, or None.
    """
    have = store.done
    named = {found[:-1] for found in store.done}
    left = [task for task in todo if task.key not in have]
    other = sorted({task.source for task in left if task.key[:-1] in named})
    if other:
        warnings.warn(f"{store.path} has rows of another model named {', '.join(other)}; measured again", stacklevel=2)

    for row in _rows(left, jobs):
        store.add(row)
        if report is not None:
            report(row)


def _rows(left: list[Task], jobs: int) -> Iterator[Row]:
    if jobs == 1:
        yield from map(measure, left)
        return

    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    for source, seed, device in sorted({(t.source, t.seed, t.device) for t in left if not entry(t.method).stochastic}):
        reference(source, seed, device)  # once, into the cache; not in every process

    given: set[int] = set()

    with safe_path():  # here the pool starts its helper process and its workers
        pool = ProcessPoolExecutor(jobs, get_context("spawn"), _alone)
        futures = [pool.submit(_measured, task, is_allowed()) for task in left]

    try:
        for done in as_completed(futures):
            given.add(id(done))
            yield done.result()
    except KeyboardInterrupt:
        pool.shutdown(cancel_futures=True)  # running tasks finish, and their rows are kept
        yield from (f.result() for f in futures if f.done() and not f.cancelled() and id(f) not in given)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _measured(task: Task, code: bool) -> Row:
    """Measure one row in a worker, which may run the user's own network code if its parent may."""
    with allow_code(code):
        return measure(task)


def _alone() -> None:
    """Set up a worker: one thread, and Ctrl-C is left to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def missing(methods: Iterable[str]) -> list[str]:
    """Those of `methods` whose library is not installed."""
    chosen: list[Entry] = [entry(m) for m in methods]
    return [e.name for e in chosen if e.family != OURS and peers.absent(e.family)]

"""The command that compares methods: compare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ..storage.ownership import MARKER, writing
from .common import AllowCode, Device, UsageError, bar, command, console, positive, reachable, usable
from .failures import fitting

METHODS = (
    "best,ddim,edm_heun,dpm_solver_pp_2m,unipc,probability_flow,"
    "diffusers:unipc_3@quadratic,k-diffusion:lms@quadratic,azula:vAB_3@quadratic,torchdiffeq:dopri5"
)

_MOST_ROWS = 100_000


def compare(
    run: Annotated[
        Path | None, typer.Argument(help="a run, or the folder of a diffusers pipeline; without it, shared problems")
    ] = None,
    problem: Annotated[
        str, typer.Option(help="gaussian3, mixture1d, gmm2d, digits, patches, mixture3072; several by commas")
    ] = "gmm2d,digits",
    methods: Annotated[
        str, typer.Option(help="NAME or LIBRARY:NAME, then @karras, @lambda, @time or @quadratic; 'all' lists names")
    ] = METHODS,
    budgets: Annotated[
        str, typer.Option(help="model calls; adaptive methods run at tolerances 1e-2 to 1e-5 instead")
    ] = "5,10,20,50",
    seeds: Annotated[int, typer.Option(help="starts per figure; from two on, curves have intervals over them")] = 1,
    jobs: Annotated[int, typer.Option(help="processes, of one thread each")] = 1,
    out: Annotated[
        Path,
        typer.Option(help="folder for rows, pictures and report; one that holds rows is taken up where it stopped"),
    ] = Path("runs/compare"),
    score_error: Annotated[
        float, typer.Option(help="split the error of shared problems with a score that errs by this much; 0: no split")
    ] = 0.0,
    device: Device = "cpu",
    allow_code: AllowCode = False,
) -> None:
    """Compare methods, ours and those of other libraries: their error for given numbers of model calls, and seconds.

    Example: scoresde compare --problem gmm2d --methods ddim,unipc,diffusers:unipc_3 --budgets 5,10,20
    \f
    Args:
        run: folder of a run or of a diffusers pipeline; None: shared problems.
        problem: names of shared problems, separated by commas.
        methods: names of methods, separated by commas; `all` prints the names and measures nothing.
        budgets: numbers of model calls, separated by commas.
        seeds: number of seeds per figure, 1 or more.
        jobs: processes, 1 or more; 1 on a GPU.
        out: folder of rows, pictures and report, new or written by this command.
        score_error: largest error of a perturbed score, for splitting the error into its sources; 0: no split.
        device: cpu, cuda or cuda:NUMBER.
        allow_code: whether a network of the user's own may be imported and run.
    """

    from ..compare import drawing, figures, page, runner
    from ..compare.competitors import names
    from ..compare.store import Store, key

    if methods == "all":
        console().print(", ".join(sorted(names())))
        return

    for name, value in (("seeds", seeds), ("jobs", jobs)):
        positive(name, value)

    if device != "cpu" and jobs > 1:
        raise UsageError(f"`--jobs` must be 1 on {device}, got {jobs}")

    chosen = _words("methods", methods)
    calls = [_whole(word) for word in _words("budgets", budgets)]
    sources = [str(run)] if run is not None else _words("problem", problem)
    place = usable(device)
    _check_count(len(sources), chosen, calls, seeds)
    runner.forget()

    with fitting(f"a comparison on {', '.join(sources)}", "take a smaller --problem or model"):
        _check_sources(run, sources, chosen)

    if not any(True for _ in runner.tasks(sources, chosen, calls, 1, place)):
        raise UsageError(f"`--methods` must name something installed, got {methods}")

    skipped = runner.missing(chosen)
    _check_folder(out)

    for name in skipped:
        console().print(f"skipped {name}: its library is not installed")

    remedy = "take fewer --jobs, or a smaller --problem or model"

    with writing(out, command()), fitting(f"a comparison on {', '.join(sources)}", remedy):
        _check_folder(out)
        todo = list(runner.tasks(sources, chosen, calls, seeds, place))
        store = Store(out)
        _measure(todo, store, jobs, out)
        keys = {task.key for task in todo}
        rows = [row for row in store.rows if key(row) in keys]
        every = figures.panels(rows)

        for panel in every:
            console().print(figures.table(panel))

        if every:
            drawing.picture(every, out / "compare.png")

        parts = _split(
            run,
            sources,
            chosen,
            calls,
            score_error,
            out,
        )
        page.write(
            out / "report.html",
            every,
            rows,
            skipped,
            command(),
            parts,
        )

    console().print(
        ", ".join(str(out / name) for name in ("report.html", "compare.png", "rows.jsonl") if (out / name).exists())
    )


def _check_folder(out: Path) -> None:
    from ..compare.store import ours

    reachable(out)
    held = [path.name for path in out.iterdir() if path.name != MARKER] if out.is_dir() else []
    if (out.exists() and not out.is_dir()) or (held and not ours(out / "rows.jsonl")):
        raise UsageError(f"`--out` must be a new folder or one that compare wrote, got {out}")


def _check_count(
    sources: int,
    methods: list[str],
    calls: list[int],
    seeds: int,
) -> None:
    """Raise UsageError if there are more rows than can be measured."""
    from ..compare.competitors import entry
    from ..compare.runner import TOLERANCES

    costs = [len(TOLERANCES) if entry(name).adaptive else len(calls) for name in methods]
    count = sources * sum(costs) * seeds
    if count > _MOST_ROWS:
        raise UsageError(
            f"`--seeds` must leave at most {_MOST_ROWS:,} rows, got {seeds:,}, which make {count:,}; take fewer,"
            " or fewer --budgets"
        )


def _measure(
    todo: list[Any],
    store: Any,
    jobs: int,
    out: Path,
) -> None:
    from ..compare import runner

    done = store.done

    with bar("comparing", sum(task.key not in done for task in todo)) as advance:

        def step(_: object) -> None:
            advance(1)

        try:
            runner.run(todo, store, jobs, step)
        except KeyboardInterrupt:
            console().print(
                f"stopped; {len(store.rows)} rows are kept in {out}, and the same command goes on from there"
            )
            raise


def _split(
    run: Path | None,
    sources: list[str],
    methods: list[str],
    calls: list[int],
    size: float,
    out: Path,
) -> Path | None:
    """Draw the sources of the error, a bar per deterministic method, for a run or a perturbed score, if possible."""
    from ..compare import drawing, runner, trained
    from ..compare.competitors import entry

    if run is None and size == 0.0:
        return None

    case = runner.problem(sources[0])
    if case.draw is None:
        return None

    if run is None:
        model = trained.perturbed(case, size)
        truth = case.denoiser
    else:
        model = case
        truth = trained.ideal(run, case.low)

    budget = sorted(calls)[len(calls) // 2]
    absent = runner.missing(methods)
    fixed = [
        e.name
        for e in map(entry, methods)
        if not (e.stochastic or e.adaptive or e.name in absent or e.bind(budget) is None)
    ]
    if not fixed:
        return None

    drawing.bars(
        trained.split(model, truth, fixed, budget), f"{Path(sources[0]).name} at {budget} calls", out / "split.png"
    )

    return out / "split.png"


def _check_sources(run: Path | None, sources: list[str], methods: list[str]) -> None:
    from solvers import check

    from .. import tuning
    from ..compare import problems
    from ..compare.competitors import entry
    from ..compare.runner import problem
    from ..interop import models

    if run is not None:
        blind = problem(str(run)).draw is None  # reports a fault of the folder before anything is measured
        if drawn := [name for name in methods if blind and entry(name).stochastic]:
            raise UsageError(
                f"`--methods` must be deterministic for a model whose data are not known, got {', '.join(drawn)}"
            )

        for name in methods:
            if name.endswith(".json"):
                tuning.load(name, models.load(run).denoiser)  # warns if it was tuned on another model
        return

    for name in sources:
        check.choice("problem", name, problems.all_problems())


def _words(name: str, text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError(f"`--{name}` must name at least one, got {text!r}")
    return list(dict.fromkeys(words))


def _whole(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", word) or not 1 <= int(word) <= 100_000:
        raise UsageError(f"`--budgets` must be whole numbers of model calls from 1 to 100000, got {word!r}")
    return int(word)

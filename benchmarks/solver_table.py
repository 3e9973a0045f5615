"""Write docs/solvers.md from the solver classes: `python -m benchmarks.solver_table`."""

from __future__ import annotations

import inspect
from pathlib import Path

import solvers
from benchmarks.common import refilled
from solvers import Compiled, ExpAdams, ExpAdamsPC, Noise, Solver, Table

PAGE = Path(__file__).parents[1] / "docs" / "solvers.md"
HEAD = """# Solvers

Generated from the classes by `python -m benchmarks.solver_table`; a test compares. Order: convergence of the state
for an ODE (the rate h^order). Strong order: of the mean-square error on one Brownian path, for the noise named;
Euler-Maruyama and both exponential Adams methods reach 1 or more where noise is additive. Calls: evaluations of f per
step on a fixed grid. Noise: the most general kind the solver takes, and the sense in which it reads diagonal noise;
H: it needs the space-time Levy area. Embedded: order of the error estimate that lets `Adaptive` choose the steps.

| solver | what it is | order | strong | calls | noise | embedded | reference |
|---|---|---|---|---|---|---|---|
"""


def examples() -> list[Solver]:
    """One object of every solver class that `solvers` exports, by module and order."""
    classes = [
        c
        for _, c in inspect.getmembers(solvers, inspect.isclass)
        if issubclass(c, Solver) and not (inspect.isabstract(c) or c is Compiled)
    ]
    given = {ExpAdams: (3,), ExpAdamsPC: (3,), Table: (((0.0, 1.0),),)}
    made = [c(*given.get(c, ())) for c in classes]
    modules = ["runge_kutta", "exponential", "adams", "table", "sde_additive", "sde_diagonal"]
    return sorted(made, key=lambda s: (modules.index(type(s).__module__.split(".")[-1]), s.order, type(s).__name__))


def row(s: Solver) -> str:
    """One line of the table."""
    first = (
        (inspect.getdoc(type(s)) or "").split("\n\n")[0].replace("\n", " ").replace("|h|", "abs(h)").replace("|", "\\|")
    )
    order = (
        "none"
        if isinstance(s, Table)
        else "1 to 4, plus 1"
        if isinstance(s, ExpAdamsPC)
        else "1 to 4"
        if isinstance(s, ExpAdams)
        else str(s.order)
    )
    noise = (
        "none"
        if s.noise is Noise.NONE
        else s.noise.name.lower() + (f", {s.sense.value}" if s.sense else "") + (", H" if s.needs_levy_area else "")
    )
    strong = "" if s.strong_order is None else f"{s.strong_order:g}"
    embedded = "" if s.embedded is None else f"{s.embedded:g}"
    return f"| `{type(s).__name__}` | {first} | {order} | {strong} | {s.evals} | {noise} | {embedded} | {s.reference} |"


def _text() -> str:
    """The whole page."""
    return HEAD + "\n".join(row(s) for s in examples()) + "\n"


def text() -> str:
    """The page, its prose filled."""
    return refilled(_text())


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")

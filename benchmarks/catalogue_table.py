"""Write docs/catalogue.md from the catalogue: `python -m benchmarks.catalogue_table`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import refilled
from scoresde import Method, catalogue
from scoresde.samplers.grids import Tolerance

PAGE = Path(__file__).parents[1] / "docs" / "catalogue.md"
HEAD = """# Catalogue

Generated from `scoresde.samplers.catalogue` by `python -m benchmarks.catalogue_table`; a test compares. Every
published sampler is one line: a process integrated along, a split of its drift, a solver, a grid of noise levels, and
eta (0: the probability flow, 1: the reverse SDE); a few need something done around each step besides. The defaults
are shown; `grid=` and the other arguments change them. Calls: network calls of `sample` at n = 10.

| line | what it is | along | split | solver | grid | eta | around each step | calls at 10 |
|---|---|---|---|---|---|---|---|---|
"""


def brief(thing: Any) -> str:
    """A choice without what it leaves at its default."""
    changed = {f.name: getattr(thing, f.name) for f in fields(thing) if getattr(thing, f.name) != f.default}
    inner = ", ".join(f"{k}={brief(v) if is_dataclass(v) else repr(v)}" for k, v in changed.items())
    return f"{type(thing).__name__}({inner})"


def row(name: str, make: Callable[..., Method]) -> str:
    """One line of the table."""
    arguments = inspect.signature(make).parameters
    method = make(10) if next(iter(arguments)) == "n" else make()
    claim = re.split(r"\n\n(?:Args|Returns|Raises):", inspect.getdoc(make) or "")[0]
    said = claim.replace("\n\n", " ").replace("\n", " ").replace("|", "\\|")
    eta = brief(method.eta) if callable(method.eta) else f"{method.eta:g}"
    wrap = ", ".join(brief(w) for w in method.wrap)
    grid = f"to {brief(method.grid)}" if isinstance(method.grid, Tolerance) else brief(method.grid)
    cells = (
        f"`{name}({', '.join(arguments)})`",
        said,
        brief(method.process),
        method.split.name,
        brief(method.solver),
        grid,
        eta,
        wrap,
    )
    calls = method.calls or ("adaptive" if method.n is None else "the library's own")
    return "| " + " | ".join(cells) + f" | {calls} |"


def _text() -> str:
    """The whole page."""
    return HEAD + "\n".join(row(name, make) for name, make in catalogue.all_methods().items()) + "\n"


def text() -> str:
    """The page, its prose filled."""
    return refilled(_text())


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")

"""What every benchmark shares: fair timing, a table on the screen, rows of JSON with the versions they were measured
with."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def interleaved(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Least seconds of each run, taken in turns so that a busy machine is busy for all of them."""
    best = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def environment(dtype: torch.dtype) -> dict[str, Any]:
    """Versions, threads, commit: what a figure depends on."""
    versions = {}
    for name in ("torch", "numpy", "scipy", "torchsde", "torchdiffeq", "diffusers"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent, check=False
    ).stdout.strip()
    host = {"python": platform.python_version(), "machine": platform.machine(), "threads": torch.get_num_threads()}
    today = datetime.now(UTC).date().isoformat()
    return {"date": today, "versions": versions, **host, "dtype": str(dtype), "commit": commit}


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table; a cell is empty where a row lacks its column."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = [[row.get(name, "") for name in names] for row in rows]
    cells = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in some] for some in values]
    widths = [max(len(n), *(len(c[i]) for c in cells)) for i, n in enumerate(names)]
    print(f"\n{title}")
    for line in [names, *cells]:
        print(
            "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        )


def save(name: str, rows: list[dict[str, Any]], dtype: torch.dtype, **more: Any) -> None:
    """Write rows and environment to results/name.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**environment(dtype), **more, "rows": rows}, indent=1) + "\n")
    print(f"wrote {path.relative_to(RESULTS.parent.parent)}")


def refilled(page: str, width: int = 118) -> str:
    """A Markdown page whose prose is filled anew, lines of at most `width`; tables, code and headings stay as they are.

    Args:
        page: Markdown; a paragraph is a run of lines that begin with none of |, #, <, ! or four spaces.
        width: in characters.

    Returns:
        The same page.
    """
    filled: list[str] = []
    paragraph: list[str] = []
    in_code = False

    def close() -> None:
        if any(len(line) > width for line in paragraph):
            filled.extend(_filled(" ".join(line.strip() for line in paragraph), width))
        else:
            filled.extend(paragraph)
        paragraph.clear()

    for line in page.split("\n"):
        in_code ^= line.startswith("```")
        item = re.match(r"\s*(?:[-*]|\d+\.) ", line) is not None
        if in_code or item or not line.strip() or line.startswith(("|", "#", "<", "!", "    ", "```")):
            close()
            filled.append(line)
        else:
            paragraph.append(line)
    close()
    return "\n".join(filled)


def _filled(text: str, width: int) -> list[str]:
    """Lines of a paragraph, inline code and links kept whole."""
    whole = re.sub(r"`[^`]*`|\[[^\]]*\]\([^)]*\)", lambda found: found[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(whole, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]

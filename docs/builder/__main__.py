"""`python -m docs.builder`: train what the gallery needs, compute the explorer, build the site, check it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from docs.builder import explorer, networks

DOCS = Path(__file__).parents[1]
GENERATED = DOCS / "generated"
SITE = DOCS.parent / "build" / "docs"


def main() -> None:
    """Stop at the first part that fails; say how long each took."""
    start = time.monotonic()
    networks.train_missing()
    said("networks", start)
    forget_old_pictures()
    explorer.make(GENERATED / "explorer")
    said("explorer", start)
    run("-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(SITE))
    said("pages", start)
    run("-m", "pytest", "-q", "-m", "docs", "tests/repository")
    said("checks", start)
    print(f"docs: open {SITE / 'index.html'}")


def forget_old_pictures() -> None:
    """Remove what scripts drew with another package or other networks: sphinx-gallery looks at the scripts alone."""
    drawn_with = GENERATED / "drawn_with"
    now = networks.sources(DOCS.parent / "scoresde", DOCS.parent / "solvers") + networks.stamps()
    if not drawn_with.exists() or drawn_with.read_text() != now:
        for folder in ("learn", "gallery", "explorer"):
            shutil.rmtree(GENERATED / folder, ignore_errors=True)
        GENERATED.mkdir(exist_ok=True)
        drawn_with.write_text(now)


def run(*arguments: str) -> None:
    """A Python of this environment; its failure ends the build."""
    done = subprocess.run([sys.executable, *arguments], cwd=DOCS.parent, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def said(what: str, start: float) -> None:
    """How far it is."""
    print(f"docs: {what} done after {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()

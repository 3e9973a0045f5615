"""The page of stored benchmarks: what was measured when, at which commit, on what, its picture, and the command that
repeats it."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
STORED = ROOT / "benchmarks" / "results"
SCRIPTS = ROOT / "benchmarks"
DPI = 110
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Curves:
    """y against x, one curve for each value of `by`: geometric means over what else differs.

    Args:
        x: key of the abscissa.
        y: key of the ordinate.
        by: key whose values are the curves; None: one curve.
        curves: those that are drawn; empty: all.
        rows: key of the rows in the file.
        only: keys and values that a row must have.
    """

    x: str
    y: str
    by: str | None = None
    curves: tuple[str, ...] = ()
    rows: str = "rows"
    only: tuple[tuple[str, Any], ...] = ()

    def draw(self, ax: Any, rows: Rows) -> None:
        """Both axes are logarithmic."""
        curves: dict[Any, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            curves[row[self.by] if self.by else self.y][float(row[self.x])].append(float(row[self.y]))
        for name in self.curves or curves:
            points = curves[name]
            x = sorted(points)
            ax.plot(x, [geometric_mean(points[value]) for value in x], "o-", ms=3, label=str(name))
        ax.set(xlabel=self.x, ylabel=self.y, xscale="log", yscale="log")
        ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))


@dataclass(frozen=True)
class Bars:
    """One bar for each row.

    Args:
        label: keys whose values name a bar.
        y: key of its length.
        line: where a dashed line stands, such as the target; None: none.
        rows: key of the rows in the file.
        only: keys and values that a row must have.
    """

    label: tuple[str, ...]
    y: str
    line: float | None = None
    rows: str = "rows"
    only: tuple[tuple[str, Any], ...] = ()

    def draw(self, ax: Any, rows: Rows) -> None:
        """Horizontal, the first row on top."""
        names = [", ".join(str(row[key]) for key in self.label) for row in rows]
        places = range(len(rows))
        ax.barh(places, [float(row[self.y]) for row in rows], height=0.6)
        ax.set_yticks(places, names, fontsize=8)
        ax.invert_yaxis()
        ax.set_xlabel(self.y)
        if self.line is not None:
            ax.axvline(self.line, ls="--", color="0.4", lw=1)


CHOSEN = ("ddim@quadratic", "edm_heun@karras", "dpm_solver_pp_2m@quadratic", "unipc@quadratic", "best")
PICTURES: dict[str, Curves | Bars] = {
    "adaptive": Bars(("method", "tol"), "of RK45", line=1.0),
    "adaptive_flow": Bars(("solver", "along", "tolerance"), "mean calls", only=(("problem", "gmm2d"),)),
    "adaptive_sde": Bars(("problem", "tol"), "variance ratio", line=1.0),
    "conditioned": Bars(("network", "measured", "calls"), "ratio", line=1.0),
    "ddpm_digits": Curves("calls", "frechet", "sampler"),
    "first_light": Bars(("solver", "equation"), "calls_mean"),
    "gpu": Bars(("run",), "of bare calls", line=1.0, only=(("case", "U-Net 256 x 3 x 64 x 64"),)),
    "guidance_audit": Curves("scale", "Frechet", rows="digits"),
    "last_call": Curves("calls", "recommended, ratio", "set"),
    "ode_problems": Bars(("problem", "method"), "ratio", line=1.0),
    "overhead": Bars(("run",), "of hand-written", line=1.0),
    "posterior_audit": Bars(("method", "d_y"), "over the floor", rows="mixture"),
    "predicts": Bars(("data", "predicts"), "energy/floor", line=1.0),
    "recommended_exact": Curves("calls", "recommended/oracle", "set"),
    "recommended_trained": Curves("calls", "recommended/oracle", "set"),
    "shapes": Bars(("set",), "C2ST", line=0.5),
    "strong_error": Curves("steps", "strong error", "method", only=(("mixture", "overlapping"),)),
    "training_digits_30min": Bars(("objective",), "frechet"),
    "training_digits_6min": Bars(("objective",), "frechet"),
    "training_speed": Bars(("problem",), "ratio", line=1.0),
    "tuning_exact": Bars(("problem", "calls"), "tuned/best", line=1.0),
    "tuning_first": Bars(("line", "problem"), "ratio", line=1.0, only=(("calls", 10),)),
    "tuning_transfer": Bars(("where",), "ratio", line=1.0),
    "tuning_trained": Bars(("method", "calls"), "Frechet"),
    "work_precision": Curves("calls", "error", "method", CHOSEN, only=(("family", "scoresde"), ("problem", "gmm2d"))),
}


def rows(folder: Path) -> list[dict[str, Any]]:
    """What the page says of each measurement, newest first; the pictures are written into the folder.

    Args:
        folder: for pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = [row(path.stem, json.loads(path.read_text(encoding="utf-8")), folder) for path in STORED.glob("*.json")]
    return sorted(told, key=lambda about: (about["date"], about["name"]), reverse=True)


def row(name: str, content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Of one measurement: its name, date, commit, machine, threads, command, picture, and what its file holds.

    Args:
        name: of the measurement.
        content: of its file.
        folder: for its picture.
    """
    return {
        "name": name,
        "date": date(name, content),
        "commit": content.get("commit", "not kept"),
        "machine": content.get("device") or content.get("machine", "not kept"),
        "threads": content["threads"],
        "command": command(name),
        "picture": drawn(name, content, folder),
        "holds": [
            key for key, value in content.items() if isinstance(value, list | dict) and value and key != "versions"
        ],
    }


def drawn(name: str, content: dict[str, Any], folder: Path) -> Path | None:
    """The picture of one measurement, if it has one; not drawn again while its file is as old as the picture.

    Args:
        name: of the measurement.
        content: of its file.
        folder: for the picture.
    """
    picture = PICTURES.get(name)
    if picture is None:
        return None
    path = folder / f"{name}.png"
    newest = max((STORED / f"{name}.json").stat().st_mtime, Path(__file__).stat().st_mtime)
    if path.exists() and path.stat().st_mtime > newest:
        return path

    kept = [each for each in content[picture.rows] if suits(each, picture)]
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}):
        height = 3.2 if isinstance(picture, Curves) else 1.0 + 0.22 * len(kept)
        fig, ax = plt.subplots(figsize=(7, height), layout="constrained")
        picture.draw(ax, kept)
        fig.savefig(path, dpi=DPI)
        plt.close(fig)
    return path


def suits(row: dict[str, Any], picture: Curves | Bars) -> bool:
    """Whether a row is drawn: it has the figure, and is of the part that the picture shows."""
    return row.get(picture.y) is not None and all(row.get(key) == value for key, value in picture.only)


def command(name: str) -> str:
    """The command whose script wrote a file: the script with the longest name that the file's name begins with."""
    runnable = [path.stem for path in SCRIPTS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    scripts = [script for script in runnable if name.startswith(script)]
    return f"python -m benchmarks.{max(scripts, key=len)}"


def date(name: str, content: dict[str, Any]) -> str:
    """When it was measured, as YYYY-MM-DD: as the file says, or else when it was last committed."""
    if "date" in content:
        return content["date"]
    asked = ["git", "log", "-1", "--format=%as", "--", str(STORED / f"{name}.json")]
    said = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()
    return said or "not known"

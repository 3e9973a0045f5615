"""Pages of reference that the code writes: the functions of each room, the command line, the keys of a configuration,
and the stored results."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import jinja2
import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

import scoresde
from docs.builder import results
from docs.builder.docstrings import escaped
from scoresde.cli import running
from scoresde.runs import config as configuration

TEMPLATES = Path(__file__).parent / "templates"
ROOMS = {
    "processes": "Processes",
    "denoisers": "Denoisers",
    "samplers": "Samplers, grids and methods",
    "guidance": "Guidance",
    "inverse": "Inverse problems",
    "tuning": "Tuning",
    "evaluation": "Evaluation",
    "networks": "Networks",
    "data": "Data",
    "training": "Training",
    "latent": "Latents",
    "runs": "Runs",
    "interop": "diffusers, both ways",
    "compare": "Comparisons",
}
SECTIONS = {
    "data": configuration.DataConfig,
    "network": configuration.NetworkConfig,
    "training": configuration.Training,
    "record": configuration.Record,
    "latent": configuration.LatentConfig,
    "cascade": configuration.CascadeConfig,
}
NAMED = {
    "process": configuration.PROCESSES,
    "loss": configuration.LOSSES | configuration.OWN_LOSSES,
    "levels": configuration.LEVELS,
}


def write(folder: Path) -> None:
    """All pages, each only where its text has changed, so that a second build is short.

    Args:
        folder: where they lie; `generated` beside the configuration of the site.
    """
    measured = results.rows(folder / "results")
    pages = {
        "results.md": rendered("results.md.j2", rows=measured),
        "cli.md": command_line(),
        "configuration.md": keys(),
        "api/scoresde.rst": rendered(
            "room.rst.j2", package="scoresde", title="scoresde: the main names", names=front_door()
        ),
        "api/solvers.rst": room("solvers", "solvers: equations, solvers, noise"),
    }
    for name, title in ROOMS.items():
        pages[f"api/{name}.rst"] = room(f"scoresde.{name}", title)

    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def rendered(template: str, **content: Any) -> str:
    """A template of `templates/` with its names filled in."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True)  # no HTML is made
    return environment.get_template(template).render(**content)


def room(package: str, title: str) -> str:
    """One page for a package: its own text, then each public module with what it defines."""
    top = importlib.import_module(package)
    found = [info.name for info in pkgutil.walk_packages(top.__path__, f"{package}.") if not info.ispkg]
    public = [name for name in found if not any(part.startswith("_") for part in name.split("."))]
    return rendered("room.rst.j2", package=package, title=title, modules=public)


def front_door() -> list[dict[str, str]]:
    """The classes and functions that `import scoresde` offers, and where each is described."""
    offered = [thing for name, thing in vars(scoresde).items() if not name.startswith("_")]
    ours = [thing for thing in offered if getattr(thing, "__module__", "").startswith("scoresde.")]
    return [
        {
            "role": "class" if isinstance(thing, type) else "func",
            "place": f"{thing.__module__}.{thing.__qualname__}",
            "claim": escaped(" ".join(text_of(thing).split("\n\n")[0].split())),
        }
        for thing in ours
    ]


def command_line() -> str:
    """Every command with its options, as `--help` says it."""
    command = get_command(running.app)
    context = typer.Context(command, info_name="scoresde")
    text = get_docs_for_click(obj=command, ctx=context, name="scoresde", title="The command line")
    return text.replace("<br/>", "")


def keys() -> str:
    """Every key of a configuration with its default, and the text of its section."""
    sections = [{"name": name, "table": table(kind), "text": text_of(kind)} for name, kind in SECTIONS.items()]
    named = [
        {
            "name": section,
            "choices": ", ".join(f"`{name}`" for name in kinds),
            "tables": [{"name": name, "table": table(kind)} for name, kind in kinds.items() if fields(kind)],
        }
        for section, kinds in NAMED.items()
    ]
    return rendered("configuration.md.j2", sections=sections, named=named)


def table(kind: Any) -> list[dict[str, str]]:
    """Name, type and default of each field of a dataclass."""
    return [
        {"name": field.name, "kind": str(field.type).replace("|", r"\|"), "default": default(field)}
        for field in fields(kind)
    ]


def default(field: Field[Any]) -> str:
    """As it would be written."""
    if field.default is not MISSING:
        return repr(field.default)
    return repr(field.default_factory()) if field.default_factory is not MISSING else "none: must be given"


def text_of(thing: Any) -> str:
    """A docstring without the indentation of its later lines."""
    return inspect.getdoc(thing) or ""

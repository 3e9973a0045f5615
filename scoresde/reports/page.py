"""Self-contained HTML pages."""

from __future__ import annotations

import base64
from importlib import resources
from pathlib import Path
from typing import Any

from ..storage.files import write_whole


def save_page(path: Path, template: str = "report.html.j2", **content: Any) -> None:
    """Write a self-contained HTML page from a template.

    Args:
        path: the file.
        template: name of a file in templates/.
        **content: values for the names in the template; a missing name is an error.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = (resources.files("scoresde.reports") / "templates" / template).read_text(encoding="utf-8")
    page = environment.from_string(source).render(**content)
    write_whole(path, page.encode(errors="backslashreplace"))


def embedded(path: Path) -> str:
    """A picture as a data URI."""
    kind = {".png": "image/png", ".gif": "image/gif"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

"""Our docstrings are plain text with formulas; Sphinx reads reStructuredText. Here the first becomes the second."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Example|Examples|Attributes|Note|Reference|References):\s*$")
DEEP = " " * 8  # the text of an argument, beyond its first line
MARKED = re.compile(r"(`+[^`]*`+)")
NAMED = re.compile(r"\w[\w, ]*?  +\S")  # a name and what it means, in columns
SPECIAL = re.compile(r"[*|\\]|_(?=\W|$)")


def as_rest(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Change the lines of one docstring in place: formulas and tables become literal blocks, and signs of mathematics
    lose their meaning as markup.

    Args:
        app: Sphinx.
        what: the kind of the object, such as "class".
        name: its full name.
        thing: the object.
        options: those of the directive.
        lines: of its docstring.
    """
    del app, what, name, thing, options
    out: list[str] = []
    for empty, group in groupby(lines, key=lambda line: not line.strip()):
        paragraph = list(group)
        if empty or paragraph[0].startswith((">>>", "- ")):
            out += paragraph
        elif paragraph[0].startswith(DEEP) and _in_section(out):
            out += [f"{DEEP}::", "", *(f"    {line}" for line in paragraph)]
        elif SECTION.match(paragraph[0]) or (paragraph[0][0] == " " and _in_section(out)):
            out += [escaped(line) for line in paragraph]
        elif any(line[0] == " " for line in paragraph) or all(NAMED.match(line) for line in paragraph):
            out += ["::", "", *(f"    {line}" for line in paragraph)]
        else:
            out += [escaped(line) for line in paragraph]
    lines[:] = out


def escaped(line: str) -> str:
    """A line in which only what stands in backticks is markup."""
    parts = MARKED.split(line)
    for i, part in enumerate(parts):
        parts[i] = f"``{part.strip('`')}``" if i % 2 else SPECIAL.sub(r"\\\g<0>", part)
    return "".join(parts)


def _in_section(before: list[str]) -> bool:
    """Whether what follows belongs to the section begun last: no text at the margin came after its name."""
    margin = [line for line in before if line.strip() and line[0] != " "]
    return bool(margin) and SECTION.match(margin[-1]) is not None

"""Nothing public was lost: names of before are where they were, or in the table of CHANGELOG.md under a new name."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import scoresde
from scoresde import moved

HERE = Path(__file__).parent
NAMES = [tuple(line.split()) for line in (HERE / "public_names.txt").read_text(encoding="utf-8").splitlines()]
CHANGELOG = (HERE.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
GONE = dict(re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", CHANGELOG.split("| name before, gone |")[1], re.M))


def resolved(dotted: str) -> Any:
    """The object of a dotted name: the longest module in it, then attributes."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            found = getattr(found, name)
        return found
    raise AssertionError(dotted)


def test_every_name_of_before_is_accounted_for() -> None:
    assert len(NAMES) > 500
    lost: list[str] = []
    for module, name in NAMES:
        dotted = f"{module}.{name}"
        if dotted in GONE:
            assert resolved(GONE[dotted]) is not None
            continue
        try:
            getattr(importlib.import_module(module), name)
        except (AttributeError, ModuleNotFoundError):
            lost.append(dotted)
    assert lost == []


def test_the_table_names_no_name_that_is_there() -> None:
    """A name that is found where it was is not gone."""
    for dotted in GONE:
        module, _, name = dotted.rpartition(".")
        with pytest.raises((AttributeError, ModuleNotFoundError)):
            getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("old", moved.MODULES)
def test_an_old_module_is_that_of_today(old: str) -> None:
    """The very module where it has one home, so that what is set there is set; else one that looks names up in all."""
    homes = moved.MODULES[old]
    module = importlib.import_module(old)
    if len(homes) == 1:
        assert module is importlib.import_module(homes[0])
        assert module.__spec__ is not None
        assert module.__spec__.name == homes[0]
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


def test_old_names_are_the_new_objects() -> None:
    for home, names in moved.RENAMED.items():
        for old, new in names.items():
            assert getattr(importlib.import_module(home), old).__name__ == new
    with pytest.raises(AttributeError, match="no_such_name"):
        scoresde.no_such_name  # noqa: B018


def test_the_function_keeps_its_name() -> None:
    """`scoresde.doctor` was a module and a function: the function it stays, whatever is imported."""
    importlib.import_module("scoresde.doctor")
    assert callable(scoresde.doctor)

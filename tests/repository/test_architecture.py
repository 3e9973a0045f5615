"""How the code is built, as tests: layers, classes that are abstract or final, solvers that are values."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import pickle
import re
import sys
from abc import ABC
from pathlib import Path

import pytest
import torch

import scoresde
import solvers
from solvers import Equation, SeededNoise, solve
from solvers.solver import Solver
from tests.helpers.equations import noisy, uneven
from tests.helpers.problems import ADAPTERS, F64, MORE_SOLVERS, PROCESSES, SOLVERS, noise

ROOT = Path(solvers.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
every = pytest.mark.parametrize("solver", SOLVERS + MORE_SOLVERS, ids=repr)


def imported(path: Path) -> set[str]:
    """Top-level packages a file imports, at any depth of the code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_solvers_know_nothing_of_diffusion(path):
    """`solvers` imports torch, numpy and the standard library; other libraries in their adapter, scoresde nowhere."""
    allowed = {"torch", "numpy", "solvers"} | ({path.stem} if path.parent.name == "adapters" else set())
    foreign = {name for name in imported(path) if name not in allowed and name not in sys.stdlib_module_names}
    assert not foreign


ROOMS = (
    *(
        "storage",
        "runtime",
        "reports",
        "processes",
        "networks",
        "denoisers",
        "guidance",
        "data",
        "samplers",
        "inverse",
        "evaluation",
        "tuning",
        "latent",
    ),
    *("training", "runs", "interop", "compare", "cli"),
)  # each imports from itself and from those before it
HOUSE = Path(scoresde.__file__).parent
FACE = {"__init__", "__main__", "moved"}


@dataclasses.dataclass(frozen=True)
class Import:
    """An import of our own: from which module, of which one, and whether it is made when the module is."""

    source: str
    target: str
    line: int
    at_once: bool


def modules(house: Path) -> dict[str, Path]:
    """The modules of a package by dotted name, packages by theirs."""
    found: dict[str, Path] = {}
    for path in sorted(house.rglob("*.py")):
        parts = path.relative_to(house.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(house: Path) -> list[Import]:
    """All imports of a package's own modules."""
    known, found = modules(house), []
    for name, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{module}.{alias.name}" if f"{module}.{alias.name}" in known else module
                if target in known:
                    found.append(Import(name, target, node.lineno, node in tree.body))
    return found


def room(module: str) -> str:
    """The room of a module of scoresde; its face for those that lie in none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "face"


def test_few_modules_lie_outside_the_rooms() -> None:
    """And every folder is a room of the list."""
    assert {path.stem for path in HOUSE.glob("*.py")} <= FACE
    assert {path.parent.name for path in HOUSE.glob("*/__init__.py")} == set(ROOMS)


def test_each_room_imports_only_rooms_above_it() -> None:
    wrong = [
        f"{found.source}:{found.line} imports {found.target}"
        for found in imports(HOUSE)
        if room(found.source) != "face"
        and (room(found.target) == "face" or ROOMS.index(room(found.target)) > ROOMS.index(room(found.source)))
    ]
    assert wrong == []


@pytest.mark.parametrize("house", [HOUSE, ROOT], ids=["scoresde", "solvers"])
def test_nothing_is_imported_late(house: Path) -> None:
    """No import of our own within a function or under TYPE_CHECKING: it would hide a circle. The command line may, to
    start fast."""
    heavy = "scoresde.networks"
    seen = [i for i in imports(house) if not i.at_once and i.target != heavy]
    late = [f"{i.source}:{i.line} imports {i.target}" for i in seen if room(i.source) not in ("cli", "face")]
    assert late == []


@pytest.mark.parametrize("house", [HOUSE, ROOT], ids=["scoresde", "solvers"])
def test_no_circle(house: Path) -> None:
    """Modules taken away once all that they import is gone, none is left."""
    needs: dict[str, set[str]] = {name: set() for name in modules(house)}
    for found in imports(house):
        needs[found.source].add(found.target)
    while ready := {name for name, targets in needs.items() if targets <= {name}}:
        needs = {name: targets - ready for name, targets in needs.items() if name not in ready}
    assert sorted(needs) == []


def test_no_test_imports_another() -> None:
    """What two tests share is a helper."""
    shared = re.compile(r"^(?:from|import) tests\.(?!helpers)|^from \.+", re.MULTILINE)
    paths = sorted(Path(__file__).parents[1].glob("*/*.py"))
    assert len(paths) > 90
    assert not [path for path in paths if shared.search(path.read_text(encoding="utf-8"))]


def test_discovery_descends() -> None:
    """What the laws enumerate: a module that is moved or lost changes these counts, which then are to be changed
    knowingly."""
    assert (len(PROCESSES), len(SOLVERS), len(ADAPTERS)) == (10, 30, 3)


def ours() -> list[type]:
    """Every class the two packages define, private ones included."""
    modules = [m for name, m in sys.modules.items() if name.split(".")[0] in ("solvers", "scoresde")]
    return sorted(
        {c for m in modules for c in vars(m).values() if inspect.isclass(c) and c.__module__ == m.__name__}, key=repr
    )


def concrete(cls: type) -> bool:
    """A class that can be instantiated: not abstract, by methods or by saying so."""
    said = (cls.__doc__ or "").lstrip().lower().startswith("abstract")
    return not (inspect.isabstract(cls) or said or ABC in cls.__bases__ or getattr(cls, "_is_protocol", False))


def test_every_class_is_abstract_or_final():
    """No concrete class of ours has a subclass of ours."""
    known = set(ours())
    assert len(known) > 40
    for cls in known:
        parents = [base for base in cls.__mro__[1:] if base in known and concrete(base)]
        if issubclass(cls, Exception):
            continue  # errors are caught by family
        assert not parents, f"{cls} inherits from the concrete {parents}"


def test_no_concrete_method_is_overridden():
    """What an abstract class of ours implements, its subclasses leave alone: a method is found in one place."""
    known = set(ours())
    for cls in known:
        for name, member in vars(cls).items():
            if name.startswith("__") or not (inspect.isfunction(member) or isinstance(member, property)):
                continue
            for base in cls.__mro__[1:]:
                other = vars(base).get(name)
                if base in known and (inspect.isfunction(other) or isinstance(other, property)):
                    assert getattr(other, "__isabstractmethod__", False), (
                        f"{cls.__name__}.{name} overrides {base.__name__}.{name}"
                    )


@every
def test_a_solver_is_a_value(solver):
    """A frozen dataclass without tensors: hashable, equal to its like, and its repr makes it again."""
    assert dataclasses.is_dataclass(solver)
    assert type(solver).__dataclass_params__.frozen
    assert not any(isinstance(getattr(solver, f.name), torch.Tensor) for f in dataclasses.fields(solver))
    again = eval(repr(solver), vars(solvers).copy())
    assert again == solver
    assert hash(again) == hash(solver)
    assert pickle.loads(pickle.dumps(solver)) == solver
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        solver.order = 7


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_a_process_is_a_value(process):
    """The same for processes."""
    assert type(process).__dataclass_params__.frozen
    again = eval(repr(process), vars(scoresde).copy())
    assert again == process
    assert hash(again) == hash(process)


@every
def test_facts_are_declared(solver):
    """Order, evaluations, noise, reference with a year; strong order with noise; a docstring with order and year."""
    assert isinstance(solver.order, int)
    assert solver.order >= 1
    assert isinstance(solver.evals, int)
    assert solver.evals >= 1
    assert (solver.strong_order is not None) == (solver.noise > solvers.Noise.NONE)
    assert (solver.sense is not None) == (solver.noise is solvers.Noise.DIAGONAL)
    assert any(part.isdigit() and len(part) == 4 for part in solver.reference.split())
    assert "order" in type(solver).__doc__.lower()
    assert any(part.strip("(),.;:").isdigit() for part in type(solver).__doc__.split()), "no year in the docstring"


def test_solvers_have_public_names():
    """Every solver found is exported under its own name."""
    for solver in SOLVERS + ADAPTERS:
        home = solvers if isinstance(solver, Solver) else solvers.adapters
        assert getattr(home, type(solver).__name__) is type(solver)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_solvers_hold_no_state(solver):
    """Two interleaved solves with one solver object give what each gives alone."""
    eq, times = noisy(solver), uneven(0.0, 1.0, 6)
    starts = [torch.full((2, 1), v, dtype=F64) for v in (0.2, 0.6)]
    sources = [None if noise(solver) == solvers.Noise.NONE else SeededNoise(s) for s in (1, 2)]
    alone = [solve(eq, y0, solver, times, source).y for y0, source in zip(starts, sources, strict=True)]
    runs = [solvers.iterate(eq, y0, solver, times, source) for y0, source in zip(starts, sources, strict=True)]
    *_, last = zip(*runs, strict=True)
    assert [torch.equal(y, want) for (_, y), want in zip(last, alone, strict=True)] == [True, True]


def test_equations_are_values_too():
    """An equation is frozen; a derived one is made by `dataclasses.replace`."""
    eq = Equation(lambda t, y: -y)
    with pytest.raises(dataclasses.FrozenInstanceError):
        eq.a = 1.0
    assert dataclasses.replace(eq, a=2.0).a == 2.0

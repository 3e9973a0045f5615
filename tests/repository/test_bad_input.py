"""Every row of `bad_inputs`: the type of the error and the argument it names, within a second, before anything is
computed."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from solvers import Equation, Euler, NonFiniteError, solve
from tests.helpers.bad_files import FILES, ground
from tests.helpers.bad_inputs import ACCEPTED, ANSWERS, ARGUMENTS, CALLS, F64, NAN, Case, T

HASTE = 1.0  # seconds of processor time a refusal may take


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What is timed is the refusal, not the first import of a library."""
    for name in ("scipy.integrate", "torchdiffeq", "torchsde"):
        importlib.import_module(name)


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    """Every call of a module, ours or torch's, is noted."""
    CALLS.clear()
    hook = register_module_forward_pre_hook(lambda module, _: CALLS.append(type(module).__name__))
    yield
    hook.remove()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files, to be made bad."""
    return ground(tmp_path_factory.mktemp("ground"))


def refuse(case: Case, *arguments: Path) -> None:
    """The error is of this type, names the argument and comes at once."""
    start = time.process_time()
    with pytest.raises(case.kind, match=case.says):
        case.call(*arguments)
    assert time.process_time() - start < HASTE


def test_every_row_is_here() -> None:
    """Each is refused by the type and the name of its row."""
    rows = {row for row, *_ in (*ARGUMENTS, *ANSWERS, *FILES, *ACCEPTED)}
    assert rows - {0} == set(range(1, 67))


@pytest.mark.parametrize("case", ARGUMENTS, ids=lambda case: case.name)
def test_arguments_are_refused_before_anything_is_computed(case: Case) -> None:
    refuse(case)
    assert not CALLS


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.name)
def test_answers_are_refused(case: Case) -> None:
    refuse(case)


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_files_and_commands_are_refused_before_anything_is_computed(case: Case, folder: Path) -> None:
    CALLS.clear()
    refuse(case, folder)
    assert not CALLS
    assert not (folder / "out").exists()


@pytest.mark.parametrize("call", [call for *_, call in ACCEPTED], ids=[f"{row} {note}" for row, note, _ in ACCEPTED])
def test_what_is_accepted_is_right(call) -> None:
    got, want = call()
    assert torch.equal(got, want)


def test_a_solution_that_broke_is_at_hand() -> None:
    """Rows 34 to 36: the error holds what was reached, strict=False returns it, and says which samples are good."""
    y0 = torch.tensor([[1.0], [-1.0], [2.0]], dtype=F64)
    eq = Equation(lambda t, y: torch.where((y < 0) & (t > 0.4), NAN, y))
    with pytest.raises(NonFiniteError, match=r"step 3 of 4, t = 0.75, in 1 of 3 samples \(first: 1\)") as caught:
        solve(eq, y0, Euler(), T)
    assert caught.value.solution.ok.tolist() == [True, False, True]
    assert solve(eq, y0, Euler(), T, strict=False).ok.tolist() == [True, False, True]

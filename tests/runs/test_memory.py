"""Memory that is refused: one line that names what was too large and the option that makes it smaller, exit code 2."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scoresde import cli, runs
from scoresde.cli.failures import out_of_memory
from scoresde.storage.files import CheckpointError
from tests.helpers.command import one_line, scoresde
from tests.helpers.kill_harness import CONFIG, TOML, points

pytestmark = pytest.mark.processes

TORCH = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:113] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 5"
    " bytes. Error code 12"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, whose data are a named set."""
    folder = tmp_path_factory.mktemp("memory")
    (folder / "c.toml").write_text(TOML.format(data="moons", steps=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scoresde", "train", str(folder / "c.toml"), "--out", str(folder / "run")])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code
    return folder / "run"


@pytest.mark.parametrize(
    ("arguments", "place", "said"),
    [
        (["sample", "RUN"], "scoresde.samplers.sampling.sample", ("a batch of 64 samples", "--batch", "--n")),
        (["sample", "RUN"], "scoresde.interop.models.load", ("the model of", "no option")),
        (
            ["likelihood", "RUN", "--n", "5"],
            "scoresde.evaluation.likelihood.log_likelihood",
            ("the flow of 5 samples", "--batch (now 64)"),
        ),
        (["doctor", "RUN"], "scoresde.evaluation.doctor.doctor", ("an examination of 128 samples", "--n")),
        (["info", "RUN"], "scoresde.runs.load_any", ("the model of", "no option")),
        (["compare", "RUN", "--out", "OUT"], "scoresde.compare.runner.run", ("a comparison on", "--jobs")),
        (
            ["compare", "--out", "OUT"],
            "scoresde.compare.runner.problem",
            ("a comparison on gmm2d, digits", "--problem"),
        ),
        (["train", "CONFIG", "--out", "OUT"], "scoresde.runs.config.Config.dataset", ("the data of", "data.path")),
        (
            ["train", "CONFIG", "--out", "RUN", "--resume"],
            "scoresde.storage.checkpoints.unseal",
            ("the run in", "training.accumulate"),
        ),
    ],
)
@pytest.mark.parametrize("error", [TORCH, MemoryError()], ids=["torch", "python"])
def test_what_was_too_large_is_named(
    error: Exception,
    arguments: list[str],
    place: str,
    said: tuple[str, ...],
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    """Wherever in a command the allocator fails, by torch's error and by Python's."""

    def full(*_: Any, **__: Any) -> None:
        raise error

    if place.endswith("problem"):
        full.cache_clear = lambda: None  # type: ignore[attr-defined]
    if place == "scoresde.evaluation.doctor.doctor":  # the function has the name of its module
        monkeypatch.setattr(sys.modules["scoresde.evaluation.doctor"], "doctor", full)
    else:
        monkeypatch.setattr(place, full)
    named = {"RUN": str(run), "OUT": str(tmp_path / "out"), "CONFIG": str(run.parent / "c.toml")}
    monkeypatch.setattr(sys, "argv", ["scoresde", *(named.get(a, a) for a in arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    told = capsys.readouterr().err
    assert stop.value.code == 2
    assert one_line(told)
    assert all(part in told for part in ("out of memory", *said))


def test_what_led_to_an_error_counts() -> None:
    """A library that could not be mapped, told as another architecture."""
    error = CheckpointError("another architecture")
    error.__cause__ = RuntimeError("Failed to import x")
    assert not out_of_memory(error)
    error.__cause__.__cause__ = ImportError("x.so: failed to map segment from shared object")
    assert out_of_memory(error)


def limited(gigabytes: float) -> Callable[[], None]:
    size = int(gigabytes * 2**30)
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


@pytest.mark.slow
def test_a_batch_beyond_the_limit(tmp_path: Path) -> None:
    """With the kernel's own refusal: 10^7 points at once through a network of 128, in 4 GiB."""
    runs.train(CONFIG, points(), tmp_path / "run", "tests")
    many = ["--n", 10**7, "--batch", 10**7, "--steps", 2, "--out", tmp_path / "x.npz"]
    done = scoresde("sample", tmp_path / "run", *many, preexec_fn=limited(4))
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert "--batch" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("gigabytes", [0.2, 0.4, 0.6, 0.8])
def test_a_limit_that_torch_does_not_fit_in(gigabytes: float, run: Path) -> None:
    """Whatever the import says of it: exit code 2 and one line, or 0 where it fits."""
    done = scoresde("info", run, preexec_fn=limited(gigabytes))
    assert (done.returncode == 2 and one_line(done.stderr)) or (done.returncode, done.stderr) == (0, "")

"""Several processes: what a launcher must set, partners that do not come or stop, and what worker processes import."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scoresde.runtime import distributed
from tests.helpers.command import PLAIN, one_line, started

pytestmark = pytest.mark.processes

PLACES = {"MASTER_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "2.0"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "٢"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "2"}, "RANK"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "x"}, "LOCAL_RANK"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "99999"}, "MASTER_PORT"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "29500", "MASTER_ADDR": ""}, "MASTER_ADDR"),
        ({"SCORESDE_TIMEOUT": "soon"}, "SCORESDE_TIMEOUT"),
    ],
)
def test_a_variable_that_no_launcher_sets_is_named(
    variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything waits."""
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"`{named}`"):
        distributed.init("cpu")


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def ranked(rank: int, port: str) -> dict[str, str]:
    return {
        **PLACES,
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "MASTER_PORT": port,
        "SCORESDE_TIMEOUT": "6",
    }


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A training that does not end by itself."""
    text = (
        "[data]\npath = 'moons'\n[network]\nwidths = [8]\n[training]\nsteps = 1000000\nbatch ="
        " 16\n[record]\nsave = 1000000\nlog = 1\n"
    )
    (tmp_path / "c.toml").write_text(text)
    return tmp_path / "c.toml"


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_partner_that_does_not_come(rank: int, config: Path, tmp_path: Path) -> None:
    """After the time that SCORESDE_TIMEOUT states: exit code 2, one line with that time, no folder."""
    _, error = (
        process := started("train", config, "--out", tmp_path / "run", env=ranked(rank, free_port()))
    ).communicate(timeout=120)
    assert process.returncode == 2
    assert one_line(error)
    assert "the other 1 of 2 processes (WORLD_SIZE) did not come within 6 s (SCORESDE_TIMEOUT)" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_partner_that_stops(stopped: int, config: Path, tmp_path: Path) -> None:
    """SIGSTOP of one of two: the other ends with exit code 2 and one line; so does the stopped one, once it goes on."""
    port = free_port()
    both = [started("train", config, "--out", tmp_path / "run", env=ranked(rank, port)) for rank in range(2)]
    log = tmp_path / "run" / "log.jsonl"
    while not log.exists() or not log.stat().st_size:
        assert [process.poll() for process in both] == [None, None]
        time.sleep(0.1)
    os.kill(both[stopped].pid, signal.SIGSTOP)
    _, error = both[1 - stopped].communicate(timeout=120)
    os.kill(both[stopped].pid, signal.SIGCONT)
    _, later = both[stopped].communicate(timeout=120)
    assert [process.returncode for process in both] == [2, 2]
    assert one_line(error)
    assert one_line(later)
    assert "did not answer within 6 s" in error


@pytest.mark.slow
def test_the_first_process_refuses_for_all(config: Path, tmp_path: Path) -> None:
    """A folder that exists: it says so, the other ends with one line, and neither waits."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "x").write_text("")
    port = free_port()
    both = [started("train", config, "--out", tmp_path / "run", env=ranked(rank, port)) for rank in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [2, 2]
    assert "`--out` must be a new folder" in said[0]
    assert all(one_line(error) for error in said)


@pytest.mark.slow
def test_the_number_of_processes_is_told(config: Path, tmp_path: Path) -> None:
    """`accelerate launch --cpu --num_processes 2` starts one process: it says so, and warns."""
    config.write_text(config.read_text().replace("1000000", "2"))
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "-m",
        "scoresde",
        "train",
        str(config),
    ]
    options = {"capture_output": True, "text": True, "timeout": 300, "check": False, "env": {**os.environ, **PLAIN}}
    done = subprocess.run([*command, "--out", str(tmp_path / "run")], **options)
    assert done.returncode == 0
    assert "processes: 1\n" in done.stdout
    assert "scoresde: warning: 2 processes were requested, but 1 runs" in done.stderr


@pytest.mark.slow
def test_workers_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    """Files there with the names of modules that workers import first: not one is run by the script `scoresde compare
    --jobs 2`."""
    for name in (
        "torch",
        "socket",
        "pickle",
        "signal",
        "tempfile",
        "selectors",
        "numpy",
        "random",
        "scoresde",
        "scipy",
        "struct",
    ):
        (tmp_path / f"{name}.py").write_text("open('executed', 'a').write(__name__ + chr(10))\n")
    script = tmp_path / "bin" / "scoresde"
    script.parent.mkdir()
    script.write_text("from scoresde.cli import main\nif __name__ == '__main__':\n    main()\n")
    arguments = [
        "compare",
        "--problem",
        "gaussian3",
        "--methods",
        "ddim,unipc",
        "--budgets",
        "2,3",
        "--jobs",
        "2",
        "--out",
        "out",
    ]
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=tmp_path,
        env={**os.environ, **PLAIN},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()


def test_the_variable_that_makes_paths_safe_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set for processes started inside, and as it was afterwards."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with distributed.safe_path():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ
    monkeypatch.setenv("PYTHONSAFEPATH", "yes")
    with distributed.safe_path():
        pass
    assert os.environ["PYTHONSAFEPATH"] == "yes"

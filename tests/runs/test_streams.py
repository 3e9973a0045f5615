"""Output that cannot be written, locales that know no umlaut, homes that cannot be written, Ctrl-C at any moment: one
line and an exit code."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from scoresde import cli, runs
from scoresde.cli.streams import Output
from scoresde.runs import config, toml
from tests.helpers.command import one_line, scoresde, started
from tests.helpers.kill_harness import CONFIG, points

pytestmark = pytest.mark.processes

NAMES = ["[bold]x", "a[/b]c", "[link=x]y", "two words :smile:"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("streams") / "run"
    runs.train(CONFIG, points(), folder, "tests")
    return folder


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["info", "RUN"], ["sample", "--help"], ["--version"]])
def test_a_full_output_is_told_in_one_line(arguments: list[str], run: Path) -> None:
    """Exit code 2; help and results alike."""
    with Path("/dev/full").open("w") as full:
        done = scoresde(*[str(run) if a == "RUN" else a for a in arguments], stdout=full)
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert "standard output could not be written" in done.stderr


def test_a_closed_output_costs_no_result(run: Path, tmp_path: Path) -> None:
    """Samples are drawn and saved, then told of as they can be: exit code 2 and one line."""
    arguments = ["sample", run, "--n", 3, "--steps", 2, "--out", tmp_path / "x.npz"]
    done = scoresde(*arguments, stdout=None, preexec_fn=lambda: os.close(1))
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert (tmp_path / "x.npz").exists()


def test_a_closed_error_stream_is_no_reason_to_fail_otherwise(run: Path) -> None:
    """The exit code says what the line cannot, and the line goes nowhere else."""
    done = scoresde("info", "nowhere", stderr=None, preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (2, "")


def test_a_reader_that_leaves_does_not_stop_a_training(tmp_path: Path) -> None:
    """`scoresde train ... | head -1`: the run is finished."""
    (tmp_path / "c.toml").write_text(
        "[data]\npath = 'moons'\n[network]\nwidths = [8]\n[training]\nsteps = 30\nbatch = 8\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = scoresde("train", tmp_path / "c.toml", "--out", tmp_path / "run", stdout=writing)
    os.close(writing)
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert (tmp_path / "run" / "run.json").exists()


def test_an_ascii_terminal_gets_escapes(run: Path, tmp_path: Path) -> None:
    """Names that it cannot show are escaped; configuration files are UTF-8 whatever the locale."""
    (tmp_path / "c.toml").write_text(
        "# Größe\n[data]\npath = 'moons'\n[network]\nwidths = [8]\n[training]\nsteps = 2\nbatch = 8\n", encoding="utf-8"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    out = tmp_path / "Läufe"
    for arguments in (
        ["train", tmp_path / "c.toml", "--out", out],
        ["info", out],
        ["sample", out, "--n", 2, "--steps", 2],
    ):
        done = scoresde(*arguments, env=ascii_only)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.isascii()


def test_characters_that_cannot_be_encoded_are_escaped() -> None:
    """Also those of a file name that is no UTF-8."""

    class Ascii:
        encoding = "ascii"
        said = ""

        def write(self, text: str) -> None:
            self.said += text.encode("ascii").decode()

    inner = Ascii()
    Output(inner).write("é \udcff")
    assert inner.said == "\\xe9 \\udcff"


def test_a_configuration_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As some editors write it."""
    text = "[training]\nsteps = 7\n"
    (tmp_path / "c.toml").write_text(text, encoding="utf-8-sig")
    assert toml.read(tmp_path / "c.toml").training.steps == 7


def test_a_configuration_that_is_not_utf8_is_refused_by_name(tmp_path: Path) -> None:
    """With the place of the first byte that is none."""
    (tmp_path / "c.toml").write_bytes("# Größe\n".encode("latin-1"))
    with pytest.raises(config.ConfigError, match=r"c\.toml: not UTF-8, from byte 4"):
        toml.read(tmp_path / "c.toml")


@pytest.mark.slow
def test_a_home_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    """compare keeps no reference then, says so in one line, and ends with exit code 0."""
    arguments = ["compare", "--problem", "gmm2d", "--methods", "ddim", "--budgets", 5, "--out", tmp_path / "out"]
    done = scoresde(*arguments, env={"HOME": "/dev/null", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""})
    assert done.returncode == 0
    assert one_line(done.stderr)
    assert "references are not kept" in done.stderr


def test_warnings_as_errors_are_not_those_of_other_libraries(run: Path, tmp_path: Path) -> None:
    """python -W error."""
    done = scoresde("sample", run, "--n", 2, "--steps", 2, "--out", tmp_path / "x.npz", flags=("-W", "error"))
    assert (done.returncode, done.stderr) == (0, "")


def test_our_own_warnings_as_errors_are_one_line(run: Path, tmp_path: Path) -> None:
    """A damaged model is passed over with a warning: an error here, told as one."""
    import shutil

    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").write_bytes(b"")
    said = scoresde("info", tmp_path / "run")
    assert said.returncode == 0
    assert one_line(said.stderr)
    assert "scoresde: warning: " in said.stderr
    done = scoresde("info", tmp_path / "run", flags=("-W", "error"))
    assert done.returncode == 2
    assert one_line(done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.25, 0.5, 1.0])
def test_ctrl_c_while_it_starts(seconds: float, run: Path) -> None:
    """Torch is imported then: exit code 130 and one line, or none where the command had ended."""
    process = started("info", run)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) in ((130, "scoresde: interrupted\n"), (0, ""))


def test_sigterm_ends_every_command_with_143(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was held is let go: no lock of the file stays."""

    def draw(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr("scoresde.samplers.sampling.sample", draw)
    monkeypatch.setattr("sys.argv", ["scoresde", "sample", str(run), "--out", str(tmp_path / "x.npz")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 143
    assert capsys.readouterr().err == "scoresde: terminated\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("name", NAMES)
def test_names_are_printed_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Square brackets and colons are markup to the library that prints: in messages, tables and errors they are
    text."""
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text("[data]\npath = 'moons'\n[network]\nwidths = [8]\n[training]\nsteps = 2\nbatch = 8\n")
    compared = ["compare", name, "--methods", "ddim", "--budgets", "2", "--out", f"{name} compared"]
    absent = ["info", f"{name} absent"]
    told: list[str] = []
    for arguments in (
        ["train", "c.toml", "--out", name],
        ["info", name],
        ["sample", name, "--n", "2", "--steps", "2"],
        compared,
        absent,
    ):
        monkeypatch.setattr("sys.argv", ["scoresde", *arguments])
        with pytest.raises(SystemExit):
            cli.main()
        said = capsys.readouterr()
        told.append(said.out + said.err)
    assert all(Path(name).name in text.replace("\n", " ") for text in told)

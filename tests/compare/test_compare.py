"""Comparisons: rows that say what was spent, runs that go on where they stopped, pictures and a page that works in a
browser."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scoresde import cli, exact
from scoresde.compare import drawing, figures, page, problems, runner, trained
from scoresde.compare.competitors import entry, names
from scoresde.denoisers import gaussian

F64 = torch.float64
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A Gaussian problem of 32 starts, 200 judged; a cache of its own."""
    case = replace(problems.gaussian3(), n=32, judged=200)
    monkeypatch.setattr(problems, "all_problems", lambda: {"gaussian3": lambda: case})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runner.forget()
    yield case
    runner.forget()


def rows_of(methods: list[str], budgets: list[int], folder: Path, seeds: int = 1) -> list[runner.Row]:
    store = runner.Store(folder)
    runner.run(runner.tasks(["gaussian3"], methods, budgets, seeds), store)
    return store.rows


@pytest.mark.parametrize(
    ("method", "budget", "calls"),
    [("ddim", 7, 7), ("edm_heun", 7, 6), ("unipc@quadratic", 7, 7), ("dpm_solver_3", 7, 6), ("exp_adams", 12, 12)],
)
def test_calls_are_counted_at_the_model(method: str, budget: int, calls: int) -> None:
    """A budget is spent as far as steps fit into it, and the row holds what the model saw."""
    row = runner.measure(runner.Task("gaussian3", method, budget, 0))
    assert (row["calls"], row["batched_calls"]) == (calls, calls)
    assert row["error"] > 0
    assert row["seconds"] > 0


def test_a_row_says_how_wrong_by_the_closed_form(small) -> None:
    """The error of a row is the RMS distance to the Gaussian's own map, computed here by hand."""
    row = runner.measure(runner.Task("gaussian3", "ddim", 10, 3))
    solve = entry("ddim").bind(10)
    assert solve is not None
    y = solve(small, small.start(3), 3)
    assert row["error"] == pytest.approx((y - small.flow(small.start(3))).square().mean().sqrt().item(), rel=1e-12)
    assert (row["metric"], row["floor"], row["n"]) == ("rms", 0.0, 32)


def test_a_stochastic_row_has_an_interval_and_a_floor() -> None:
    row = runner.measure(runner.Task("gaussian3", "ddpm", 20, 0))
    assert row["metric"] == "sliced W2"
    assert row["low"] < row["error"] < row["high"]
    assert row["floor"] > 0
    for name in ("energy", "mmd", "frechet"):
        assert row[f"{name}_low"] < row[f"{name}_error"] < row[f"{name}_high"]
        assert row[f"{name}_floor"] > 0


def test_adaptive_methods_count_rows_per_sample() -> None:
    """Ours stops calling the model for samples that are done: fewer calls a sample than batched calls."""
    row = runner.measure(runner.Task("gaussian3", "probability_flow", 1e-4, 0))
    assert 5 < row["calls"] < row["batched_calls"]


def test_a_budget_that_buys_nothing_and_a_method_that_fails_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runner.measure(runner.Task("gaussian3", "edm_heun", 1, 0))["failed"] == "the budget buys no step"
    case = runner.problem("gaussian3")
    monkeypatch.setattr(
        case.denoiser, "forward", lambda x, *_: gaussian.answer(x, x * torch.nan, x, torch.ones(()), torch.ones(()))
    )
    assert "NonFinite" in runner.measure(runner.Task("gaussian3", "ddim", 5, 0))["failed"]


def test_a_comparison_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after two rows, a torn third line: the next run keeps the two, measures the rest, and nothing twice."""
    todo = list(runner.tasks(["gaussian3"], ["ddim", "unipc"], [5, 10], 1))
    store, measured = runner.Store(tmp_path), []

    def until_two(row: runner.Row) -> None:
        measured.append(row)
        if len(measured) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(todo, store, report=until_two)
    with store.path.open("a") as file:
        file.write('{"problem": "gaus')
    again, seen = runner.Store(tmp_path), []
    assert again.rows == measured
    runner.run(todo, again, report=seen.append)
    assert [r["method"] for r in measured + seen] == ["ddim", "ddim", "unipc", "unipc"]
    assert [json.loads(line) for line in store.path.read_text().splitlines()] == measured + seen


def test_references_are_kept_and_are_those_of_the_problem(tmp_path: Path, small) -> None:
    """A solved reference lands in the cache under a hash of the problem; a changed denoiser has another; a torn file
    is made again."""
    solved = replace(small, flow=None, n=4, tolerance=1e-9)
    problems.all_problems()  # the patched one
    runner.problem.cache_clear()
    problems_of = {"gaussian3": lambda: solved}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problems, "all_problems", lambda: problems_of)
        first = runner.reference("gaussian3", 0)
        kept = list((tmp_path / "cache" / "scoresde").iterdir())
        assert len(kept) == 1
        kept[0].write_bytes(b"torn")
        runner.reference.cache_clear()
        with pytest.warns(UserWarning, match="is damaged"):
            again = runner.reference("gaussian3", 0)
        assert torch.equal(first[0], again[0])
        assert kept[0].read_bytes() != b"torn"
        solved.denoiser.mean += 1
        runner.reference.cache_clear()
        runner.reference("gaussian3", 0)
        solved.denoiser.mean -= 1
    assert len(list((tmp_path / "cache" / "scoresde").iterdir())) == 2


def test_curves_over_seeds_have_intervals(tmp_path: Path) -> None:
    rows = rows_of(["ddim"], [5, 10], tmp_path, seeds=3)
    panel, _ = figures.panels(rows)  # the other is that of the exact laws
    for point, cost in zip(panel.curves[0].points, (5, 10), strict=True):
        each = [r["error"] for r in rows if r["cost"] == cost]
        assert point.error == pytest.approx(math.prod(each) ** (1 / 3))
        assert point.low < min(each) < max(each) < point.high


def test_the_pareto_front() -> None:
    assert figures.pareto([(1, 5.0), (2, 6.0), (2, 4.0), (3, 4.0), (4, 1.0)]) == [(1, 5.0), (2, 4.0), (4, 1.0)]


@pytest.mark.parametrize("name", ["nope", "ddim@nope", "diffusers:nope"])
def test_unknown_names_are_named(name: str) -> None:
    with pytest.raises(ValueError, match="`methods` must be one of"):
        entry(name)


def test_every_name_makes_an_entry() -> None:
    """Each of them binds a budget or a tolerance; libraries that are absent are only needed to run."""
    for name in names():
        made = entry(name)
        assert made.bind(1e-3 if made.adaptive else 60) is not None


def test_the_error_splits_into_its_parts(small) -> None:
    """A shifted Gaussian as the wrong model: the score's part is the distance of the two flows, both known; the
    method's part is its own error."""
    wrong = exact.Gaussian(
        small.denoiser.mean + 0.1, small.denoiser.basis @ small.denoiser.values.diag() @ small.denoiser.basis.T
    )
    case = replace(small, denoiser=wrong, flow=None, tolerance=1e-9)
    parts = trained.split(case, small.denoiser, ["ddim", "unipc"], 10)
    shrink = ((small.denoiser.values + 0.002**2) / (small.denoiser.values + 80.0**2)).sqrt()
    gap = 0.1 * torch.ones(3, dtype=F64)
    moved = gap - (gap @ small.denoiser.basis * shrink) @ small.denoiser.basis.T
    assert parts["ddim"]["score"] == pytest.approx(moved.square().mean().sqrt().item(), rel=1e-5)
    assert parts["unipc"]["discretisation"] < parts["ddim"]["discretisation"]
    assert 0 < parts["ddim"]["prior"] < 0.1


def test_a_perturbed_denoiser_is_homogeneous_and_off_by_its_size() -> None:
    model = trained.Perturbed(problems.gaussian3().denoiser, 0.1)
    x, alpha, sigma = (
        torch.linspace(-2, 2, 12, dtype=F64).reshape(4, 3),
        torch.tensor(0.8, dtype=F64),
        torch.tensor(0.6, dtype=F64),
    )
    off = model(x, alpha, sigma).x0 - model.exact(x, alpha, sigma).x0
    assert (off - 0.1 * x.sin()).abs().max() < 1e-12
    assert (model(3 * x, 3 * alpha, 3 * sigma).x0 - model(x, alpha, sigma).x0).abs().max() < 1e-12


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


CLICKS = """<script>
const panel = document.querySelector(".chart"), out = {};
out.before = [...panel.querySelectorAll("text")].map(t => t.textContent);
document.querySelector("[data-work=seconds]").click();
out.after = [...panel.querySelectorAll("text")].map(t => t.textContent);
const heads = [...document.querySelectorAll("table th")];
const column = heads.findIndex(h => h.textContent === "error"), body = document.querySelector("tbody");
heads[column].firstChild.click();
out.up = [...body.rows].map(r => +r.cells[column].dataset.v);
heads[column].firstChild.click();
out.down = [...body.rows].map(r => +r.cells[column].dataset.v);
panel.querySelector(".curve").dispatchEvent(new MouseEvent("mousemove", {bubbles: true, clientX: 300, clientY: 300}));
out.tip = document.getElementById("tip").textContent;
out.shown = document.getElementById("tip").style.display;
document.title = "done " + btoa(unescape(encodeURIComponent(JSON.stringify(out))));
</script>"""


def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    """Headless Chromium: curves are drawn and labelled, the switch redraws, a click on a heading sorts, hover shows
    figures; nothing is fetched."""
    import base64
    import re

    rows = rows_of(["ddim", "unipc", "ddpm"], [5, 10], tmp_path)
    every = figures.panels(rows)
    page.write(tmp_path / "report.html", every, rows, ["azula:ddim"], "scoresde compare <x>")
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "scoresde compare &lt;x&gt;" in text
    assert "azula:ddim: its library is not installed" in text
    (tmp_path / "tried.html").write_text(text.replace("</body>", CLICKS + "</body>"))
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
        " --disable-background-networking --disable-component-update --disable-sync"
    )
    command = [
        chromium(),
        *flags.split(),
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        (tmp_path / "tried.html").as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r"<title>done ([A-Za-z0-9+/=]+)</title>", dom)
    assert found, "the page's script stopped"
    out = json.loads(base64.b64decode(found[1]))
    assert {"ddim", "unipc", "model calls per sample"} <= set(out["before"])
    assert "seconds, whole batch" in out["after"]
    errors = [p.error for c in every[0].curves for p in c.points]
    assert out["up"] == pytest.approx(sorted(errors))
    assert out["down"] == pytest.approx(sorted(errors, reverse=True))
    assert out["shown"] == "block"
    assert "calls" in out["tip"]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    from PIL import Image

    drawing.picture(figures.panels(rows_of(["ddim", "ddpm"], [5, 10], tmp_path)), tmp_path / "compare.png")
    drawing.bars({"ddim": dict.fromkeys(figures.PARTS, 0.1)}, "parts", tmp_path / "split.png")
    for name in ("compare.png", "split.png"):
        image = Image.open(tmp_path / name)
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--problem", "gaussian3", "--methods", "nope"], "`methods` must be one of"),
        (["--problem", "nope"], "`problem` must be one of"),
        (["--problem", "gaussian3", "--budgets", "5,x"], "--budgets"),
        (["--problem", "gaussian3", "--jobs", "0"], "`jobs`"),
        (["nowhere"], "nowhere"),
    ],
)
def test_the_command_names_bad_arguments(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(sys, "argv", ["scoresde", "compare", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_compares(tmp_path: Path) -> None:
    """Two processes, two seeds, once and then again: the second run measures nothing."""
    command = [
        sys.executable,
        "-m",
        "scoresde",
        "compare",
        "--problem",
        "gaussian3",
        "--methods",
        "ddim,unipc,probability_flow,scipy:RK45",
    ]
    command += ["--budgets", "5,10", "--seeds", "2", "--jobs", "2", "--out", str(tmp_path / "out")]
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert "gaussian3: rms" in done.stdout
        kept = (tmp_path / "out" / "rows.jsonl").read_text().splitlines()
        assert len(kept) == 2 * (2 + 2 + 4 + 4)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {".scoresde", "rows.jsonl", "compare.png", "report.html"}


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """A real interrupt of a run on two processes: exit code 130, one line, whole rows."""
    command = [
        sys.executable,
        "-m",
        "scoresde",
        "compare",
        "--problem",
        "gaussian3",
        "--methods",
        "ddim,unipc,edm_heun,lms",
        "--seeds",
        "40",
    ]
    kept = tmp_path / "out" / "rows.jsonl"
    run = subprocess.Popen(
        [*command, "--jobs", "2", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a test run in the background ignores it, and so would its child
    )
    for _ in range(1200):
        if kept.exists() and kept.read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    said, error = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "rows are kept" in said
    assert error in ("", "scoresde: interrupted\n")  # no traceback, of a worker either; typer may have the last word
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert 3 <= len(rows) < 640
    assert kept.read_bytes().endswith(b"\n")

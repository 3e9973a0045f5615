"""What holds for the source tree as a whole: light imports, no dangerous constructs, small files, one home for
randomness."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for package in ("solvers", "scoresde") for p in (ROOT / package).rglob("*.py"))
HEAVY = {
    "PIL",
    "accelerate",
    "diffusers",
    "jinja2",
    "matplotlib",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "torchdiffeq",
    "torchmetrics",
    "torchsde",
    "typer",
}
REALS = {
    "rand",
    "rand_like",
    "randn",
    "randn_like",
    "normal",
    "normal_",
    "uniform_",
    "bernoulli",
    "bernoulli_",
    "poisson",
}
INTEGERS = {
    "randperm",
    "randint",
    "randint_like",
    "multinomial",
}  # orders and shifts of data: allowed from a generator of one's own
GLOBAL = {"seed", "manual_seed", "manual_seed_all", "set_rng_state", "fork_rng"}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute chain; a call or subscript inside it reads as nothing."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def banned(node: ast.AST) -> str | None:
    """Constructs that run or unpickle what a file says."""
    for name in imported(node):
        if (
            name.split(".")[0] in {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
            or name == "torch.load"
        ):
            return f"import of {name}"
    if isinstance(node, ast.Call):
        name = dotted(node.func)
        if name in {"eval", "exec", "compile", "__import__", "yaml.load", "yaml.unsafe_load", "os.system"}:
            return f"call of {name}"
        if name == "torch.load" and not any(
            k.arg == "weights_only" and isinstance(k.value, ast.Constant) and k.value.value is True
            for k in node.keywords
        ):
            return "torch.load without weights_only=True"
        for keyword in node.keywords:
            if keyword.arg in {"allow_pickle", "shell"} and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                return f"{keyword.arg} other than False"
    return None


def foreign(node: ast.AST) -> str | None:
    """Reads of torch files, however careful."""
    return "call of torch.load" if isinstance(node, ast.Call) and dotted(node.func) == "torch.load" else None


def draw(node: ast.AST) -> str | None:
    """Random draws, and touches of the global state. Methods of a noise source or a Generator are neither."""
    for name in imported(node):
        top, _, last = name.rpartition(".")
        if (
            name.split(".")[0] == "random"
            or name.startswith("numpy.random")
            or (top == "torch" and last in REALS | GLOBAL)
        ):
            return f"import of {name}"
    if not isinstance(node, ast.Call):
        return None
    name = dotted(node.func)
    head, _, last = name.rpartition(".")
    own = any(k.arg == "generator" for k in node.keywords)
    of_library = head in {"torch", "torch.default_generator", "torch.random", "torch.cuda", "torch.nn.init", "nn.init"}
    if (
        head.startswith(("np.random", "numpy.random"))
        or (last in REALS and (of_library or last.endswith("_")))
        or (last in INTEGERS and of_library and not own)
        or (last in GLOBAL and of_library)
    ):
        return f"call of {name}"
    return None


def offences(rule: Callable[[ast.AST], str | None], sources: list[Path]) -> Iterator[str]:
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if what := rule(node):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {what}"


def test_import_leaves_the_heavy_libraries_alone():
    code = (
        "import sys, torch; before = set(sys.modules); import solvers.adapters, scoresde;"
        " print(*{m.split('.')[0] for m in set(sys.modules) - before})"
    )
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
        ).stdout.split()
    )
    assert {"solvers", "scoresde"} <= loaded
    assert not loaded & HEAVY


def test_no_construct_that_runs_or_unpickles_data():
    assert list(offences(banned, SOURCES)) == []


def test_torch_files_are_read_in_one_place():
    assert list(offences(foreign, [p for p in SOURCES if p != ROOT / "scoresde" / "storage" / "foreign.py"])) == []


def test_randomness_has_one_home():
    """Noise comes from solvers/noise.py. Layers draw their first weights from torch's generator:
    scoresde/runtime/torch_state.py seeds and restores it."""
    homes = {
        ROOT / "solvers" / "noise.py",
        ROOT / "solvers" / "brownian.py",
        ROOT / "scoresde" / "runtime" / "torch_state.py",
    }
    assert list(offences(draw, [p for p in SOURCES if p not in homes])) == []


def test_solvers_know_nothing_of_scoresde():
    def rule(node: ast.AST) -> str | None:
        return next((f"import of {name}" for name in imported(node) if name.split(".")[0] == "scoresde"), None)

    assert list(offences(rule, [p for p in SOURCES if p.is_relative_to(ROOT / "solvers")])) == []


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (banned, "import pickle", "import json"),
        (banned, "from torch import load", "from torch import nn"),
        (banned, "eval('1')", "model.eval()"),
        (banned, "np.load(f, allow_pickle=True)", "np.load(f, allow_pickle=False)"),
        (banned, "torch.load(f)", "torch.load(f, weights_only=True)"),
        (banned, "torch.load(f, weights_only=False)", "torch.compile(f)"),
        (foreign, "torch.load(f, weights_only=True)", "json.load(f)"),
        (banned, "yaml.load(f)", "json.load(f)"),
        (draw, "torch.randn(3, generator=g)", "noise.normal(3)"),
        (draw, "x.normal_()", "x.zero_()"),
        (draw, "torch.cuda.manual_seed(0)", "torch.Generator()"),
        (draw, "torch.manual_seed(0)", "torch.Generator().manual_seed(0)"),
        (draw, "torch.default_generator.manual_seed(0)", "generator.manual_seed(0)"),
        (draw, "torch.randperm(3)", "torch.randperm(3, generator=g)"),
        (draw, "np.random.default_rng(0)", "np.linspace(0, 1)"),
        (draw, "from torch import randn", "from torch import nn"),
        (draw, "from numpy.random import rand", "from numpy import linspace"),
    ],
)
def test_the_rules_see(rule: Callable[[ast.AST], str | None], bad: str, good: str):
    assert any(rule(node) for node in ast.walk(ast.parse(bad)))
    assert not any(rule(node) for node in ast.walk(ast.parse(good)))


def test_a_file_holds_one_idea():
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in SOURCES}
    assert {name: n for name, n in lengths.items() if n > 300} == {}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = {
        normal(re.split(r"[<>=!~\[; ]", d)[0]) for d in [*project["dependencies"], *extras["test"], *extras["bench"]]
    }
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    pins = dict(line.split("==") for line in lines)
    assert asked <= {normal(name) for name in pins}
    assert [
        v for v in pins.values() if not re.fullmatch(r"[0-9.]+(post[0-9]+)?", v)
    ] == []  # a local part such as +cpu is on no public index


def setup(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "tools" / "setup.sh")]
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


posix = pytest.mark.skipif(not Path("/bin/sh").exists(), reason="set-up is a shell script")


@posix
@pytest.mark.parametrize(
    ("env", "words"),
    [({"PYTHON": "/bin/false"}, ("3.11", "make PYTHON=")), ({"NEED_GB": "99999999"}, ("disk", "GB", "make room"))],
)
def test_setup_says_what_to_do(tmp_path: Path, env: dict[str, str], words: tuple[str, ...]):
    done = setup(tmp_path, **env)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert [w for w in words if w not in done.stderr] == []
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.slow
def test_setup_without_an_index_names_the_log(tmp_path: Path):
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = setup(
        tmp_path, PYTHON=sys.executable, HOME=str(tmp_path), PIP_CONFIG_FILE="/dev/null", PIP_NO_INDEX="1", NEED_GB="0"
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "network" in done.stderr
    assert ".venv/install.log" in done.stderr
    assert not (tmp_path / ".venv" / ".installed").exists()
    assert (tmp_path / ".venv" / "install.log").stat().st_size > 0

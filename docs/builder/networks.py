"""The networks of the gallery, trained before its scripts are run; each is kept until its inputs change."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DOCS = Path(__file__).parents[1]
PACKAGE = DOCS.parent / "scoresde"
ROOMS = ("data", "denoisers", "latent", "networks", "processes", "training")  # what a trained network depends on
CHAINS = (("digits", "autoencoder", "latent"), ("small", "large"))  # each in order, both at once


def sources(*folders: Path) -> str:
    """The SHA-256 of the Python files in some folders."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


def train_missing() -> None:
    """Every network of docs/networks whose folder in docs/runs is missing or was trained from other inputs."""
    with ThreadPoolExecutor(len(CHAINS)) as pool:
        for done in [pool.submit(_train_chain, names) for names in CHAINS]:
            done.result()


def stamps() -> str:
    """What the networks in docs/runs were trained from."""
    return "".join(path.read_text() for path in sorted((DOCS / "runs").glob("*.inputs")))


def _train_chain(names: tuple[str, ...]) -> None:
    """One after the other: a network may stand on the one before, which is then among its inputs."""
    inputs = hashlib.sha256(sources(*(PACKAGE / room for room in ROOMS)).encode())
    for name in names:
        config = DOCS / "networks" / f"{name}.toml"
        inputs.update(config.read_bytes())
        _train(name, inputs.hexdigest())


def _train(name: str, wanted: str) -> None:
    """Train one network, unless the folder holds what was trained from these inputs."""
    stamp = DOCS / "runs" / f"{name}.inputs"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"network {name}: training")
    stamp.unlink(missing_ok=True)
    command = [sys.executable, "-m", "scoresde", "train"]
    command += [f"networks/{name}.toml", "--out", f"runs/{name}", "--overwrite"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=DOCS, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"network {name} was not trained: {done.stderr.strip()}")
    stamp.write_text(wanted)

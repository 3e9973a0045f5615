"""Children that train and are killed: one process imports everything, then forks, so that a kill costs no start-up.

    python -m tests.helpers.kill_harness FOLDER TRAINING SAVING SIGNALS PAIRS SEED

takes counts of kills, and 1 for signals or pairs. It prints JSON.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn.model_selection  # noqa: F401
import torch

from scoresde import catalogue, cli, exact, runs, sample
from scoresde.data.samples import Dataset
from scoresde.runs.config import Config, NetworkConfig
from scoresde.runs.journal import Record
from scoresde.runtime import distributed
from scoresde.storage import checkpoints
from scoresde.training import Training

CONFIG = Config(
    network=NetworkConfig(widths=(16,)), training=Training(steps=40, batch=16, posthoc=5), record=Record(save=3, log=5)
)
TOML = (
    "[data]\npath = '{data}'\n[network]\nwidths = [16]\n[training]\nsteps = {steps}\nbatch ="
    " 16\n[record]\nsave = 1000\n"
)


def points() -> Dataset:
    """What is trained on."""
    return Dataset(exact.Gaussian(torch.zeros(2), 1.0).sample(200, seed=1).float())


def child(work: Callable[[], object]) -> int:
    """Fork, do the work there, and exit 0; the id of the child."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except SystemExit as stop:
        os._exit(int(stop.code or 0))
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(99)
    os._exit(0)


def ended(pid: int) -> int:
    """Exit code of a child, negative the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def train(folder: Path, resume: bool = True) -> None:
    """The run that is killed."""
    runs.train(CONFIG, points(), folder, "tests", held_out=points().take(torch.arange(20)), resume=resume)


def sha(folder: Path) -> str:
    """Of the weights and the stored averages."""
    files = (folder / "model.safetensors", *sorted((folder / "averages").iterdir()))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def kill_training(folder: Path, count: int, draw: random.Random) -> dict[str, object]:
    """Runs killed at random moments and taken up again, until `count` kills have hit and every run has come to its
    end."""
    start = time.perf_counter()
    whole = ended(child(lambda: train(folder / "whole")))
    seconds = time.perf_counter() - start
    want, kills, ends = sha(folder / "whole"), 0, []
    while kills < count:
        run = folder / f"run{len(ends)}"
        for _ in range(5):  # kills a run, and then it may end
            pid = child(lambda run=run: train(run))
            time.sleep(draw.uniform(0.0, 0.8) * seconds)
            os.kill(pid, signal.SIGKILL)
            hit = ended(pid) == -signal.SIGKILL
            kills += hit
            if not hit or kills == count:
                break
        code = ended(child(lambda run=run: train(run)))
        ends.append([code, sha(run) == want, len(list(run.rglob(".scoresde-tmp-*")))])
    return {"whole": whole, "kills": kills, "ends": ends}


def kill_saving(folder: Path, count: int, draw: random.Random) -> dict[str, object]:
    """A child that does nothing but save, killed at random moments: what is found afterwards."""
    tensors = {"x": torch.arange(200_000, dtype=torch.float32)}
    checkpoints.save(folder, tensors, {"step": 0, "score": None})

    def forever() -> None:
        last = max(checkpoints.steps(folder))
        while True:
            last += 1
            checkpoints.save(folder, tensors, {"step": last, "score": None})

    found = []
    for _ in range(count):
        last = max(checkpoints.steps(folder))
        pid = child(forever)
        while max(checkpoints.steps(folder)) < last + 2:  # it is at work
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.05))
        os.kill(pid, signal.SIGKILL)
        ended(pid)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            snapshot = checkpoints.latest(folder)
        found.append(snapshot is not None and torch.equal(snapshot.tensors["x"], tensors["x"]))
    return {"found": found, "steps": max(checkpoints.steps(folder))}


def send_signals(folder: Path, count: int, draw: random.Random) -> dict[str, object]:
    """The command line under signals: exit code and step saved, for SIGINT once, twice, and SIGTERM."""
    np.savez(folder / "points.npz", x=points().x.numpy())
    (folder / "c.toml").write_text(TOML.format(data=folder / "points.npz", steps=100_000))
    answers = {}
    for name, signals in {"int": [signal.SIGINT], "intint": [signal.SIGINT] * 2, "term": [signal.SIGTERM]}.items():
        run = folder / name
        slow = name == "intint"

        def work(run: Path = run, slow: bool = slow) -> None:
            sys.argv = ["scoresde", "train", str(folder / "c.toml"), "--out", str(run)]
            if slow:  # a step that does not end: only the second signal can end it
                Dataset.batch = lambda *_: time.sleep(600)  # type: ignore[method-assign]
            sys.stderr = (folder / f"{run.name}.err").open("w", buffering=1)
            cli.main()

        pid = child(work)
        while not (run / "log.jsonl").exists():
            time.sleep(0.02)
        for number in signals:
            time.sleep(0.3)
            os.kill(pid, number)
        code = ended(pid)
        answers[name] = [
            code,
            max(checkpoints.steps(run / "checkpoints"), default=0),
            (folder / f"{name}.err").read_text(),
        ]
    return answers


def join_two(folder: Path, count: int, draw: random.Random) -> dict[str, object]:
    """Two joined processes train, accumulating two parts each, and draw samples of an exact denoiser: the codes; files
    tell the rest."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def work(rank: int) -> None:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        distributed.init("cpu")
        runs.train(
            dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, accumulate=2)),
            points(),
            folder / "pair",
            "tests",
        )
        x = distributed.run_sharded(7, exact_samples)
        if distributed.rank() == 0:
            np.save(folder / "samples.npy", x.numpy())
        distributed.shutdown()

    return {"codes": [ended(pid) for pid in [child(lambda rank=rank: work(rank)) for rank in range(2)]]}


def exact_samples(rows: range) -> torch.Tensor:
    """Samples of a mixture by the reverse SDE."""
    mixture = exact.GaussianMixture(torch.tensor([[1.0, 0.0], [-1.0, 0.5]]), 0.1)
    return sample(mixture, (len(rows), 2), catalogue.euler_maruyama(20), 3, first=rows.start)


if __name__ == "__main__":
    torch.set_num_threads(1)
    where, training, saving, signals, pairs, seed = Path(sys.argv[1]), *map(int, sys.argv[2:])
    draw, answers = random.Random(seed), {}
    train(where / "warm", resume=False)  # what is imported at first use is imported here, once
    for name, count, work in (
        ("train", training, kill_training),
        ("save", saving, kill_saving),
        ("signal", signals, send_signals),
        ("join", pairs, join_two),
    ):
        if count:
            (where / name).mkdir()
            answers[name] = work(where / name, count, draw)
    print(json.dumps(answers))

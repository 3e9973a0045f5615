"""What training costs, what it survives and what it reaches.

    python -m benchmarks.training [speed] [mixture] [faults] [digits] [--minutes 6] [--only "DSM, v" ...]

speed    steps a second of `fit` against a bare loop with the same network, optimiser, batch and loss, taken in turns
mixture  eight Gaussians learnt by the MLP in two minutes of one thread: sliced W2 of 20 000 samples over that of two
         exact sets
faults   50 kills at random moments, 300 flipped bits
digits   Frechet distance and likelihood reached per loss, in --minutes of one thread each; --only some, the stored
         rows of the others stay

Budgets are processor time of one thread: a pilot of some steps gives the cost of one, from which the number of steps
follows. A busy machine stretches that time too, so the time spent is stored beside the steps. Writes
benchmarks/results/training_*.json; all but the digits take about five minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from scoresde import catalogue, sample
from scoresde.data.samples import Dataset
from scoresde.data.toys import ring
from scoresde.denoisers.denoiser import Denoiser
from scoresde.denoisers.noise_conditioning import NoiseConditioning
from scoresde.evaluation import distances
from scoresde.evaluation.judge import Judge
from scoresde.evaluation.likelihood import bits_per_dim, log_likelihood
from scoresde.processes.forward import RectifiedFlow
from scoresde.runs.config import Config, DataConfig, NetworkConfig
from scoresde.storage import checkpoints
from scoresde.training import Objective, fit
from scoresde.training.losses import DSM, FlowMatching, KarrasWeighted, MaximumLikelihood, MinSNR, PlainV
from scoresde.training.noise_levels import Importance, LogNormal, Uniform
from scoresde.training.norms import Absolute, Huber
from scoresde.training.sliced import Sliced
from scoresde.training.state import Training, begin

from .common import RESULTS, save, show

MIXTURE = 20_000  # samples compared
DRAWN, LIKELY = 1000, 32  # digits drawn and judged, held-out digits whose likelihood is taken
NEAR, FAR = (
    0.01036,
    0.99348,
)  # the ends of VPSDE in alpha/sigma: likelihoods are at one noise level, and samplers that run in lam can start


def main() -> None:
    """Run the parts named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "parts", nargs="*", default=["speed", "mixture", "faults"], choices=["speed", "mixture", "faults", "digits"]
    )
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--only", nargs="+", default=None, metavar="OBJECTIVE", choices=list(objectives(0.5)))
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if "speed" in arguments.parts:
        speed(arguments.rounds)
    if "mixture" in arguments.parts:
        mixture()
    if "faults" in arguments.parts:
        faults()
    if "digits" in arguments.parts:
        digits(arguments.minutes, arguments.only)


def speed(rounds: int) -> None:
    """Steps a second, ours over bare."""
    rows: list[dict[str, Any]] = []
    for name, config in {
        "digits, U-Net, batch 128": Config(),
        "points, MLP of 128 x 3, batch 1024": points(1024),
    }.items():
        data, steps = config.dataset(), 5 if name.startswith("digits") else 40
        least = {"fit": float("inf"), "bare": float("inf")}
        training = replace(config.training, steps=10**6)
        ours, plain = config.denoiser(data.shape), config.denoiser(data.shape)
        loop, other = fit(ours, data, training, begin(ours.network, training)), bare(plain, data, training)
        for k in range(rounds + 1):
            for kind, each in (("fit", loop), ("bare", other)):
                start = time.process_time()
                for _ in range(steps):
                    next(each)
                if k:
                    least[kind] = min(least[kind], (time.process_time() - start) / steps)
        rows.append(
            {
                "problem": name,
                "fit steps/s": 1 / least["fit"],
                "bare steps/s": 1 / least["bare"],
                "ratio": least["bare"] / least["fit"],
            }
        )
        rows[-1]["passes"] = bool(rows[-1]["ratio"] >= 0.95)
    show("Steps a second of processor time, one thread", rows)
    save("training_speed", rows, torch.float32, rounds=rounds)


def points(batch: int) -> Config:
    """The MLP on eight Gaussians."""
    return Config(data=DataConfig(path="eight_gaussians"), training=Training(batch=batch))


def bare(denoiser: Any, data: Dataset, training: Training) -> Any:
    """The loop people write: shuffled batches, plain normals, uniform t, the same denoiser, optimiser, clipping and
    average."""
    process, x, shape, network = denoiser.process, data.x, data.x.shape[1:], denoiser.network
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(training.ema))
    optimiser, position, order = begin(network, training).optimiser, 0, torch.randperm(len(x))
    denoiser.train()
    while True:
        if position + training.batch > len(x):
            position, order = 0, torch.randperm(len(x))
        x0 = x[order[position : position + training.batch]]
        position += training.batch
        t = process.t_min + (process.t_max - process.t_min) * torch.rand(training.batch, dtype=torch.float64)
        eps = torch.randn(training.batch, *shape)
        alpha, sigma = process.alpha(t), process.sigma(t)
        noisy = x0 * alpha.float().reshape(-1, *[1] * len(shape)) + eps * sigma.float().reshape(-1, *[1] * len(shape))
        loss = (denoiser(noisy, alpha, sigma).eps - eps).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.grad_clip)
        optimiser.step()
        average.update_parameters(network)
        yield loss.item()


def budgeted(config: Config, data: Any, minutes: float, pilot: int) -> tuple[Any, dict[str, Any]]:
    """Train for so many minutes of processor time: the averaged denoiser, and what was spent."""
    trial = config.denoiser(data.shape)
    loop = fit(trial, data, config.training, objective=config.objective)
    next(loop)
    start = time.process_time()
    for _ in range(pilot):
        next(loop)
    steps = max(100, int(60 * minutes * pilot / (time.process_time() - start)))
    training = replace(config.training, steps=steps)
    denoiser = config.denoiser(data.shape)
    state = begin(denoiser.network, training)
    start, spent = time.process_time(), time.perf_counter()
    losses = [progress.loss for progress in fit(denoiser, data, training, state, config.objective)]
    averaged = replace_network(config, state.average.module)
    seconds = {"cpu_minutes": (time.process_time() - start) / 60, "wall_minutes": (time.perf_counter() - spent) / 60}
    return averaged, {"steps": steps, **seconds, "loss": sum(losses[-100:]) / 100}


def replace_network(config: Config, network: torch.nn.Module) -> Any:
    """The denoiser of a configuration around a given network."""
    return Denoiser(network, config.process, config.network.table, time=NoiseConditioning(config.process)).eval()


def mixture(minutes: float = 2.0) -> None:
    """Sliced W2 to exact samples, over its floor."""
    truth = ring()
    data = Dataset(truth.sample(200_000, seed=7).float(), name="eight Gaussians")
    config = Config(network=NetworkConfig(predicts="v"), training=Training(batch=512, ema_width=0.1))
    denoiser, spent = budgeted(config, data, minutes, pilot=200)
    floor, _ = distances.floor(distances.sliced, lambda n, seed: truth.sample(n, seed=100 + seed), MIXTURE, MIXTURE)
    x = sample(denoiser, (MIXTURE, 2), catalogue.dpm_solver_pp_2m(50), seed=3).double()
    reached = [distances.sliced(x, truth.sample(MIXTURE, seed=50 + k)) for k in range(4)]
    row = {"sliced W2": sum(reached) / 4, "floor": floor, "ratio": sum(reached) / 4 / floor, **spent}
    row["passes"] = bool(row["ratio"] <= 2)
    show(f"Eight Gaussians, MLP, {MIXTURE} samples by dpm_solver_pp_2m(50)", [row])
    save("training_mixture", [row], torch.float32, network=repr(config.network), training=repr(config.training))


def faults(kills: int = 50, flips: int = 300) -> None:
    """Kills survived and damage noticed, by the children of tests/helpers/kill_harness.py."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.helpers.kill_harness", folder, str(kills), "60", "0", "0", "0"]
        answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        path = max(Path(folder, "train", "whole", "checkpoints").iterdir())
        whole, noticed = path.read_bytes(), 0
        for k in range(flips):
            at = k * 7919 % len(whole)
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << (k % 8))]) + whole[at + 1 :])
            try:
                checkpoints.unseal(path)
            except checkpoints.CheckpointError:
                noticed += 1
    equal = [end == [0, True, 0] for end in answer["train"]["ends"]]
    rows: list[dict[str, Any]] = [
        {
            "fault": "kill -9 while training",
            "times": answer["train"]["kills"],
            "runs": len(equal),
            "survived": sum(equal),
        },
        {
            "fault": "kill -9 while saving",
            "times": len(answer["save"]["found"]),
            "runs": 1,
            "survived": sum(answer["save"]["found"]),
        },
        {"fault": "flipped bit", "times": flips, "runs": 1, "survived": noticed},
    ]
    show("Faults: runs that end at the same bits, checkpoints found, flips noticed", rows)
    save("training_faults", rows, torch.float32)


def objectives(deviation: float) -> dict[str, Config]:
    """What is compared; everything else is that of the demo, but for the average, whose width follows the length."""
    v, karras = NetworkConfig(predicts="v"), NetworkConfig(predicts="karras", sigma_data=deviation)
    rows = {
        "DSM (L_simple), eps": Config(),
        "DSM, v": Config(network=v),
        "DSM, Karras": Config(network=karras),
        "plain v, v": Config(network=v, objective=Objective(PlainV(), Uniform())),
        "min-SNR, v": Config(network=v, objective=Objective(MinSNR())),
        "likelihood, importance-sampled, v": Config(network=v, objective=Objective(MaximumLikelihood(), Importance())),
        "EDM: Karras, log-normal": Config(
            network=karras, objective=Objective(KarrasWeighted(sigma_data=deviation), LogNormal())
        ),
        "flow matching, v": Config(network=v, process=RectifiedFlow(NEAR, FAR), objective=Objective(FlowMatching())),
        "MAE, v": Config(network=v, objective=Objective(DSM(norm=Absolute()))),
        "Huber, v": Config(network=v, objective=Objective(DSM(norm=Huber()))),
        "sliced score matching, eps": Config(objective=Objective(Sliced())),
    }
    return {name: replace(config, training=Training(ema_width=0.1)) for name, config in rows.items()}


def digits(minutes: float, only: list[str] | None = None, workers: int = 2) -> None:
    """Frechet distance in 20 calls, and bits per dimension of held-out digits, for each objective; two at a time."""
    train, held_out = digit_parts()
    name, judge, configs = (
        f"training_digits_{minutes:g}min",
        Judge.of(train, held_out),
        objectives(round(train.x.std().item(), 2)),
    )
    floors = {"halves": judge.floor(), f"{DRAWN} real": judge.floor(DRAWN)}
    chosen = {key: configs[key] for key in configs if only is None or key in only}
    stored = RESULTS / f"{name}.json"
    rows: dict[str, dict[str, Any]] = (
        {r["objective"]: r for r in json.loads(stored.read_text())["rows"]} if only and stored.exists() else {}
    )
    with ProcessPoolExecutor(
        workers, initializer=torch.set_num_threads, initargs=(1,), mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        for key, (x, facts) in zip(
            chosen, pool.map(one_objective, chosen.values(), [minutes] * len(chosen)), strict=True
        ):
            rows[key] = {"objective": key, "frechet": judge(x)["frechet"], **facts}
            print(rows[key], flush=True)
            save(
                name,
                [rows[k] for k in configs if k in rows],
                torch.float32,
                floors=floors,
                minutes=minutes,
                n=DRAWN,
                likely=LIKELY,
            )
    show(f"Digits: {minutes:g} processor minutes each; floors {floors}", [rows[k] for k in configs if k in rows])


def digit_parts() -> tuple[Dataset, Dataset]:
    """Training and held-out digits."""
    train, held_out = Config().dataset().split()
    assert isinstance(train, Dataset)
    assert isinstance(held_out, Dataset)
    return train, held_out


def one_objective(config: Config, minutes: float) -> tuple[torch.Tensor, dict[str, Any]]:
    """Samples of the trained model, and what it reached."""
    train, held_out = digit_parts()
    denoiser, spent = budgeted(config, train, minutes, pilot=40)
    x = sample(denoiser, (DRAWN, *train.shape), catalogue.dpm_solver_pp_2m(20), seed=0, batch=250)
    answer = log_likelihood(denoiser, held_out.x[:LIKELY], probes=1, rtol=1e-3, atol=1e-3, seed=0)
    bits = bits_per_dim(answer.log_prob, train.x[0].numel(), 8.0)
    facts = {"bits/dim": bits.mean().item(), "+-": bits.std().item() / LIKELY**0.5, "steps": spent["steps"]}
    return x, facts | {"cpu minutes": spent["cpu_minutes"], "wall minutes": spent["wall_minutes"]}


if __name__ == "__main__":
    main()

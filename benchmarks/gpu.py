"""What a sampling loop costs on a GPU beyond its network calls: `python -m benchmarks.gpu`, on one CUDA device.

1. overhead   time of a step over that of a bare network call, ours and other libraries', for an MLP on 65 536 x 2 and
    U-Nets on 64 x 3 x 32 x 32
              and 256 x 3 x 64 x 64 (random weights, bfloat16 network, float32 state), with samples per second and peak
              memory
2. graph      the MLP's loop, eager, its steps compiled (`compile=True`), and either captured as one CUDA graph,
    against the loop written by hand, eagerly
3. agreement  the same seeds on CPU and GPU, exact denoisers, float32 and float64
4. syncs      host synchronisations of a fixed-grid solve that grow with its steps

Without CUDA it says so in one line and measures nothing; `--device cpu --tiny` runs every part on toy sizes and stores
nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common import save, show
from benchmarks.networks import cases
from scoresde import EDM, VPSDE, Denoiser, Method, catalogue, exact, sample
from scoresde.compare import peers
from scoresde.samplers.reverse import reverse
from scoresde.samplers.transport import transport
from solvers import Compiled, Equation, Solver, WhiteNoise
from solvers.solver import Path

HIGH, LOW = 80.0, 0.02  # inside the range of the networks' training process
OURS = {
    "ddim": catalogue.ddim,
    "unipc": catalogue.unipc,
    "best": catalogue.best,
    "euler_maruyama": lambda n: catalogue.euler_maruyama(n),
}
OTHERS = (
    "diffusers:ddim",
    "diffusers:dpmpp_2m",
    "diffusers:unipc_3",
    "k-diffusion:euler",
    "k-diffusion:dpmpp_2m",
    "azula:ddim",
    "torchsde:euler",
)
Run = Callable[[], Any]


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize()


def seconds(runs: dict[str, Run], device: str, rounds: int) -> dict[str, float]:
    """Least seconds of each run, taken in turns, each waited for."""
    best = dict.fromkeys(runs, math.inf)
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            synchronise(device)
            start = time.perf_counter()
            run()
            synchronise(device)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def ours(denoiser: Denoiser, x: Tensor, method: Method) -> Run:
    """A transport of x by a method, noise drawn in blocks from the device's generator."""
    noise = WhiteNoise(torch.Generator(x.device).manual_seed(0)) if method.stochastic else None
    return lambda: transport(denoiser, x, method, EDM(), HIGH, LOW, noise)


def overhead(device: str, tiny: bool, rounds: int) -> list[dict]:
    """Seconds of a step over those of a network call, everyone on the same network, state and number of steps."""
    rows: list[dict] = []
    one = torch.tensor(1.0, dtype=torch.float64)
    for name, (denoiser, shape, n) in cases(device, tiny).items():
        x = HIGH * torch.randn(shape, device=device, generator=torch.Generator(device).manual_seed(0))
        kind = next(denoiser.network.parameters()).dtype
        scaled, t = (x / HIGH).to(kind), torch.full((shape[0],), 500.0, device=device)
        levels = torch.exp(torch.linspace(math.log(HIGH), math.log(LOW), n + 1, dtype=torch.float64))

        def model(y: Tensor, s: Tensor, denoiser: Denoiser = denoiser) -> Tensor:
            return denoiser(y, one, s).x0

        def bare(network: nn.Module = denoiser.network, scaled: Tensor = scaled, t: Tensor = t, n: int = n) -> None:
            for _ in range(n):
                network(scaled, t)

        runs: dict[str, Run] = {"bare network calls": bare} | {
            f"ours {key}": ours(denoiser, x, make(n)) for key, make in OURS.items()
        }
        for peer in (
            p for p in (*peers.DETERMINISTIC, *peers.STOCHASTIC) if p.name in OTHERS and not peers.absent(p.library)
        ):
            there = levels.to(device) if peer.library == "k-diffusion" else levels
            runs[peer.name] = lambda peer=peer, x=x, there=there, model=model: peer.solve(model, x, there)
        with torch.no_grad():
            best = seconds(runs, device, rounds)
            for key, spent in best.items():
                rows.append(
                    {
                        "case": name,
                        "run": key,
                        "ms per step": 1e3 * spent / n,
                        "of bare calls": spent / best["bare network calls"],
                        "samples per second": shape[0] / spent,
                        "peak MiB": peak(runs[key], device),
                    }
                )
    return rows


def peak(run: Run, device: str) -> float:
    """MiB allocated at most while it ran; 0 on the CPU, which does not say."""
    if device == "cpu":
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    run()
    synchronise(device)
    return torch.cuda.max_memory_allocated() / 2**20


def steps(eq: Equation, x: Tensor, solver: Solver, times: Tensor, path: Path | None = None) -> Tensor:
    """A solve without the checks at its edges, which read the state: what a graph can hold."""
    y, state = x, solver.init(eq, times[0], x)
    for t0, t1, w in zip(times[:-1], times[1:], solver.plan(eq, times, x), strict=True):
        y, _, state = solver.step(eq, t0, t1, y, state, path, w)
    return y


def graph(device: str, tiny: bool, rounds: int) -> list[dict]:
    """The MLP's DDIM loop: by hand, ours eager and compiled, either as one CUDA graph that is replayed; `transport` is
    ours with its checks."""
    denoiser, shape, n = next(iter(cases(device, tiny).values()))
    method = catalogue.ddim(n)
    x = torch.randn(shape, device=device, generator=torch.Generator(device).manual_seed(0)) * HIGH
    times = method.process.time(method.grid(n + 1, -math.log(HIGH), -math.log(LOW)))  # pyright: ignore
    eq = reverse(method.process, denoiser, 0.0, method.split)
    vp, levels = denoiser.process, torch.exp(-times).tolist()
    clock = [torch.full((shape[0],), 1000 * float(t), device=device) for t in vp.time(times)]
    scale = vp.alpha(vp.time(times)).tolist()

    def by_hand() -> Tensor:
        y = x
        for k in range(n):
            y = y + (levels[k + 1] - levels[k]) * denoiser.network(y * scale[k], clock[k])
        return y

    with torch.no_grad():
        fused = replace(method, solver=Compiled(method.solver, "eager" if tiny else "inductor"))  # pyright: ignore
        runs: dict[str, Callable[[], Tensor]] = {}
        for name, made in (("", method), (" compiled", fused)):
            run = lambda made=made: steps(eq, x, made.solver, times)  # noqa: E731
            whole = lambda made=made: transport(denoiser, x, made, EDM(), HIGH, LOW).y  # noqa: E731
            runs |= {
                f"ours{name}, steps": run,
                f"ours{name}, one graph": replayed(run, device),
                f"ours{name}, transport": whole,
            }
        if not torch.allclose(by_hand(), runs["ours, steps"](), rtol=1e-3, atol=1e-3):
            raise AssertionError("the loop by hand is not the same method")
        for name, run in runs.items():
            if not torch.allclose(run(), runs["ours, steps"](), rtol=1e-4, atol=1e-4):
                raise AssertionError(f"the answer of {name} is not the eager one's")
        best = seconds({"by hand, eager": by_hand, **runs}, device, rounds)
    return [
        {"run": name, "us per step": 1e6 * s / n, "by hand over this": best["by hand, eager"] / s}
        for name, s in best.items()
    ]


def replayed(run: Callable[[], Tensor], device: str) -> Callable[[], Tensor]:
    """`run` captured as a CUDA graph, a copy of whose output each call returns; on the CPU the run itself."""
    if device == "cpu":
        return run
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    held = torch.cuda.CUDAGraph()
    with torch.cuda.graph(held):
        out = run()

    def replay() -> Tensor:
        held.replay()
        return out.clone()

    return replay


def agreement(device: str, tiny: bool) -> list[dict]:
    """Largest relative difference of samples of the same seeds on the CPU and here, exact denoisers."""
    rows: list[dict] = []
    data = exact.GaussianMixture(
        torch.tensor([[-1.0, 0.3], [0.8, -0.6], [0.2, 1.1]], dtype=torch.float64), 0.05, process=VPSDE()
    )
    methods = {
        "ddim": catalogue.ddim(20),
        "unipc": catalogue.unipc(20),
        "ddpm": catalogue.ddpm(20),
        "euler_maruyama": catalogue.euler_maruyama(50),
    }
    for name, method in methods.items():
        for dtype, target in ((torch.float32, 1e-5), (torch.float64, 1e-11)):
            here, there = (
                sample(data.to(where), (16 if tiny else 4096, 2), method, seed=0, device=where, dtype=dtype).cpu()
                for where in ("cpu", device)
            )
            rows.append(
                {
                    "method": name,
                    "dtype": str(dtype),
                    "difference": float((here - there).abs().max() / here.abs().max()),
                    "target": target,
                }
            )
    return rows


def syncs(device: str, tiny: bool) -> list[dict]:
    """Host synchronisations of a whole transport at two numbers of steps: their difference is what a step costs."""
    denoiser, shape, n = next(iter(cases(device, tiny).values()))
    x = HIGH * torch.randn(shape, device=device, generator=torch.Generator(device).manual_seed(0))
    rows: list[dict] = []
    for name, make in OURS.items():
        few, many = (counted(ours(denoiser, x, replace(make(n), n=k)), device) for k in (n, 2 * n))
        rows.append({"method": name, f"syncs at {n} steps": few, f"at {2 * n}": many, "per step": (many - few) / n})
    return rows


def counted(run: Run, device: str) -> int:
    """Synchronisations torch warns of; none on the CPU, which has nothing to wait for."""
    if device == "cpu":
        run()
        return 0
    run()
    return min(_warned(run) for _ in range(3))  # the least: now and then the allocator waits once more


def _warned(run: Run) -> int:
    """Synchronisations of one run that torch warns of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(w.message).lower() for w in seen)


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, nothing stored")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: nothing measured (--device cpu --tiny tries every part on toy sizes)")
        return
    if args.device == "cpu" and not args.tiny:
        parser.error("--device cpu needs --tiny: its figures would say nothing of a GPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    rounds = 2 if args.tiny else 5
    parts: dict[str, Callable[[], list[dict]]] = {
        "overhead": lambda: overhead(args.device, args.tiny, rounds),
        "agreement": lambda: agreement(args.device, args.tiny),
        "syncs": lambda: syncs(args.device, args.tiny),
        "graph": lambda: graph(args.device, args.tiny, rounds),
    }
    measured: dict[str, list[dict]] = {}
    for name, part in parts.items():
        measured[name] = part()
        show(name, measured[name])
        if not args.tiny:  # stored part by part: a later one that fails costs none before it
            more = {key: rows for key, rows in measured.items() if key != "overhead"}
            save("gpu", measured["overhead"], torch.float32, device=torch.cuda.get_device_name(), **more)
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Cost of a step beyond the network, ours against a hand-written loop and torchsde: `python -m benchmarks.overhead`.

rows      100 Euler-Maruyama steps of an MLP 2-128-2 on 256 samples, float32, one thread, eager and compiled
sampling  100 levels of `sample` with an MLP 3-128-2 on 256 samples, eager and with compile=True, and DDIM written by
          hand; what the first
          compiled call costs more, no cache on disk, and after how many steps that is won back
traffic   a cheap field on a state of 256 x 3072, where memory decides: the yardstick is a pass of `y + h k` (two reads
          and a write)
passes    reads and writes of that state in one Euler-Maruyama step, normals drawn before: counted at torch's
          operations, and in the loops
          of the machine code's source"""

from __future__ import annotations

import argparse
import math
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._inductor.utils import fresh_cache, run_and_get_code
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.common import interleaved, save, show
from scoresde import EDM, VPSDE, Denoiser, catalogue, sample
from solvers import Compiled, Equation, EulerMaruyama, Noise, SeededNoise, WhiteNoise, solve

STEPS, H, G = 100, 0.01, 0.7
TIMES = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)


def small(rounds: int, peers: bool) -> list[dict]:
    """Microseconds per step with a network."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 128), torch.nn.SiLU(), torch.nn.Linear(128, 2))
    y0, generator, g = torch.randn(256, 2), torch.Generator().manual_seed(0), torch.tensor(G)
    eq = Equation(lambda t, y: net(y), lambda t, y: g, noise=Noise.ADDITIVE)

    def network() -> None:
        for _ in range(STEPS):
            net(y0)

    def by_hand() -> Tensor:
        y = y0
        for _ in range(STEPS):
            y = y + H * net(y) + G * H**0.5 * torch.randn(y.shape, generator=generator)
        return y

    runs = {
        "network alone": network,
        "hand-written Euler-Maruyama": by_hand,
        "ours, WhiteNoise": lambda: solve(eq, y0, EulerMaruyama(), TIMES, WhiteNoise(generator)).y,
        "ours, SeededNoise": lambda: solve(eq, y0, EulerMaruyama(), TIMES, SeededNoise(0)).y,
        "ours compiled, WhiteNoise": lambda: solve(eq, y0, Compiled(EulerMaruyama()), TIMES, WhiteNoise(generator)).y,
    }
    best = interleaved(runs, rounds)
    if peers:
        best |= interleaved({"torchsde euler": lambda: torchsde(net, y0)}, 1)
    base = best["hand-written Euler-Maruyama"]
    return [{"run": name, "us per step": 1e6 * s / STEPS, "of hand-written": s / base} for name, s in best.items()]


def torchsde(net: torch.nn.Module, y0: Tensor) -> Tensor:
    """The same steps by torchsde, with its Brownian tree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchsde as peer

    class Sde(torch.nn.Module):
        noise_type, sde_type = "additive", "ito"

        def f(self, t: Tensor, y: Tensor) -> Tensor:
            return net(y)

        def g(self, t: Tensor, y: Tensor) -> Tensor:
            return G * torch.eye(2).expand(len(y), 2, 2)

    return peer.sdeint(Sde(), y0, torch.tensor([0.0, 1.0]), dt=H, method="euler")[-1]


class Network(nn.Module):
    """Two coordinates and the time to two coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 128), nn.SiLU(), nn.Linear(128, 2))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.body(torch.cat([x, t.reshape(-1, 1)], 1))


def by_hand_ddim(denoiser: Denoiser, levels: Tensor) -> Callable[[], Tensor]:
    """DDIM along sigma/alpha with all coefficients made beforehand, and the denoised state at the end."""
    vp, network = denoiser.process, denoiser.network
    times, sigmas = vp.time(levels), torch.exp(-levels).tolist()
    scale, clock = vp.alpha(times).tolist(), [torch.full((256,), float(t)) for t in times]
    start = torch.randn(256, 2, generator=torch.Generator().manual_seed(0)) * sigmas[0]

    def run() -> Tensor:
        y = start
        for k in range(len(sigmas) - 1):
            y = y + (sigmas[k + 1] - sigmas[k]) * network(y * scale[k], clock[k])
        return y - sigmas[-1] * network(y * scale[-1], clock[-1])

    return run


def sampling(rounds: int) -> list[dict]:
    """Microseconds per level of whole samples; the first compiled call's seconds, and the steps that win them back."""
    torch.manual_seed(0)
    denoiser, first = (
        Denoiser(Network().eval(), VPSDE()),
        dict[str, float](),
    )  # first: seconds of the first call of each
    levels = -torch.linspace(math.log(EDM().t_max), math.log(0.02), STEPS, dtype=torch.float64)
    runs: dict[str, Callable[[], Any]] = {"hand-written DDIM": by_hand_ddim(denoiser, levels)}
    began = time.perf_counter()
    torch.compile(lambda x: x + 1)(torch.ones(4))
    loading = time.perf_counter() - began
    for name, make in {
        "ddim": catalogue.ddim,
        "euler_maruyama": catalogue.euler_maruyama,
        "best": catalogue.best,
    }.items():
        for said, fast in ((name, False), (f"{name}, compile=True", True)):
            runs[said] = lambda make=make, fast=fast: sample(denoiser, (256, 2), make(STEPS), compile=fast)
            began = time.perf_counter()
            runs[said]()
            first[said] = time.perf_counter() - began
    best = interleaved(runs, rounds)
    rows: list[dict] = []
    for said, spent in best.items():
        eager, fast = said.removesuffix(", compile=True"), said.endswith("compile=True")
        gain, extra = (best[eager] - spent) / STEPS, first.get(said, spent) - first.get(eager, spent)
        rows.append(
            {
                "run": said,
                "us per level": 1e6 * spent / STEPS,
                "of eager": spent / best[eager],
                "first call, s more": extra,
                "levels to win it back": math.ceil(extra / gain) if fast and gain > 0 else None,
            }
        )
    return [*rows, {**dict.fromkeys(rows[0]), "run": "loading the compiler", "first call, s more": loading}]


def large(rounds: int) -> list[dict]:
    """Memory passes per step beyond field and normals on a state of 256 x 3072."""
    y0, generator, g, steps = torch.randn(256, 3072), torch.Generator().manual_seed(0), torch.tensor(G), 20
    eq = Equation(lambda t, y: y0, lambda t, y: g, noise=Noise.ADDITIVE)
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)

    def normals() -> None:
        for _ in range(steps):
            torch.empty_like(y0).normal_(0.0, 0.1, generator=generator)

    def passes() -> None:
        y = y0
        for _ in range(steps):
            y = torch.add(y, y0, alpha=H)

    best = interleaved(
        {
            "normals alone": normals,
            "one pass y + h k": passes,
            "ours": lambda: solve(eq, y0, EulerMaruyama(), times, WhiteNoise(generator)).y,
            "ours compiled": lambda: solve(eq, y0, Compiled(EulerMaruyama()), times, WhiteNoise(generator)).y,
        },
        rounds,
    )
    one, normal = best["one pass y + h k"], best["normals alone"]
    best |= {f"{name} beyond normals": best[name] - normal for name in ("ours", "ours compiled")}
    return [{"run": name, "ms per step": 1e3 * s / steps, "passes": s / one} for name, s in best.items()]


class Passes(TorchDispatchMode):
    """State-sized tensors that torch's operations read and write."""

    def __init__(self, size: int):
        super().__init__()
        self.size, self.reads, self.writes = size, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.reads += sum(isinstance(x, Tensor) and x.numel() == self.size for x in tree_leaves((args, kwargs)))
        self.writes += sum(isinstance(x, Tensor) and x.numel() == self.size for x in tree_leaves(out))
        return out


def passes() -> list[dict]:
    """Reads and writes of the state in one Euler-Maruyama step whose f and dW are there already."""
    y, k, dw, g = (torch.randn(shape) for shape in ((256, 3072), (256, 3072), (256, 3072), ()))
    eq = Equation(lambda t, y: k, lambda t, y: g, noise=Noise.ADDITIVE)

    def step(solver: EulerMaruyama | Compiled) -> Tensor:
        return solve(eq, y, solver, TIMES[:2], lambda t0, t1: dw).y

    t0, t1 = TIMES[:2]
    with Passes(y.numel()) as eager:
        want, _, _ = EulerMaruyama().step(eq, t0, t1, y, (), lambda t0, t1: dw, None)  # pyright: ignore
    torch.compiler.reset()
    got, sources = run_and_get_code(step, Compiled(EulerMaruyama()))
    if not torch.allclose(got, want, rtol=1e-6, atol=1e-6):
        raise AssertionError("the compiled step is not the eager one")
    reads, writes = (
        sum(touched(kernel, way) for source in sources for kernel in source.split('extern "C"')[1:])
        for way in ("in", "out")
    )
    return [
        {"run": "ours", "reads": eager.reads, "writes": eager.writes},
        {"run": "ours compiled", "reads": reads, "writes": writes},
    ]


def touched(kernel: str, way: str) -> int:
    """Arrays of a kernel's C++ source that move with its loop: those read (in) or written (out)."""
    body = kernel.split("'" * 3)[0]
    moving = [
        statement for statement in body.split(";") if re.search(r"_ptr\d+.*x\d", statement) and "for(" not in statement
    ]
    return len({name for statement in moving for name in re.findall(rf"\b(?:{way}|in_out)_ptr\d+", statement)})


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--no-peers", action="store_true", help="skip torchsde")
    args = parser.parse_args()
    torch.set_num_threads(1)
    few = max(3, args.rounds // 6)
    with torch.no_grad(), fresh_cache():
        parts = {"sampling": sampling(few), "traffic": large(few), "passes": passes()}
        rows = small(args.rounds, not args.no_peers)
    show("100 Euler-Maruyama steps, MLP 2-128-2, batch 256", rows)
    for name, part in parts.items():
        show(name, part)
    save("overhead", rows, torch.float32, **parts)


if __name__ == "__main__":
    main()

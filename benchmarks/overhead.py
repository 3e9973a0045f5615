"""Cost of a step beyond the network, ours against a hand-written loop and torchsde: `python -m benchmarks.overhead`.

100 Euler-Maruyama steps of an MLP 2-128-2 on 256 samples, float32, one thread; and of a cheap field on a state of 256 x 3072,
where memory traffic decides: its yardstick is a pass of `y + h k` (two reads and a write of the state)."""

from __future__ import annotations

import argparse
import warnings

import torch
from torch import Tensor

from benchmarks.common import interleaved, save, show
from solvers import Equation, EulerMaruyama, Noise, SeededNoise, WhiteNoise, solve

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

    best = interleaved({
        "normals alone": normals,
        "one pass y + h k": passes,
        "ours, WhiteNoise": lambda: solve(eq, y0, EulerMaruyama(), times, WhiteNoise(generator)).y,
    }, rounds)
    one = best["one pass y + h k"]
    beyond = (best["ours, WhiteNoise"] - best["normals alone"]) / one
    rows = [{"run": name, "ms per step": 1e3 * s / steps, "passes": s / one} for name, s in best.items()]
    return [*rows, {"run": "ours beyond normals", "ms per step": 1e3 * beyond * one / steps, "passes": beyond}]


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--no-peers", action="store_true", help="skip torchsde")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        rows, traffic = small(args.rounds, not args.no_peers), large(max(3, args.rounds // 6))
    show("100 Euler-Maruyama steps, MLP 2-128-2, batch 256", rows)
    show("State 256 x 3072", traffic)
    save("overhead", rows, torch.float32, traffic=traffic)


if __name__ == "__main__":
    main()

"""Does the doctor find planted faults, and does it leave the healthy alone?

    python -m benchmarks.doctor [--steps 400] [--seeds 1]

Healthy models: closed-form denoisers of three data sets along up to three processes, written as networks of four
parameterisations, and MLPs and image U-Nets trained here. The doctor's thresholds were set on the first two kinds at
seed 0: U-Nets and other seeds are new to it. Each fault is planted in each model that can have it. Counted: false
alarms (healthy models with any finding), detections (the finding of that name is among those made) and sole detections
(it is the only one). Writes benchmarks/results/doctor.json.
"""

from __future__ import annotations

import argparse
import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from scoresde import EDM, VPSDE, X0, Denoiser, Eps, Process, RectifiedFlow, Score, V, exact
from scoresde.data import SETS
from scoresde.data.samples import Dataset, Samples
from scoresde.denoisers.denoiser import BaseDenoiser, Parameterisation
from scoresde.evaluation.doctor import doctor
from scoresde.networks import MLP, UNet
from scoresde.processes.coefficients import like
from scoresde.runtime.torch_state import seeded
from scoresde.training import Training, fit

from .common import save, show

PROCESSES: list[Process] = [VPSDE(), EDM(), RectifiedFlow()]
TABLES: list[Parameterisation] = [Eps(), X0(), V(), Score()]


@dataclass(frozen=True)
class Source:
    """Data with a closed-form denoiser."""

    name: str
    truth: BaseDenoiser
    draw: Callable[[int, int], Tensor]


def sources() -> list[Source]:
    """Three clusters, a ring of eight, a wide Gaussian off the origin."""
    three = exact.GaussianMixture(torch.tensor([[-0.6, 0.0], [0.6, 0.0], [0.0, 0.7]]), 0.02)
    angle = torch.arange(8) * torch.pi / 4
    ring = exact.GaussianMixture(torch.stack([angle.cos(), angle.sin()], 1), 0.0025)
    wide = exact.Gaussian(torch.tensor([1.0, -0.5, 2.0]), torch.tensor([0.25, 1.0, 4.0]))
    return [Source(name, truth, truth.sample) for name, truth in (("three", three), ("ring", ring), ("wide", wide))]


class Oracle(nn.Module):
    """A closed-form denoiser as a network of c_noise = 1000 t. With two classes, `cond` moves the data by +-0.2."""

    def __init__(self, truth: BaseDenoiser, process: Process, table: Parameterisation):
        super().__init__()
        self.truth, self.process, self.table = truth, process, table

    def forward(self, x: Tensor, c: Tensor, cond: Any = None) -> Tensor:
        t = (c / 1000).to(torch.float64)
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        shift = 0.0 if cond is None else (0.4 * cond - 0.2).reshape(-1, *[1] * (x.dim() - 1))
        p = self.truth(x.double() - alpha.reshape(-1, 1) * shift, alpha, sigma)
        return (self._read(p) + (shift * self._share(alpha, sigma).reshape(-1, 1) if cond is not None else 0.0)).to(
            x.dtype
        )

    def _read(self, p: Any) -> Tensor:
        return {Eps: lambda: p.eps, X0: lambda: p.x0, V: lambda: p.v, Score: lambda: p.score}[type(self.table)]()

    def _share(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """What moving x0 and x by (1, alpha) adds to the output."""
        return {Eps: 0 * alpha, X0: 0 * alpha + 1, V: -sigma / (alpha**2 + sigma**2).sqrt(), Score: 0 * alpha}[
            type(self.table)
        ]


class Changed(nn.Module):
    """A network behind a fault: output = after(network(x, before(c)), c); `deaf` drops the condition."""

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda c: c,
        after: Callable[[Tensor, Tensor], Tensor] = lambda f, c: f,
        deaf: bool = False,
    ):
        super().__init__()
        self.network, self.before, self.after, self.deaf = network, before, after, deaf

    def forward(self, x: Tensor, c: Tensor, cond: Any = None) -> Tensor:
        inputs = (x, self.before(c)) if cond is None or self.deaf else (x, self.before(c), cond)
        return self.after(self.network(*inputs), c)


class Dropout(nn.Module):
    """A tenth of the output is dropped in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Dropout(0.1)

    def forward(self, f: Tensor, c: Tensor) -> Tensor:
        return self.layer(f)


@dataclass(frozen=True)
class Model:
    """A healthy network and what belongs to it: data (B, ...) in float32, labels or None, the weights before averaging
    or None."""

    kind: str
    network: nn.Module
    process: Process
    table: Parameterisation
    data: Tensor
    cond: Tensor | None = None
    untrained: nn.Module | None = None

    def denoiser(
        self, network: nn.Module | None = None, table: Parameterisation | None = None, scale: float = 1000.0
    ) -> Denoiser:
        """With a fault, where one is given."""
        network, process = self.network if network is None else network, self.process
        return Denoiser(
            network, process, self.table if table is None else table, time=lambda lam: scale * process.time(lam)
        ).eval()


def oracles(seed: int) -> Iterator[Model]:
    """Closed forms as networks."""
    for source in sources():
        data = source.draw(128, seed).float()
        for process in PROCESSES if source.name == "three" else PROCESSES[:1]:
            for table in TABLES:
                yield Model("exact", Oracle(source.truth, process, table), process, table, data)
    three = sources()[0]
    cond = torch.arange(128) % 2
    for table in TABLES:
        data = (three.draw(128, seed) + (0.4 * cond - 0.2).unsqueeze(1)).float()
        yield Model("exact, two classes", Oracle(three.truth, VPSDE(), table), VPSDE(), table, data, cond)


def trained(steps: int, seed: int, processes: list[Process], tables: list[Parameterisation]) -> Iterator[Model]:
    """Small MLPs after `steps` steps of 256 samples."""
    source = sources()[0]
    for process in processes:
        for table in tables:
            with seeded(seed):
                network = MLP(2, 96, 3)
            train = Dataset(source.draw(20_000, seed + 99).float())
            yield taught(
                Model(f"MLP, {steps} steps", network, process, table, source.draw(128, seed).float()),
                train,
                256,
                steps,
                seed,
            )


def pictures(steps: int, seed: int, tables: list[Parameterisation]) -> Iterator[Model]:
    """Small U-Nets after `steps` steps of 64 digits, examined on held-out ones."""
    train, held_out = SETS["digits"]().split()
    for table in tables:
        with seeded(seed):
            network = UNet(train.shape[0], (16, 32))
        data = held_out.samples(torch.randperm(len(held_out), generator=torch.Generator().manual_seed(seed))[:32])
        yield taught(Model(f"U-Net, {steps} steps", network, VPSDE(), table, data), train, 64, steps, seed)


def taught(model: Model, data: Samples, batch: int, steps: int, seed: int) -> Model:
    """The model after training, and its weights before."""
    model = replace(model, untrained=copy.deepcopy(model.network))
    for _ in fit(model.denoiser(), data, Training(steps=steps, batch=batch, lr=4e-3, seed=seed)):
        pass
    model.network.eval()
    return model


Planted = tuple[str, str, Callable[[], Any]]


def faults(m: Model, seed: int) -> Iterator[Planted]:
    """(fault, name of its finding, examination) for each fault that this model can have."""
    process, table, span = m.process, m.table, 1000 * (m.process.t_max + m.process.t_min)

    def ask(denoiser: Any, batch: Tensor = m.data, **more: Any) -> Callable[[], Any]:
        return lambda: doctor(denoiser, process, batch, m.cond, seed=seed, **more)

    yield "sign", "wrong sign", ask(m.denoiser(Changed(m.network, after=lambda f, c: -f)))
    for other in TABLES:
        if other != table:
            yield (
                f"{type(table).__name__} as {type(other).__name__}",
                f"{type(table).__name__} read as {type(other).__name__}",
                ask(m.denoiser(table=other)),
            )
    if table == Score():
        faint = Changed(m.network, after=lambda f, c: f * like(process.sigma(c.double() / 1000), f))
        yield "missing 1/sigma", "missing 1/sigma", ask(m.denoiser(faint))
    yield "c_noise / 1000", "wrong time scale", ask(m.denoiser(scale=1.0))
    yield "c_noise * 1000", "wrong time scale", ask(m.denoiser(Changed(m.network, before=lambda c: c / 1000)))
    yield "time reversed", "time reversed", ask(m.denoiser(Changed(m.network, before=lambda c: span - c)))
    if float(m.data.abs().max()) <= 1:
        yield "data in [0, 255]", "wrong data range", ask(m.denoiser(), 127.5 * m.data + 127.5)
        yield "data in [0, 1]", "wrong data range", ask(m.denoiser(), 0.5 * m.data + 0.5)
    yield (
        "not finite",
        "output not finite",
        ask(m.denoiser(Changed(m.network, after=lambda f, c: f / like((c > 100 * process.t_max).to(f), f)))),
    )
    yield "dropout in train mode", "output not repeatable", ask(m.denoiser(Changed(m.network, after=Dropout())).train())
    if m.cond is not None:
        yield "condition dead", "condition ignored", ask(m.denoiser(Changed(m.network, deaf=True)))
    if m.untrained is not None:
        yield "stale average", "stale average", ask(m.denoiser(m.untrained), raw=m.denoiser())


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    healthy: dict[str, list[bool]] = defaultdict(list)
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    missed: list[str] = []
    for seed in range(arguments.seeds):
        for model in chain(
            oracles(seed), trained(arguments.steps, seed, [VPSDE()], TABLES), pictures(arguments.steps, seed, TABLES)
        ):
            findings = doctor(model.denoiser(), model.process, model.data, model.cond, raw=model.denoiser(), seed=seed)
            healthy[model.kind].append(bool(findings))
            if findings:
                missed.append(
                    f"false alarm: {model.kind}, {model.process!r}, {model.table!r}: {[str(f) for f in findings]}"
                )
            for fault, name, examine in faults(model, seed):
                names = [f.what for f in examine()]
                found[fault].append((name in names, names == [name]))
                if name not in names:
                    missed.append(
                        f"missed: {fault} in {model.kind}, {model.process!r}, {model.table!r}, seed {seed}: {names}"
                    )
    rows: list[dict[str, Any]] = [
        {"what": f"healthy: {kind}", "models": len(v), "alarms": sum(v)} for kind, v in healthy.items()
    ]
    show("False alarms", rows)
    hits = [
        {"fault": f, "models": len(v), "found": sum(a for a, _ in v), "alone": sum(b for _, b in v)}
        for f, v in sorted(found.items())
    ]
    hits.append({"fault": "all", **{key: sum(int(h[key]) for h in hits) for key in ("models", "found", "alone")}})
    show("Planted faults", hits)
    print("\n".join(missed))
    save("doctor", [*rows, *hits], torch.float32, steps=arguments.steps, seeds=arguments.seeds, missed=missed)


if __name__ == "__main__":
    main()

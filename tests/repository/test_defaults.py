"""Nothing depends on torch's default device or dtype: a model on the CPU is used with "cuda" as the default, for which
"meta" stands here."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scoresde import VPSDE, Denoiser, catalogue, data, ddpm, exact, runs, sample, sampling
from scoresde.denoisers.moments import Moments
from scoresde.evaluation.distances import METRICS
from scoresde.evaluation.doctor import doctor
from scoresde.evaluation.elbo import elbo
from scoresde.evaluation.judge import frechet
from scoresde.evaluation.likelihood import log_likelihood
from scoresde.networks import MLP
from scoresde.runs.toml import parse
from scoresde.samplers.recommend import recommended
from scoresde.training import fit
from scoresde.training.noise_levels import Importance, LogitNormal, LogNormal, Uniform
from scoresde.training.state import Training, begin

VP = VPSDE()
X = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
MIXTURE = exact.GaussianMixture(torch.tensor([[-1.0, 0.3], [0.8, -0.6]]), 0.2, process=VP)
NETWORK = Denoiser(MLP(2, 8, 1), VP)
UNIFORM = torch.linspace(0.01, 0.99, 8, dtype=torch.float64)
NAMES = [
    *[name for name in catalogue.fixed_step_methods() if name != "improved_ddpm"],
    "probability_flow",
]  # that one needs a network with variances
DIGITS = data.SETS["digits"]()


def trained() -> Tensor:
    torch.manual_seed(0)
    with torch.device("cpu"):
        network = MLP(2, 8, 1)
        network.to(torch.float32)
    for p in network.parameters():
        p.data = torch.linspace(-1, 1, p.numel(), device="cpu", dtype=torch.float32).reshape(p.shape)
    samples = data.Dataset(X, torch.arange(16, device="cpu") % 2)
    training = Training(steps=2, batch=8)
    list(fit(Denoiser(network, VP), samples, training, begin(network, training)))
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def configured(kind: str) -> Callable[[Path], Tensor]:
    def run(_: Path) -> Tensor:
        shape = (2,) if kind == "mlp" else (1, 8, 8)
        made = parse({"network": {"kind": kind, "widths": [16] if kind != "unet" else [8, 16]}}).denoiser(shape)
        return sample(made, (2, *shape), catalogue.ddim(2))

    return run


def of_a_run(where: Path) -> Any:
    config = parse({"data": {"path": "moons"}, "network": {"widths": [8]}, "training": {"steps": 2, "batch": 8}})
    train, held_out = config.dataset().split(0.2)
    made = runs.train(config, train, where / "run", "command", held_out=held_out)
    loaded = runs.load(where / "run")
    return (
        sample(made.denoiser, (2, 2), catalogue.ddim(2)),
        sample(loaded.denoiser, (2, 2), catalogue.best(3)),
        loaded.original(X),
    )


def of_files(where: Path) -> Any:
    np.savez(where / "a.npz", x=np.linspace(0, 1, 80).reshape(20, 2, 2), y=np.arange(20))
    np.save(where / "b.npy", np.linspace(-1, 1, 40).reshape(20, 2))
    (where / "c.csv").write_text("label,a\n" + "".join(f"{i % 2},{i}\n" for i in range(20)))
    return [data.load(where / name).in_memory(8).x for name in ("a.npz", "b.npy", "c.csv")]


CALLS: dict[str, Callable[[Path], Any]] = {
    **{name: lambda _, name=name: sample(MIXTURE, (4, 2), make(name)) for name in NAMES},
    "network": lambda _: sample(NETWORK, (4, 2), catalogue.unipc(4), batch=3),
    "generator": lambda _: sample(
        NETWORK, (4, 2), catalogue.ddpm(4), None, generator=torch.Generator("cpu").manual_seed(0)
    ),
    "trajectory": lambda _: list(sampling.trajectory(MIXTURE, (4, 2), catalogue.ddim(4))),
    "encode": lambda _: sampling.decode(MIXTURE, sampling.encode(MIXTURE, X, catalogue.ddim(4)), catalogue.ddim(4)),
    "likelihood": lambda _: log_likelihood(MIXTURE, X, rtol=1e-2, atol=1e-2).log_prob,
    "probes": lambda _: log_likelihood(NETWORK, X, probes=2, rtol=1e-2, atol=1e-2).log_prob,
    "elbo": lambda _: elbo(MIXTURE, ddpm.of(VP, 10), X).total,
    "chains": lambda _: [chain(50).alpha(0.5) for chain in (ddpm.linear, ddpm.cosine)],
    "doctor": lambda _: [f.what for f in doctor(MIXTURE, VP, X)],
    "recommended": lambda _: sample(MIXTURE, (4, 2), recommended(MIXTURE, 6, moments=Moments.of(X))),
    "recommended, measured": lambda _: sample(MIXTURE, (4, 2), recommended(MIXTURE, 6, shape=(2,))),
    "levels": lambda _: [levels(UNIFORM, VP) for levels in (Uniform(), LogNormal(), LogitNormal(), Importance())],
    "fit": lambda _: trained(),
    "split": lambda _: [part.in_memory(4).x for part in DIGITS.split(0.2)],
    "batch": lambda _: DIGITS.batch(3, 8, 0),
    "sets": lambda _: [make().in_memory(4).x for make in data.SETS.values()],
    "distances": lambda _: [metric(X, X + 1) for metric in METRICS.values()],
    "frechet": lambda _: frechet(X.double(), X.double() + 1),
    "files": of_files,
    "run": of_a_run,
    **{kind: configured(kind) for kind in ("mlp", "unet", "dit")},
}


def make(name: str) -> Any:
    return catalogue.probability_flow(1e-2) if name == "probability_flow" else catalogue.fixed_step_methods()[name](4)


@contextmanager
def defaults(device: str | None = None, dtype: torch.dtype | None = None) -> Iterator[None]:
    try:
        torch.set_default_device(device)
        torch.set_default_dtype(dtype or torch.float32)
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


@pytest.mark.parametrize("name", CALLS)
def test_no_answer_depends_on_the_defaults(name: str, tmp_path: Path) -> None:
    answers: list[Any] = []
    for i, given in enumerate(({}, {"device": "meta"}, {"dtype": torch.float64})):
        (tmp_path / str(i)).mkdir()
        with defaults(**given):
            answers.append(leaves(CALLS[name](tmp_path / str(i))))
    for other in answers[1:]:
        for want, got in zip(answers[0], other, strict=True):
            if isinstance(want, Tensor):
                assert (got.device.type, got.dtype) == (want.device.type, want.dtype)
                torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
            else:
                assert got == pytest.approx(want) if isinstance(want, float) else got == want


FACTORIES = {
    "tensor",
    "as_tensor",
    "zeros",
    "ones",
    "full",
    "empty",
    "eye",
    "arange",
    "linspace",
    "logspace",
    "rand",
    "randn",
    "randint",
    "randperm",
}
ROOT = Path(__file__).parents[2]


def without_device(source: str) -> list[int]:
    """Lines that make a tensor by torch without saying on which device."""
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    made = [node for node in calls if node.func.attr in FACTORIES and ast.unparse(node.func.value) == "torch"]  # pyright: ignore
    return [node.lineno for node in made if not any(word.arg == "device" for word in node.keywords)]


@pytest.mark.parametrize(
    "path", sorted(p for room in ("scoresde", "solvers") for p in (ROOT / room).rglob("*.py")), ids=str
)
def test_every_tensor_says_where_it_is_made(path: Path) -> None:
    """Modules are made where torch makes modules; everything else says its device."""
    if path.parent.name != "networks":
        assert without_device(path.read_text(encoding="utf-8")) == []


def test_a_tensor_without_a_device_is_seen() -> None:
    assert without_device("a = torch.zeros(3)\nb = torch.arange(3, device='cpu')\nc = torch.randn(2)") == [1, 3]

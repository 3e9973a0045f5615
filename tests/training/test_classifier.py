"""Classifiers of noisy samples: what they learn, and that they are loaded as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scoresde import EDM, VPSDE, catalogue, exact, guidance, runs, sample
from scoresde.data.samples import Dataset
from scoresde.denoisers.noisy_classifier import NoisyClassifier
from scoresde.networks import UNetClassifier
from scoresde.runs import toml
from scoresde.runs.config import ConfigError
from scoresde.storage.files import CheckpointError
from tests.helpers.problems import F64

CONFIG: dict[str, Any] = {
    "network": {"kind": "classifier", "widths": [32], "fourier": 0},
    "training": {"steps": 400, "batch": 256, "lr": 5e-3, "ema": 0.9},
}
MEANS = torch.tensor([[-1.5, 0.0], [1.5, 0.0]])


def two_classes(n: int = 4000) -> Dataset:
    """Gaussians of standard deviation 0.5 around two points."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    return Dataset(MEANS[labels] + 0.5 * torch.randn(n, 2, generator=generator), labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classifier") / "run"
    runs.train(toml.parse(CONFIG), two_classes(), out, "tests")
    return out


def test_it_learns_the_log_probability_at_every_level(folder: Path) -> None:
    """log p(c | x) of two Gaussians is that of a logistic function: slope 2 alpha m/(alpha^2 v + sigma^2)."""
    model, _ = runs.load_classifier(folder)
    x = torch.tensor([[-1.0, 0.3], [-0.2, 0.0], [0.1, -0.5], [0.8, 0.2]])

    for t in (0.05, 0.3, 0.6, 1.0):
        alpha, sigma = VPSDE().alpha(t), VPSDE().sigma(t)
        logit = 2 * float(alpha) * 1.5 * x[:, 0] / (float(alpha) ** 2 * 0.25 + float(sigma) ** 2)
        found = model.log_prob(x, alpha, sigma, torch.ones(4, dtype=torch.int64))
        assert float((found.detach().exp() - logit.sigmoid()).abs().max()) < 0.12


def test_it_may_be_asked_along_any_process(folder: Path) -> None:
    model, _ = runs.load_classifier(folder)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    label = torch.tensor([0, 1, 0, 1, 1])
    alpha, sigma = torch.tensor(0.6, dtype=F64), torch.tensor(0.8, dtype=F64)
    torch.testing.assert_close(
        model.log_prob(x, alpha, sigma, label), model.log_prob(x / 0.6, alpha / 0.6, sigma / 0.6, label)
    )


def test_it_guides_a_denoiser_to_its_class(folder: Path) -> None:
    """Of both classes' mixture; nine in ten at least, where none is unguided half."""
    model, _ = runs.load_classifier(folder)
    prior = exact.GaussianMixture(MEANS.double(), 0.25, process=VPSDE())
    guided = guidance.Classifier(prior, model.log_prob, 2.0)
    x = sample(guided, (200, 2), catalogue.unipc(20), cond=1, dtype=F64)
    assert float((x[:, 0] > 0).double().mean()) > 0.9


def test_it_is_taken_up_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    half = {**CONFIG, "training": {**CONFIG["training"], "schedule": "constant", "steps": 20}}
    whole = {**CONFIG, "training": {**CONFIG["training"], "schedule": "constant", "steps": 40}}
    data = two_classes(512)
    runs.train(toml.parse(half), data, tmp_path / "a", "tests")
    runs.train(toml.parse(whole), data, tmp_path / "a", "tests", resume=True)
    runs.train(toml.parse(whole), data, tmp_path / "b", "tests")
    a, b = (runs.load_classifier(tmp_path / name)[0] for name in "ab")
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_a_run_is_loaded_as_what_it_is(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a classifier"):
        runs.load(folder)

    denoiser = {"network": {"widths": [8]}, "training": {"steps": 1, "batch": 4}}
    runs.train(toml.parse(denoiser), two_classes(16), tmp_path / "d", "tests")
    with pytest.raises(CheckpointError, match="holds a denoiser"):
        runs.load_classifier(tmp_path / "d")


def test_images_are_classified_by_the_way_down_of_a_unet() -> None:
    """Of any size, differentiably, with every weight used."""
    network = UNetClassifier(3, (16, 32), 1, classes=5)
    x = torch.randn(2, 3, 9, 7, requires_grad=True)
    out = network(x, torch.full((2,), 500.0))
    assert out.shape == (2, 5)
    out.sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None for p in network.parameters())


class Flat(nn.Module):
    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        return torch.stack((x.sum(1), c_noise), 1)


BAD: dict[str, tuple[Any, str]] = {
    "loss": (lambda: toml.parse({**CONFIG, "loss": {"name": "DSM"}}), "`loss.name` must be CrossEntropy exactly when"),
    "kind": (lambda: toml.parse({"loss": {"name": "CrossEntropy"}}), "`loss.name` must be CrossEntropy exactly when"),
    "dropout": (
        lambda: toml.parse({**CONFIG, "training": {"label_dropout": 0.1}}),
        "`training.label_dropout` must be 0",
    ),
    "sample": (lambda: toml.parse({**CONFIG, "record": {"sample": 5}}), "`record.sample` must be 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_configuration_that_cannot_be_is_named(name: str) -> None:
    call, said = BAD[name]
    with pytest.raises(ConfigError, match=said):
        call()


def test_bad_labels_and_data_are_named(tmp_path: Path) -> None:
    model = NoisyClassifier(Flat(), EDM())
    x, one = torch.zeros(3, 2), torch.ones((), dtype=F64)
    with pytest.raises(TypeError, match="`cond` must be labels"):
        model.log_prob(x, one, one, None)
    with pytest.raises(ValueError, match=r"`cond` must lie in \[0, 2\)"):
        model.log_prob(x, one, one, torch.tensor([0, 1, 2]))
    with pytest.raises(TypeError, match="`process` must be"):
        NoisyClassifier(Flat(), 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label"):
        runs.train(toml.parse(CONFIG), Dataset(torch.zeros(300, 2)), tmp_path, "tests")

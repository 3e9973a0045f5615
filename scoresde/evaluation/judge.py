"""The distance of samples from data: the Frechet distance between features, and a small classifier that computes the
features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data.samples import Dataset
from ..runtime.torch_state import seeded


def frechet_gaussian(
    mean_a: Tensor,
    cov_a: Tensor,
    mean_b: Tensor,
    cov_b: Tensor,
) -> float:
    """The squared W2 between two Gaussians, |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2). Frechet 1957.

    Args:
        mean_a: mean of the first Gaussian, (d,).
        cov_a: its covariance, (d, d).
        mean_b: mean of the second Gaussian, (d,).
        cov_b: its covariance, (d, d).
    """
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross)


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance between the Gaussians fitted to two sets of features; it is biased upward by about d/N.

    Args:
        a: features, (N, d).
        b: features, (M, d).
    """
    a = a.to(torch.float64)
    b = b.to(torch.float64)
    return frechet_gaussian(a.mean(0), torch.atleast_2d(a.T.cov()), b.mean(0), torch.atleast_2d(b.T.cov()))


def nearest(x: Tensor, data: Tensor) -> Tensor:
    """RMS distance per element from each sample to its nearest neighbour in `data`, (B,). It is zero if the sample is a
    copy.

    Args:
        x: samples, (B, ...).
        data: samples of the data, (N, ...).
    """
    flat = x.reshape(len(x), -1).double()
    known = data.reshape(len(data), -1).double()
    return torch.cdist(flat, known).amin(1) / flat.shape[1] ** 0.5


class Classifier(nn.Module):
    """A small convolutional classifier for images of any size. It returns features (N, 32) and logits (N, classes)."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(256, 32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return features, self.head(features)


def train_classifier(
    data: Dataset,
    seed: int = 0,
    epochs: int = 25,
    batch: int = 64,
) -> Classifier:
    """Train a classifier on labelled images, with the shifts of the data set as augmentation.

    It takes some 15 seconds for the digits on 2 cores.

    Args:
        data: labelled images.
        seed: of weights and shifts.
        epochs: passes over the data.
        batch: images per step.
    """
    if data.labels is None or data.x.dim() != 4:
        raise ValueError(f"`data` must be labelled images to train a classifier, got {data.name} without labels")

    with seeded(seed):
        model = Classifier(data.x.shape[1], int(data.labels.max()) + 1)
        steps = epochs * max(1, len(data.x) // batch)
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)

        for step in range(steps):  # dropout draws from the forked generator
            x, y = data.batch(step, min(batch, len(data.x)), seed)
            assert y is not None
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x)[1], y).backward()
            optimiser.step()
            schedule.step()

    return model.eval()


@dataclass(frozen=True)
class Judge:
    """Measures how far samples are from real data, by features of a classifier (labelled images) or by principal
    components (other data)."""

    train: Dataset
    held_out: Dataset
    classifier: Classifier | None
    components: Tensor | None
    accuracy: float | None

    @classmethod
    def of(cls, train: Dataset, held_out: Dataset, seed: int = 0) -> Judge:
        """Fit the features on the training part, and measure the classifier's accuracy on the held-out part.

        Args:
            train: data on which the features are fitted.
            held_out: data on which the accuracy is measured.
            seed: of the classifier.
        """
        if train.labels is not None and train.x.dim() == 4:
            model = train_classifier(train, seed)

            with torch.no_grad():
                accuracy = (model(held_out.x)[1].argmax(1) == held_out.labels).double().mean().item()

            return cls(train, held_out, model, None, accuracy)

        flat = train.x.reshape(len(train.x), -1).double()
        rank = min(32, *flat.shape)

        return cls(train, held_out, None, torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:rank].T, None)

    def features(self, x: Tensor) -> Tensor:
        """The features of samples, (N, d)."""
        if self.classifier is None:
            assert self.components is not None
            return x.reshape(len(x), -1).double() @ self.components
        with torch.no_grad():
            return self.classifier(x)[0].double()

    def floor(self, size: int | None = None) -> float:
        """Frechet distance between two halves of the real data, or between `size` real samples and the rest."""
        x = torch.cat([self.train.x, self.held_out.x])
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0), device="cpu")
        size = len(x) // 2 if size is None else size
        features = self.features(x[order])
        return frechet(features[:size], features[size:])

    def __call__(self, x: Tensor) -> dict[str, Any]:
        """Frechet distance to all real data, distance to the nearest training sample, class shares and confidence."""
        x = x.detach().cpu().to(torch.float32)
        real = torch.cat([self.train.x, self.held_out.x])
        near = nearest(x, self.train.x)
        out: dict[str, Any] = {
            "frechet": frechet(self.features(x), self.features(real)),
            "nearest": near.mean().item(),
            "nearest_min": near.min().item(),
        }

        if self.classifier is not None:
            with torch.no_grad():
                chance = self.classifier(x)[1].softmax(1)

            shares = torch.bincount(chance.argmax(1), minlength=chance.shape[1]).double() / len(x)
            out |= {"confidence": chance.amax(1).double().mean().item(), "class_shares": shares.tolist()}

        return out

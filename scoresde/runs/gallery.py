"""Pictures and figures of samples while a run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from torch import Tensor

from solvers import SeededNoise
from solvers.noise import PRIOR

from ..data.samples import Samples
from ..denoisers.denoiser import Denoiser
from ..evaluation import distances, judge
from ..latent.autoencoder import Autoencoder, mean_terms
from ..reports import images
from ..samplers import catalogue
from ..samplers.sampling import evaluating, sample
from ..training.trainable import Trainable

_DRAWN = 256  # samples drawn, real ones they are compared with
_JUDGED = 10_000


class Gallery:
    """Pictures while training, and how far the samples are from held-out data."""

    def __init__(
        self,
        folder: Path,
        train: Samples,
        held_out: Samples | None,
        seed: int,
    ):
        self.folder = folder / "samples"
        self.seed = seed
        self.train = train
        self.held_out = None if held_out is None else held_out.source.in_memory(_JUDGED)
        some = (train if held_out is None else held_out).in_memory(_DRAWN)
        self.cond = some.cond
        self.count = _DRAWN if some.cond is None else len(some)
        images = self.held_out is not None and len(train.source.shape) == 3
        self.judge = (
            judge.Judge.of(train.source.in_memory(_JUDGED), self.held_out, seed)
            if images and self.held_out is not None
            else None
        )

    def draw(self, denoiser: Denoiser, step: int) -> dict[str, float]:
        """Samples by DDIM in 20 calls: a grid of images, and {frechet} for images, {sliced_w2} for points where there
        is held-out data."""

        device = next(denoiser.parameters()).device
        shape = (self.count, *self.train.shape)
        x = self.train.decoded(sample(denoiser, shape, catalogue.ddim(20), self.seed, device, cond=self.cond)).cpu()

        if len(x.shape[1:]) == 3:
            images.save_image(images.tiled(x[:64], columns=8), self.folder / f"step-{step:08d}.png")
            return {} if self.judge is None else {"frechet": self.judge(x)["frechet"]}

        if self.held_out is None:
            return {}

        real = self.held_out.x[:_DRAWN]

        return {"sliced_w2": distances.sliced(x, real)}


class Examined:
    """The terms of an autoencoder's bound on the same samples, by the same noise, while it trains.

    Args:
        autoencoder: with the averaged weights.
        x: samples, (B, ...).
    """

    def __init__(self, autoencoder: Autoencoder, x: Tensor):
        self.autoencoder = autoencoder
        self.x = x
        self.eps = SeededNoise(0).normal(PRIOR, range(1), tuple(x.shape), x.dtype, x.device)[0]

    @classmethod
    def of(cls, model: Trainable, data: Samples) -> Self | None:
        """For up to 256 samples of the data, where the model is an autoencoder.

        Args:
            model: what is trained.
            data: samples held out, or those of training.
        """
        if not isinstance(model, Autoencoder):
            return None
        return cls(model, data.in_memory(_DRAWN).x.to(next(model.parameters()).device))

    def terms(self) -> dict[str, float]:
        """{reconstruction, kl}, means in nats a sample."""
        with evaluating(self.autoencoder):
            return mean_terms(self.autoencoder, self.x, self.eps)

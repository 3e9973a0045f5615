"""Pictures and quality of samples during training."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from torch import Tensor

from solvers import SeededNoise
from solvers.noise import PRIOR

from ..data.checking import kind_of
from ..data.samples import Samples
from ..data.scale import original
from ..denoisers.denoiser import Denoiser
from ..evaluation import distances, judge
from ..latent.autoencoder import Autoencoder, mean_terms
from ..reports.shapes import PIXELS, save_picture
from ..samplers import catalogue
from ..samplers.sampling import evaluating, sample
from ..training.trainable import Trainable

_DRAWN = 256  # samples that are drawn, and as many real ones for comparison
_JUDGED = 10_000  # most real samples that the judge of images uses
_SHOWN = 64  # images in a picture


class Gallery:
    """Draws pictures of samples during training, and measures the distance of the samples to held-out data."""

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
        source = train.source
        self.kind = kind_of(source.shape, source.kind)
        self.scale = (source.centre, source.half_range)
        self.columns = source.columns
        self.held_out = None if held_out is None else held_out.source.in_memory(_JUDGED)
        some = (train if held_out is None else held_out).in_memory(_DRAWN)
        self.cond = some.cond
        self.count = _DRAWN if some.cond is None else len(some)
        judged = self.held_out is not None and self.kind == "images"
        self.judge = (
            judge.Judge.of(source.in_memory(_JUDGED), self.held_out, seed)
            if judged and self.held_out is not None
            else None
        )

    def draw(self, denoiser: Denoiser, step: int) -> dict[str, float]:
        """Draw samples by DDIM in 20 network calls, and save a picture of them if their kind is known.

        Args:
            denoiser: with the averaged weights.
            step: number of the training step, for the name of the picture.

        Returns:
            The distance to the held-out data: {frechet} for images, {sliced_w2} for all others; {} without such data.
        """

        device = next(denoiser.parameters()).device
        shape = (self.count, *self.train.shape)
        x = self.train.decoded(sample(denoiser, shape, catalogue.ddim(20), self.seed, device, cond=self.cond)).cpu()

        if self.kind is not None:
            some = x[:_SHOWN] if self.kind == "images" else x
            shown = some if self.kind in PIXELS else original(some, *self.scale)
            save_picture(shown, self.kind, self.folder / f"step-{step:08d}.png", names=self.columns)

        if self.judge is not None:
            return {"frechet": self.judge(x)["frechet"]}

        if self.held_out is None:
            return {}

        real = self.held_out.x[:_DRAWN]

        return {"sliced_w2": distances.sliced(x, real)}


class Examined:
    """Evaluates the terms of an autoencoder's bound during training, always on the same samples with the same noise.

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
        """Use up to 256 samples of the data. Returns None if the model is no autoencoder.

        Args:
            model: the model that is trained.
            data: held-out samples; if there are none, training samples.
        """
        if not isinstance(model, Autoencoder):
            return None
        return cls(model, data.in_memory(_DRAWN).x.to(next(model.parameters()).device))

    def terms(self) -> dict[str, float]:
        """{reconstruction, kl}: means over the samples, in nats per sample."""
        with evaluating(self.autoencoder):
            return mean_terms(self.autoencoder, self.x, self.eps)

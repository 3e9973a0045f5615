"""Pictures and figures of samples while a run goes on."""

from __future__ import annotations

from pathlib import Path

from ..data.samples import Samples
from ..denoisers.denoiser import Denoiser
from ..evaluation import distances, judge
from ..reports import images
from ..samplers import catalogue
from ..samplers.sampling import sample

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
        self.shape = train.shape
        self.held_out = None if held_out is None else held_out.in_memory(_JUDGED)
        images = self.held_out is not None and len(self.shape) == 3
        self.judge = (
            judge.Judge.of(train.in_memory(_JUDGED), self.held_out, seed)
            if images and self.held_out is not None
            else None
        )

    def draw(self, denoiser: Denoiser, step: int) -> dict[str, float]:
        """Samples by DDIM in 20 calls: a grid of images, and {frechet} for images, {sliced_w2} for points where there
        is held-out data."""

        x = sample(
            denoiser, (_DRAWN, *self.shape), catalogue.ddim(20), self.seed, next(denoiser.parameters()).device
        ).cpu()

        if len(self.shape) == 3:
            images.save_image(images.tiled(x[:64], columns=8), self.folder / f"step-{step:08d}.png")
            return {} if self.judge is None else {"frechet": self.judge(x)["frechet"]}

        if self.held_out is None:
            return {}

        real = self.held_out.x[:_DRAWN]

        return {"sliced_w2": distances.sliced(x, real)}

"""Pictures and figures of samples while a run goes on."""

from __future__ import annotations

from pathlib import Path

from ..data.checking import kind_of
from ..data.samples import Samples
from ..data.scale import original
from ..denoisers.denoiser import Denoiser
from ..evaluation import distances, judge
from ..reports.shapes import PIXELS, save_picture
from ..samplers import catalogue
from ..samplers.sampling import sample

_DRAWN = 256  # samples drawn, real ones they are compared with
_JUDGED = 10_000
_SHOWN = 64  # images in a picture


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
        self.kind = kind_of(train.shape, train.kind)
        self.scale = (train.centre, train.half_range)
        self.columns = train.columns
        self.held_out = None if held_out is None else held_out.in_memory(_JUDGED)
        judged = self.held_out is not None and self.kind == "images"
        self.judge = (
            judge.Judge.of(train.in_memory(_JUDGED), self.held_out, seed)
            if judged and self.held_out is not None
            else None
        )

    def draw(self, denoiser: Denoiser, step: int) -> dict[str, float]:
        """Samples by DDIM in 20 calls: a picture of those whose kind is known, and {frechet} for images,
        {sliced_w2} for others where there is held-out data."""

        x = sample(
            denoiser, (_DRAWN, *self.shape), catalogue.ddim(20), self.seed, next(denoiser.parameters()).device
        ).cpu()

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

"""Write the files of a run during training."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ..data.samples import Samples
from ..denoisers.denoiser import Denoiser
from ..storage import checkpoints
from ..storage.files import versions
from ..training.objective import Progress
from ..training.state import TrainState
from ..training.trainable import Trainable
from ..training.validation import held_out_loss
from . import posthoc_ema
from .config import AUTOENCODER, Config
from .gallery import Examined, Gallery
from .journal import Journal
from .stored import identity
from .story import RunDescription


class RunWriter:
    """Writes log, pictures, stored averages and checkpoints during training; only the first process does so."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        data: Samples,
        held_out: Samples | None,
        averaged: Trainable,
        start: int,
    ):
        self.folder = folder
        self.config = config
        self.held_out = held_out
        self.averaged = averaged
        posthoc_ema.drop_after(folder, start)
        self.journal = Journal(
            folder, config.record, None if config.network.kind == AUTOENCODER else config.process, start
        )
        self.gallery = Gallery(folder, data, held_out, config.training.seed) if config.record.sample else None
        self.examined = Examined.of(averaged, held_out or data)

    def after(
        self,
        progress: Progress,
        story: RunDescription,
        state: TrainState,
        stopping: bool,
    ) -> None:
        """Write what is due after a training step.

        Args:
            progress: result of the step.
            story: description of the run.
            state: weights, averages and optimiser after the step.
            stopping: whether training stops after this step; a checkpoint is then saved.
        """
        step = progress.step
        every = self.config.record
        training = self.config.training
        self.journal.note(progress)

        if self.examined is not None and step % every.log == 0:
            self.journal.write(step, self.examined.terms())

        if self.gallery is not None and step % every.sample == 0:
            self.journal.write(step, self.gallery.draw(cast(Denoiser, self.averaged), step))

        if training.posthoc and (step % training.posthoc == 0 or step == training.steps):
            posthoc_ema.store_average(self.folder, step, state.tracks, identity(story.about(), self.folder))

        if step % every.save == 0 or step == training.steps or stopping:
            score = (
                None
                if self.held_out is None
                else held_out_loss(self.averaged, self.held_out, self.config.objective, training)
            )
            about = {
                "step": step,
                "score": score,
                "seed": training.seed,
                "tail": story.tail,
                "versions": versions(),
                **story.about(),
            }
            checkpoints.save(self.folder / "checkpoints", state.tensors(), about)

"""Train a model from a configuration into a run folder, or take a run up where its last checkpoint left it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch

from ..data.samples import Samples
from ..denoisers.denoiser import Denoiser
from ..latent.space import Latents
from ..runtime import distributed
from ..runtime.signals import Stopped, graceful_stop
from ..storage import ownership
from ..storage.files import CheckpointError
from ..training.fit import check_batch, fit
from ..training.objective import Progress
from ..training.state import begin
from .config import Config
from .description import MOMENTS
from .load import Trained
from .run_folder import read_about, save_run
from .story import RunDescription
from .writer import RunWriter


def train(
    config: Config,
    data: Samples,
    folder: Path | str,
    command: str,
    device: Any = "cpu",
    report: Callable[[Progress], None] | None = None,
    *,
    held_out: Samples | None = None,
    resume: bool = False,
    held: bool = False,
) -> Trained:
    """Train on `data` into `folder`: checkpoints on the way, the model at the end.

    Without `resume`, or where there is no checkpoint, what an earlier run left in `folder` is removed.

    Args:
        config: what to train and how.
        data: the training samples.
        folder: of the run; made if missing.
        command: the command line, kept in run.json.
        device: cpu or cuda.
        report: called with each step's `Progress`.
        held_out: scores the checkpoints, by the loss of the averaged weights.
        resume: take up the latest checkpoint, and arrive at the same bits as without the break.
        held: whether the caller holds `folder` by `ownership.writing`.

    Raises:
        Stopped: after SIGINT or SIGTERM, with a checkpoint saved.
        BusyError: where another process writes there.
        ValueError: where files there are no run's.
        CheckpointError: where the run in `folder` is another one.
    """

    folder = Path(folder)
    with nullcontext() if held or distributed.rank() else ownership.writing(folder, command):
        return _train(
            config,
            data,
            folder,
            command,
            device,
            report,
            held_out,
            resume,
        )


def _train(
    config: Config,
    data: Samples,
    folder: Path,
    command: str,
    device: Any,
    report: Any,
    held_out: Any,
    resume: bool,
) -> Trained:
    _check_not_imported(folder)
    check_batch(data, config.training)
    denoiser = config.model(data.shape, data.classes)
    state = begin(denoiser.network, config.training, device)
    averaged = denoiser.around(state.average.module)
    story = RunDescription(config, data, command)

    if resume:
        story.resume(folder, state)
    elif distributed.rank() == 0:
        ownership.clear(folder)

    writer = (
        RunWriter(
            folder,
            config,
            data,
            held_out,
            averaged,
            state.step,
        )
        if distributed.rank() == 0
        else None
    )
    if writer is not None and story.moments is not None:
        story.moments.save(folder / MOMENTS)

    with graceful_stop() as request:
        for progress in fit(denoiser, data, config.training, state, config.objective):
            story.add(progress)

            if report is not None:
                report(progress)

            code = int(distributed.gather(torch.tensor([request.code], device="cpu")).max())

            if writer is not None:
                writer.after(progress, story, state, code != 0)

            if code:
                where = f"step {progress.step} of {config.training.steps}"
                raise Stopped(f"stopped at {where}; saved in {folder / 'checkpoints'}, taken up by --resume", code)

        about = story.about()

        if writer is not None:
            save_run(folder, denoiser.network, averaged.network, about)

        distributed.barrier()

    averaged.moments = story.moments

    # A classifier or an autoencoder, where one was asked for, comes back in the same place.
    space = data.space if isinstance(data, Latents) else None
    return Trained(cast(Denoiser, averaged.eval()), config, data.shape, about, space)


def _check_not_imported(folder: Path) -> None:
    """Raise CheckpointError where training would overwrite weights that came from elsewhere."""
    if not (folder / "run.json").is_file():
        return

    about = read_about(folder)
    if "imported" in about or about["data"]["count"] == 0:
        raise CheckpointError(
            f"{folder} holds imported weights, {about['data']['name']}, which training would overwrite; train"
            " into another --out"
        )

"""Train a model from a configuration into a run folder, or resume a run from its latest checkpoint."""

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
    """Train a model on `data` into `folder`. Checkpoints are saved during training, the model at the end.

    Without `resume`, the files of an earlier run in `folder` are removed.

    Args:
        config: what to train and how.
        data: the training samples.
        folder: of the run; it is made if missing.
        command: the command line, stored in run.json.
        device: cpu or cuda.
        report: called with each step's `Progress`.
        held_out: held-out samples; the loss of the averaged weights on them is the score of a checkpoint.
        resume: continue from the latest checkpoint; the result has the same bits as a run without a break. If
            `folder` is empty, the run starts from the beginning.
        held: whether the caller has locked `folder` by `ownership.writing`.

    Raises:
        Stopped: after SIGINT or SIGTERM; a checkpoint has been saved.
        BusyError: if another process writes into `folder`.
        ValueError: if `folder` holds files that no run wrote, or the data and `config.training` do not fit (`fit`).
        CheckpointError: if the run in `folder` cannot be resumed, or `folder` holds imported weights.
        NonFiniteLossError, TrainingMemoryError: as `fit`.
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

    # If the run trains a classifier or an autoencoder, that is returned as `denoiser`.
    space = data.space if isinstance(data, Latents) else None
    return Trained(cast(Denoiser, averaged.eval()), config, data.shape, about, space)


def _check_not_imported(folder: Path) -> None:
    """Raise CheckpointError if training would overwrite imported weights."""
    if not (folder / "run.json").is_file():
        return

    about = read_about(folder)
    if "imported" in about or about["data"]["count"] == 0:
        raise CheckpointError(
            f"{folder} holds imported weights, {about['data']['name']}, which training would overwrite; train"
            " into another --out"
        )

"""Training as a generator over steps: the caller's loop logs, draws, saves and stops.

Everything random is a function of (seed, step, index in the batch). A run can therefore be repeated or resumed
exactly. If a batch is split into parts or shared by several processes, the result changes only by rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from ..data.samples import Samples
from ..runtime import distributed
from .objective import SIMPLE, Objective, Progress, TrainingMemoryError
from .state import Training, TrainState, begin
from .step import training_step
from .trainable import Trainable
from .worker import Draws, prepared_network


def fit(
    denoiser: Trainable,
    data: Samples,
    training: Training,
    state: TrainState | None = None,
    objective: Objective = SIMPLE,
) -> Iterator[Progress]:
    """Train `denoiser` in place, one optimiser step per turn of the caller's loop.

    Joined processes (`runtime.distributed`) share each batch.

    Args:
        denoiser: the model; its network is trained in place.
        data: the samples, in the model's scale.
        training: number of steps, batch size, learning rate and the other keys of [training].
        state: the training state of denoiser.network, made by `begin`; training continues from it and updates it in
            place. None: start from the first step.
        objective: loss and noise levels; default denoising score matching at uniform t.

    Yields:
        The `Progress` of each step, after the step.

    Raises:
        TypeError: if `data` is no `Samples`.
        ValueError: if the batch is larger than the data or does not divide into parts, if labels are missing, or if no
            weight of the network requires a gradient.
        NonFiniteLossError: naming step, noise levels and samples.
        TrainingMemoryError: naming the batch size.
    """

    check_batch(data, training)

    with _grad_mode():
        state = begin(denoiser.network, training) if state is None else state

    worker = prepared_network(denoiser, training)
    draws = Draws(training, data.shape, next(denoiser.network.parameters()).device)

    for step in range(state.step, training.steps):
        try:
            with _grad_mode():
                progress = training_step(
                    worker,
                    state,
                    data,
                    training,
                    objective,
                    draws,
                )
            yield progress
        except (RuntimeError, MemoryError) as error:
            if not (isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)):
                raise
            state.optimiser.zero_grad(set_to_none=True)
            tried = f"a batch of {training.batch} in {training.accumulate} parts on {distributed.world()} processes"
            remedy = (
                "a smaller `batch`, a larger `accumulate` (the same result in more parts), precision ="
                " 'bfloat16', or a smaller network"
            )
            raise TrainingMemoryError(f"out of memory at step {step + 1} with {tried}; try {remedy}") from error


def check_batch(data: Samples, training: Training) -> None:
    """Check that the data and the batch fit together.

    Args:
        data: the training samples.
        training: its `batch`, `accumulate` and `label_dropout` are checked.

    Raises:
        TypeError: if `data` is no `Samples`.
        ValueError: if the batch is larger than the data or does not divide into parts, or if `label_dropout` is set
            and the data have neither labels nor conditions.
    """

    if not isinstance(data, Samples):
        how = (
            "wrap it: Dataset(x), or Dataset(x, labels)"
            if isinstance(data, Tensor)
            else "give a Dataset, or data.load(path)"
        )
        raise TypeError(f"`data` must be Samples, got {type(data).__name__}; {how}")

    if training.batch > len(data):
        raise ValueError(f"`batch` must be at most the {len(data)} samples of the data, got {training.batch}")
    if training.label_dropout is not None and data.labels is None and data.cond is None:
        raise ValueError(f"`label_dropout` must be left out for data without labels, such as {data.name}")

    parts = distributed.world() * training.accumulate
    if training.batch % parts:
        raise ValueError(
            f"`batch` must divide into {distributed.world()} processes x {training.accumulate} parts, got"
            f" {training.batch}"
        )


@contextlib.contextmanager
def _grad_mode() -> Generator[None]:
    """Inside, gradients are computed, even if the caller has disabled them."""
    with torch.inference_mode(False), torch.enable_grad():
        yield

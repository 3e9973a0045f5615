"""Training as a generator over steps: the caller's loop logs, draws, saves and stops.

Everything random is a function of (seed, step, index in the batch): a run is repeated or resumed exactly, its batches
may be worked through in parts or by several processes, and none of that changes what is learnt beyond rounding.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..data.batches import mixed
from ..data.samples import Samples
from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser, Denoiser
from ..processes.base import Process
from ..runtime import distributed
from ..runtime.torch_state import seeded
from .losses import DSM, Loss
from .noise_levels import NoiseLevels, Uniform, stratified
from .state import Training, TrainState, begin
from .worker import Draws, gradients_apart, prepared_network

PATIENCE = 10  # steps in a row that may be skipped


class NonFiniteLossError(RuntimeError):
    """The loss or its gradient became NaN or infinite; the weights are those before the step."""


class TrainingMemoryError(RuntimeError):
    """A step does not fit into memory; the weights are those before the step."""


@dataclass(frozen=True)
class Objective:
    """What is minimised: the mean over samples, noises and levels of weight(t) loss(t), over the number of elements of
    a sample."""

    loss: Loss = field(default_factory=DSM)
    levels: NoiseLevels = field(default_factory=Uniform)

    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        """Levels of a whole batch, one in each of B equal cells, and their weights, from uniforms (B,)."""
        return self.levels(stratified(u), process)

    def __call__(
        self,
        denoiser: BaseDenoiser,
        x0: Tensor,
        t: Tensor,
        weight: Tensor,
        eps: Tensor,
        cond: Tensor | None = None,
    ) -> Tensor:
        """One number per sample, (B,)."""
        each = self.loss(denoiser, x0, t, eps, cond) / x0[0].numel()
        return weight.to(each) * each


SIMPLE = Objective()


@dataclass(frozen=True)
class Progress:
    """One training step: its number (from 1), the mean loss per element, the gradient's norm before clipping, the
    learning rate.

    t, losses  the batch's noise levels and losses per element, (B,);  skipped  whether the weights were left alone"""

    step: int
    loss: float
    grad_norm: float
    rate: float
    t: Tensor
    losses: Tensor
    skipped: bool = False


def fit(
    denoiser: Denoiser,
    data: Samples,
    training: Training,
    state: TrainState | None = None,
    objective: Objective = SIMPLE,
) -> Iterator[Progress]:
    """Train `denoiser` in place, one optimiser step per turn of the caller's loop.

    data       images or points, (N, ...) in the model's scale
    state      of denoiser.network, by `begin`: taken up where it stands and kept current
    objective  loss and noise levels; default denoising score matching at uniform t

    Joined processes (`launch`) share each batch. Raises ValueError where the batch exceeds the data or does not divide
    into parts, NonFiniteLossError naming step, noise levels and samples, TrainingMemoryError naming the batch size."""

    check_batch(data, training)

    with _grad_mode():
        state = begin(denoiser.network, training) if state is None else state

    worker = prepared_network(denoiser, training)
    draws = Draws(training, data.shape, next(denoiser.network.parameters()).device)

    for step in range(state.step, training.steps):
        try:
            with _grad_mode():
                progress = _step(
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
    """Raise TypeError where `data` is no `Samples`, ValueError where the batch exceeds it or does not divide into
    parts, or it lacks the labels wanted."""

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
    """Training takes gradients, whatever mode its caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _step(
    worker: Denoiser,
    state: TrainState,
    data: Samples,
    training: Training,
    objective: Objective,
    draws: Draws,
) -> Progress:
    """One optimiser step on this process' share of the batch."""
    step = state.step
    own = distributed.local_rows(training.batch)
    network = state.network
    if not network.training:
        network.train()

    rate = training.lr * training.rate(step, state.since)

    for group in state.optimiser.param_groups:
        group["lr"] = rate

    state.optimiser.zero_grad(set_to_none=True)
    x0, given = data.batch(step, training.batch, training.seed, own)
    x0 = x0.to(draws.device, torch.promote_types(x0.dtype, torch.float32))
    eps = draws.noise(step)
    (u, hidden) = draws.uniform(step).T
    t, weight = objective.draw(u, worker.process)
    cond = _condition(given, data, training, hidden[own.start : own.stop], draws.device)
    size = len(own) // training.accumulate
    found: list[Tensor] = []

    for k in range(training.accumulate):
        rows = slice(k * size, (k + 1) * size)
        first = own.start + rows.start
        these = slice(first, first + size)

        # Layers that draw (dropout) draw from a seed of the step's own, so that they too are repeated exactly.
        with (
            seeded(mixed(training.seed, step * training.batch + first), draws.device),
            gradients_apart(worker, k == training.accumulate - 1),
        ):
            each = objective(
                worker,
                x0[rows],
                t[these],
                weight[these],
                eps[rows],
                conditions.rows(cond, rows),
            )
            state.scaler.scale(each.sum() / len(own)).backward()

        found.append(each.detach())

    losses = distributed.gather(torch.cat(found))
    state.scaler.unscale_(state.optimiser)
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), training.grad_clip)
    value, size_of_gradient = torch.stack([losses.mean(), norm]).tolist()
    skipped = not (math.isfinite(value) and math.isfinite(size_of_gradient))
    if skipped:
        state.skipped += 1
        # Half precision overflows now and then while its scale is found: that is no failure unless it goes on.
        tolerated = training.skip_nonfinite or (training.precision == "float16" and math.isfinite(value))
        if not tolerated or state.skipped >= PATIENCE:
            state.optimiser.zero_grad(set_to_none=True)
            where = _where(losses, t, data.order(step, training.batch, training.seed), size_of_gradient)
            again = f", the {state.skipped}th step in a row" if state.skipped > 1 else ""
            raise NonFiniteLossError(
                f"the loss is {value} at step {step + 1}{again}, {where}; lower `lr` (now {training.lr:g}) or"
                " check the data"
            )
    else:
        state.skipped = 0
        state.scaler.step(state.optimiser)

        for average in (state.average, *state.tracks):
            average.update()

    state.scaler.update()
    state.step += 1

    return Progress(
        state.step,
        value,
        size_of_gradient,
        rate,
        t,
        losses.cpu(),
        skipped,
    )


def _condition(
    given: Any,
    data: Samples,
    training: Training,
    u: Tensor,
    device: torch.device,
) -> Any:
    """What the network is given: the labels where it is class-conditional, or the data's own conditions; a share left
    out."""
    if training.label_dropout is not None:
        given = conditions.hidden(given, u < training.label_dropout)
    elif data.cond is None:
        return None
    return conditions.prepared(given, len(u), device)


def _where(
    losses: Tensor,
    t: Tensor,
    index: Tensor,
    gradient: float,
) -> str:
    """Which samples, at which noise levels, made a step not finite."""
    bad = (~losses.cpu().isfinite()).nonzero().flatten()
    if not len(bad):
        return f"finite in every sample but with a gradient of norm {gradient}"
    levels = [round(v, 4) for v in check.values(t[bad[:5]])]
    return f"in {len(bad)} of {len(losses)} samples, at t = {levels}, rows {index[bad[:5]].tolist()} of the data"
